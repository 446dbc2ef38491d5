//! Where each value of a YAML text stands. The only file that knows `saphyr-parser`; bounds what a text may hold.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScanError, Span, StrInput, Tag};

use super::error::Position;

/// Most values in a file, with every alias written out: ten thousand peers have a quarter of it.
pub(super) const MAX_VALUES: usize = 1_000_000;
/// Deepest nesting; no key of ours is deeper than 6.
const MAX_DEPTH: usize = 32;

/// A mapping's key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) position: Position,
}

/// Why a text is no YAML document.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Broken {
    pub(super) position: Position,
    pub(super) message: String,
}

fn start(span: Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

/// A value with its place, not yet its type. Aliases share what they stand for.
pub(super) struct Located {
    pub(super) position: Position,
    pub(super) shape: Shape,
    /// Values in it, itself included, with every alias written out.
    values: usize,
    /// Levels below it, aliases followed.
    height: usize,
}

pub(super) enum Shape {
    Scalar(String),
    List(Vec<Rc<Located>>),
    Map(Vec<(Key, Rc<Located>)>),
}

impl Located {
    /// Locates the values of the one document that `text` is.
    pub(super) fn document(text: &str) -> Result<Rc<Self>, Broken> {
        Self::unadvised(text).map_err(|broken| broken.with_advice(text))
    }

    fn unadvised(text: &str) -> Result<Rc<Self>, Broken> {
        let mut reader = Reader {
            parser: Parser::new_from_str(text),
            anchors: HashMap::new(),
            read: 0,
        };
        let mut root = None;
        loop {
            let (event, span) = reader.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Broken::at(
                        start(span),
                        "a second document begins here; a configuration is one document",
                    ));
                }
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                event => root = Some(reader.value(event, span, 0)?),
            }
        }
        let first = Position { line: 1, column: 1 };
        let root = root.ok_or_else(|| {
            Broken::at(
                first,
                "the file is empty; a configuration has at least `peers`",
            )
        })?;
        if root.values > MAX_VALUES {
            return Err(Broken::at(
                root.position,
                format!(
                    "{} values with every alias written out, at most {MAX_VALUES}",
                    root.values
                ),
            ));
        }
        Ok(root)
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Rc<Located>>,
    read: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Broken> {
        match self.parser.next_event() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The value that begins with `event`.
    fn value(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Rc<Located>, Broken> {
        let position = start(span);
        self.read += 1;
        if self.read > MAX_VALUES {
            return Err(Broken::at(
                position,
                format!("more than {MAX_VALUES} values"),
            ));
        }
        if depth > MAX_DEPTH {
            return Err(too_deep(position));
        }
        let (shape, anchor, tag) = match event {
            Event::Alias(anchor) => {
                // An anchor is entered when its value is complete: one that holds itself is not found.
                return self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    Broken::at(position, "this alias stands for a value that contains it")
                });
            }
            Event::Scalar(text, _, anchor, tag) => (Shape::Scalar(text.into_owned()), anchor, tag),
            Event::SequenceStart(anchor, tag) => (self.list(depth)?, anchor, tag),
            Event::MappingStart(anchor, tag) => (self.map(depth)?, anchor, tag),
            other => {
                return Err(Broken::at(
                    position,
                    format!("expected a value, found {other:?}"),
                ));
            }
        };
        refuse_tag(tag.as_deref(), position)?;
        let (values, height) = match &shape {
            Shape::Scalar(_) => (1, 0),
            Shape::List(items) => measure(items.iter()),
            Shape::Map(entries) => measure(entries.iter().map(|(_, value)| value)),
        };
        if height > MAX_DEPTH {
            return Err(too_deep(position));
        }
        let value = Rc::new(Located {
            position,
            shape,
            values,
            height,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&value));
        }
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Shape, Broken> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Shape::List(items)),
                (event, span) => items.push(self.value(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Shape, Broken> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Shape::Map(entries)),
                (Event::Scalar(text, _, 0, None), span) => Key {
                    text: text.into_owned(),
                    position: start(span),
                },
                (_, span) => {
                    return Err(Broken::at(
                        start(span),
                        "a key must be plain text, without anchor, alias or tag",
                    ));
                }
            };
            if key.text == "<<" {
                return Err(Broken::at(
                    key.position,
                    "merge keys are not supported; write the keys out, or put them under `defaults`",
                ));
            }
            let (event, span) = self.next()?;
            entries.push((key, self.value(event, span, depth + 1)?));
        }
    }
}

fn refuse_tag(tag: Option<&Tag>, position: Position) -> Result<(), Broken> {
    match tag {
        Some(tag) => Err(Broken::at(
            position,
            format!("tags such as {tag} are not supported; leave it out"),
        )),
        None => Ok(()),
    }
}

fn too_deep(position: Position) -> Broken {
    Broken::at(
        position,
        format!("nested more than {MAX_DEPTH} deep, aliases followed"),
    )
}

/// Values and levels of a collection, from its children's.
fn measure<'a>(children: impl Iterator<Item = &'a Rc<Located>>) -> (usize, usize) {
    children.fold((1, 0), |(values, height), child| {
        (
            values.saturating_add(child.values),
            height.max(child.height + 1),
        )
    })
}

impl Broken {
    pub(super) fn at(position: Position, message: impl Into<String>) -> Self {
        Self {
            position,
            message: message.into(),
        }
    }
}

impl Broken {
    /// Inside `[]` and `{}` a variable's own braces end a plain text: a trap worth a word.
    fn with_advice(mut self, text: &str) -> Self {
        let line = text.lines().nth(self.position.line - 1);
        if line.is_some_and(|line| line.contains("${")) {
            self.message += "; inside [] and {} put a text with ${NAME} in quotes";
        }
        self
    }
}

impl From<ScanError> for Broken {
    fn from(error: ScanError) -> Self {
        let at = error.marker();
        Self::at(
            Position {
                line: at.line(),
                column: at.col() + 1,
            },
            format!("not YAML: {}", error.info()),
        )
    }
}
