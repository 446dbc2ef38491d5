//! YAML in and out. The only file that knows `serde_yaml`, which gives the types but neither positions nor duplicate keys:
//! [`Located`] has those from a second reading, and a text that the two read differently is refused.

use std::fmt;

use serde::Serialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::Position;
use super::located::{Broken, Key, Located, Shape};

/// Largest file read, bytes: fifty thousand peers and more.
pub(super) const MAX_BYTES: u64 = 16 << 20;
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

/// Reads one YAML document.
pub(super) fn read(text: &str) -> Result<Node, Broken> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let marked = Located::document(text)?;
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

/// Walks what is located while `serde_yaml` says of what type it is.
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
