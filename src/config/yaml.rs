//! YAML in and out: parses a document into typed values with positions, and writes YAML.
//! The only file that knows `saphyr-parser`, which parses, and `serde_yaml`, which says what a
//! number is and writes.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde::Serialize;

use super::error::Position;

/// Largest accepted file, bytes: more than fifty thousand peers.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// Maximum number of values, aliases expanded; ten thousand peers need a quarter of it.
const MAX_VALUES: usize = 1_000_000;
/// Maximum nesting; no valid key is nested deeper than 6.
const MAX_DEPTH: usize = 32;

/// A typed value and its position. Aliases share the value of their anchor.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) content: Content,
    /// Number of values in it, itself included, aliases expanded.
    values: usize,
    /// Levels of nesting below it, aliases followed.
    height: usize,
}

/// A value by its type in the core schema of YAML 1.2.
#[derive(Debug)]
pub(super) enum Content {
    Null,
    Bool(bool),
    /// A number as written, and its value if it is an integer of at most 64 bits.
    Number {
        written: String,
        whole: Option<i128>,
    },
    Text(String),
    List(Vec<Rc<Node>>),
    /// Keys as written, in file order, duplicates included.
    Map(Vec<(Key, Rc<Node>)>),
}

/// Key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) position: Position,
}

/// Why a text is not a YAML document, or not one that is supported.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Malformed {
    pub(super) position: Position,
    pub(super) message: String,
}

/// Parses a text that is one YAML document.
pub(super) fn read(text: &str) -> Result<Rc<Node>, Malformed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    read_document(text).map_err(|malformed| malformed.with_advice(text))
}

/// Writes a value as YAML.
pub(super) fn write(value: &impl Serialize) -> String {
    serde_yaml::to_string(value)
        .expect("structs of strings, numbers, lists and mappings always serialize")
}

fn read_document(text: &str) -> Result<Rc<Node>, Malformed> {
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
                return Err(Malformed::new(
                    start(span),
                    "a second document begins here; a configuration is a single document",
                ));
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => root = Some(reader.value(event, span, 0)?),
        }
    }
    let first = Position { line: 1, column: 1 };
    let root = root.ok_or_else(|| {
        Malformed::new(
            first,
            "the file is empty; a configuration has at least `peers`",
        )
    })?;
    if root.values > MAX_VALUES {
        return Err(Malformed::new(
            root.position,
            format!(
                "{} values with all aliases expanded; at most {MAX_VALUES} are allowed",
                root.values
            ),
        ));
    }
    Ok(root)
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Rc<Node>>,
    /// Number of values read so far.
    read: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Malformed> {
        match self.parser.next_event() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// Reads the value that begins with `event`.
    fn value(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Rc<Node>, Malformed> {
        let position = start(span);
        self.read += 1;
        if self.read > MAX_VALUES {
            return Err(Malformed::new(
                position,
                format!("more than {MAX_VALUES} values"),
            ));
        }
        if depth > MAX_DEPTH {
            return Err(too_deep(position));
        }
        let (content, anchor, tag) = match event {
            Event::Alias(anchor) => {
                // Anchors are added after their value is read, so one inside its own value is
                // not found.
                return self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    Malformed::new(position, "this alias refers to a value that contains it")
                });
            }
            Event::Scalar(text, ScalarStyle::Plain, anchor, tag) => {
                (plain_scalar(text.into_owned()), anchor, tag)
            }
            Event::Scalar(text, _, anchor, tag) => (Content::Text(text.into_owned()), anchor, tag),
            Event::SequenceStart(anchor, tag) => (self.list(depth)?, anchor, tag),
            Event::MappingStart(anchor, tag) => (self.map(depth)?, anchor, tag),
            other => {
                return Err(Malformed::new(
                    position,
                    format!("expected a value, found {other:?}"),
                ));
            }
        };
        refuse_tag(tag.as_deref(), position)?;
        let (values, height) = match &content {
            Content::List(items) => measure(items.iter()),
            Content::Map(entries) => measure(entries.iter().map(|(_, value)| value)),
            _ => (1, 0),
        };
        if height > MAX_DEPTH {
            return Err(too_deep(position));
        }
        let value = Rc::new(Node {
            position,
            content,
            values,
            height,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&value));
        }
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Content, Malformed> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, span) => items.push(self.value(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, Malformed> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Content::Map(entries)),
                (Event::Scalar(text, _, 0, None), span) => Key {
                    text: text.into_owned(),
                    position: start(span),
                },
                (_, span) => {
                    return Err(Malformed::new(
                        start(span),
                        "a key must be plain text, without anchor, alias or tag",
                    ));
                }
            };
            if key.text == "<<" {
                return Err(Malformed::new(
                    key.position,
                    "merge keys are not supported; write the keys out, or put them under `defaults`",
                ));
            }
            let (event, span) = self.next()?;
            entries.push((key, self.value(event, span, depth + 1)?));
        }
    }
}

