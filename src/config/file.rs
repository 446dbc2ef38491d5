//! YAML in and out. The only file that knows `serde_yaml`, which gives the types but neither positions nor duplicate keys:
//! `saphyr-parser` reads the same text beside it for those, and a text that the two read differently is refused.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScanError, Span, StrInput, Tag};
use serde::Serialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::Position;

/// Largest file read, bytes: fifty thousand peers and more.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// Most values in a file, with every alias written out: ten thousand peers have a quarter of it.
pub(super) const MAX_VALUES: usize = 1_000_000;
/// Deepest nesting; no key of ours is deeper than 6.
const MAX_DEPTH: usize = 32;

/// A typed value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) content: Content,
}

/// What a value is, by the types of YAML 1.2.
#[derive(Debug)]
pub(super) enum Content {
    Null,
    Bool(bool),
    /// A number as written, and its value when it is a whole one.
    Number {
        written: String,
        whole: Option<i128>,
    },
    Text(String),
    List(Vec<Node>),
    /// Keys as written, in the order of the file, duplicates kept.
    Map(Vec<(Key, Node)>),
}

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

/// Reads one YAML document.
pub(super) fn read(text: &str) -> Result<Node, Broken> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let marked = Located::document(text).map_err(|broken| broken.with_advice(text))?;
    Typing(&marked)
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| {
            let position = error.location().map_or(marked.position, |at| Position {
                line: at.line(),
                column: at.column(),
            });
            // The message repeats the place that is told beside it.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            Broken::at(position, message.to_owned())
        })
}

/// Writes a value as YAML.
pub(super) fn write(value: &impl Serialize) -> String {
    serde_yaml::to_string(value)
        .expect("plain structs of texts, numbers, lists and mappings always serialize")
}

impl Broken {
    fn at(position: Position, message: impl Into<String>) -> Self {
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

fn start(span: Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

/// A value with its place, not yet its type. Aliases share what they stand for.
struct Located {
    position: Position,
    shape: Shape,
    /// Values in it, itself included, with every alias written out.
    values: usize,
    /// Levels below it, aliases followed.
    height: usize,
}

enum Shape {
    Scalar(String),
    List(Vec<Rc<Located>>),
    Map(Vec<(Key, Rc<Located>)>),
}

impl Located {
    fn document(text: &str) -> Result<Rc<Self>, Broken> {
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

/// Walks what `saphyr-parser` located while `serde_yaml` says of what type it is.
#[derive(Clone, Copy)]
struct Typing<'a>(&'a Located);

impl Typing<'_> {
    fn node(self, content: Content) -> Node {
        Node {
            position: self.0.position,
            content,
        }
    }

    fn number<E: de::Error>(self, whole: Option<i128>) -> Result<Node, E> {
        match &self.0.shape {
            Shape::Scalar(written) => Ok(self.node(Content::Number {
                written: written.clone(),
                whole,
            })),
            _ => Err(differs()),
        }
    }
}

fn differs<E: de::Error>() -> E {
    E::custom("this can be read in two ways; write it plainer, texts in quotes")
}

impl<'de> DeserializeSeed<'de> for Typing<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Typing<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(self.node(Content::Null))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(self.node(Content::Bool(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.number(Some(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.number(Some(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.number(Some(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        self.number(i128::try_from(value).ok())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
        self.number(None)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        match &self.0.shape {
            Shape::Scalar(text) if text == value => Ok(self.node(Content::Text(value.to_owned()))),
            _ => Err(differs()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let Shape::List(located) = &self.0.shape else {
            return Err(differs());
        };
        let mut items = Vec::with_capacity(located.len());
        for item in located {
            items.push(list.next_element_seed(Typing(item))?.ok_or_else(differs)?);
        }
        Ok(self.node(Content::List(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let Shape::Map(located) = &self.0.shape else {
            return Err(differs());
        };
        let mut entries = Vec::with_capacity(located.len());
        for (key, value) in located {
            // Whatever a plain key would be as a value (`8080: …`, `null: …`), as a key it is its text.
            let text: String = map.next_key()?.ok_or_else(differs)?;
            if text != key.text {
                return Err(differs());
            }
            let key = Key {
                text,
                position: key.position,
            };
            entries.push((key, map.next_value_seed(Typing(value))?));
        }
        Ok(self.node(Content::Map(entries)))
    }
}