/// Resolves the type of a scalar without quotes.
fn plain_scalar(text: String) -> Content {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" => return Content::Bool(true),
        "false" | "False" | "FALSE" => return Content::Bool(false),
        _ => {}
    }
    match text.parse::<serde_yaml::Number>() {
        Ok(number) => Content::Number {
            whole: number
                .as_u64()
                .map(i128::from)
                .or(number.as_i64().map(i128::from)),
            written: text,
        },
        Err(_) if is_integer(&text) => Content::Number {
            written: text,
            whole: None,
        },
        Err(_) => Content::Text(text),
    }
}

/// Whether `text` is a decimal integer, of any size; `serde_yaml` has none beyond 64 bits. Digits
/// after a leading zero are text.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.starts_with(|c| ('1'..='9').contains(&c)) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn refuse_tag(tag: Option<&Tag>, position: Position) -> Result<(), Malformed> {
    match tag {
        Some(tag) => Err(Malformed::new(
            position,
            format!("tags such as {tag} are not supported; remove it"),
        )),
        None => Ok(()),
    }
}

fn too_deep(position: Position) -> Malformed {
    Malformed::new(
        position,
        format!("nested more than {MAX_DEPTH} levels deep, aliases followed"),
    )
}

/// Number of values and levels of a collection, from those of its children.
fn measure<'a>(children: impl Iterator<Item = &'a Rc<Node>>) -> (usize, usize) {
    children.fold((1, 0), |(values, height), child| {
        (
            values.saturating_add(child.values),
            height.max(child.height + 1),
        )
    })
}

fn start(span: Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

impl Malformed {
    fn new(position: Position, message: impl Into<String>) -> Self {
        Self {
            position,
            message: message.into(),
        }
    }

    /// Adds advice for a common mistake: inside `[]` and `{}` the braces of a variable end a
    /// plain text.
    fn with_advice(mut self, text: &str) -> Self {
        let line = text.lines().nth(self.position.line - 1);
        if line.is_some_and(|line| line.contains("${")) {
            self.message += "; inside [] and {}, put text with ${NAME} in quotes";
        }
        self
    }
}

impl From<ScanError> for Malformed {
    fn from(error: ScanError) -> Self {
        let at = error.marker();
        Self::new(
            Position {
                line: at.line(),
                column: at.col() + 1,
            },
            format!("not YAML: {}", error.info()),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn scalars_have_the_types_that_serde_yaml_gives_them(
            text in "[-+.0-9a-fxoenN~_: ]{0,9}|(true|TRUE|yes|null|Null|\\.inf|\\.NaN)[0-9a ]{0,1}",
        ) {
            use serde_yaml::Value::{Bool, Null, Number, String};

            let expected = serde_yaml::from_str(&text);
            if let (Ok(node), Ok(expected)) = (read(&text), expected) {
                let same = match &node.content {
                    Content::Null => matches!(expected, Null),
                    Content::Bool(value) => expected == Bool(*value),
                    Content::Number { whole, .. } => {
                        matches!(&expected, Number(number)
                            if number.as_i64().map(i128::from) == *whole || number.as_i64().is_none())
                    }
                    Content::Text(text) => expected == String(text.clone()),
                    Content::List(_) | Content::Map(_) => {
                        expected.is_sequence() || expected.is_mapping()
                    }
                };
                prop_assert!(same, "{:?} is not {expected:?}", node.content);
            }
        }
    }

    fn typed(text: &str) -> String {
        match &read(text).unwrap().content {
            Content::Null => "null".to_owned(),
            Content::Bool(_) => "bool".to_owned(),
            Content::Number { whole, .. } => format!("{whole:?}"),
            Content::Text(_) => "text".to_owned(),
            Content::List(_) | Content::Map(_) => "collection".to_owned(),
        }
    }

    #[test]
    fn plain_scalars_have_the_types_of_yaml_1_2() {
        for (text, expected) in [
            ("~", "null"),
            ("Null", "null"),
            ("TRUE", "bool"),
            ("yes", "text"),
            ("-7", "Some(-7)"),
            ("0x1f", "Some(31)"),
            ("0123", "text"),
            ("18446744073709551615", "Some(18446744073709551615)"),
            ("18446744073709551616", "None"),
            ("-9223372036854775809", "None"),
            ("1234567890123456789012345678901234567890", "None"),
            ("1.5", "None"),
            ("1e3", "None"),
            (".nan", "None"),
            ("12:30", "text"),
            ("\"7\"", "text"),
            ("'true'", "text"),
            ("|\n  7", "text"),
        ] {
            assert_eq!(typed(text), expected, "{text}");
        }
    }
}
