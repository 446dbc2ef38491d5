//! One mapping of the file, read key by key: reports every problem instead of stopping at the
//! first.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::error::Position;
use super::keys::Keys;
use super::source::{Reported, Source};
use super::value::Value;
use super::yaml::{Content, Key, Node};

/// The error about a key without a value.
pub(super) const NO_VALUE: &str = "has no value; add one or remove the key";

/// A mapping whose keys have been checked: none is unknown, none is duplicated.
pub(super) struct Section<'a> {
    pub(super) source: &'a Source<'a>,
    path: String,
    pub(super) position: Position,
    entries: HashMap<&'a str, (&'a Key, &'a Node)>,
}

impl<'a> Section<'a> {
    /// Opens the mapping `node`. Unknown and duplicate keys are reported; the others can be read.
    pub(super) fn open(
        source: &'a Source<'a>,
        path: String,
        node: &'a Node,
        keys: &Keys,
    ) -> Result<Self, Reported> {
        let entries = entries(source, &path, node)?;
        let section = Self {
            source,
            path,
            position: node.position,
            entries,
        };
        for (key, _) in section.entries.values() {
            let text = key.text.as_str();
            if !keys.allow(text) {
                let advice = match keys.meant_by(text) {
                    Some(key) => format!("did you mean `{key}`?"),
                    None => format!("allowed: {}", keys.allowed().collect::<Vec<_>>().join(", ")),
                };
                section.report(key.position, text, format!("unknown key; {advice}"));
            }
        }
        Ok(section)
    }

    /// Reads one key; `None` if it is missing.
    pub(super) fn read<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, String>,
    ) -> Result<Option<T>, Reported> {
        let Some(node) = self.node(key)? else {
            return Ok(None);
        };
        let value = Value {
            node,
            source: self.source,
        };
        parse(&value)
            .map(Some)
            .map_err(|message| self.report(node.position, key, message))
    }

    /// Reads one required key.
    pub(super) fn require<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, String>,
    ) -> Result<T, Reported> {
        self.read(key, parse)?
            .ok_or_else(|| self.report(self.position, key, "is missing; add it"))
    }

    /// Opens the mapping at one key; `None` if it is missing.
    pub(super) fn section(&self, key: &str, keys: &Keys) -> Result<Option<Self>, Reported> {
        match self.node(key)? {
            Some(node) => Section::open(self.source, self.path_of(key), node, keys).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the items of the list at one key with their paths; `None` if it is missing.
    pub(super) fn list(
        &self,
        key: &str,
    ) -> Result<Option<impl Iterator<Item = (String, &'a Node)> + use<'a>>, Reported> {
        let Some(node) = self.node(key)? else {
            return Ok(None);
        };
        let Content::List(items) = &node.content else {
            let value = Value {
                node,
                source: self.source,
            };
            let message = format!(
                "{} is not a list; write each item on its own line after `- `",
                value.quoted()
            );
            return Err(self.report(node.position, key, message));
        };
        let path = self.path_of(key);
        let items = items.iter().enumerate();
        Ok(Some(
            items.map(move |(i, node)| (format!("{path}[{i}]"), &**node)),
        ))
    }

    /// Reads the items of the list at one key, each with `parse`; empty if it is missing.
    pub(super) fn read_list<T>(
        &self,
        key: &str,
        mut parse: impl FnMut(&Value<'a>) -> Result<T, String>,
    ) -> Result<Vec<Result<T, Reported>>, Reported> {
        let source = self.source;
        let items = self.list(key)?.into_iter().flatten();
        Ok(items
            .map(|(path, node)| {
                parse(&Value { node, source })
                    .map_err(|message| source.report(node.position, path, message))
            })
            .collect())
    }

    /// Returns the entries of the mapping with arbitrary keys at one key, each with its path; empty
    /// if it is missing.
    pub(super) fn map(&self, key: &str) -> Result<Vec<(String, &'a Key, Value<'a>)>, Reported> {
        let Some(node) = self.node(key)? else {
            return Ok(Vec::new());
        };
        let path = self.path_of(key);
        let mut entries: Vec<_> = entries(self.source, &path, node)?.into_values().collect();
        entries.sort_by_key(|(key, _)| key.position);
        let source = self.source;
        Ok(entries
            .into_iter()
            .map(|(key, node)| (join(&path, &key.text), key, Value { node, source }))
            .collect())
    }

    /// Position of `key`, if present.
    pub(super) fn key_position(&self, key: &str) -> Option<Position> {
        self.entries.get(key).map(|(key, _)| key.position)
    }

    /// Position of the value of `key`, if present.
    pub(super) fn value_position(&self, key: &str) -> Option<Position> {
        self.entries.get(key).map(|(_, node)| node.position)
    }

    /// Reports a problem at the key `key`; at the section itself if the key is missing.
    pub(super) fn report_key(&self, key: &str, message: impl Into<String>) -> Reported {
        let position = self.key_position(key).unwrap_or(self.position);
        self.report(position, key, message)
    }

    /// Reports a problem at the value of `key`; at the section itself if the key is missing.
    pub(super) fn report_value(&self, key: &str, message: impl Into<String>) -> Reported {
        let position = self.value_position(key).unwrap_or(self.position);
        self.report(position, key, message)
    }

    pub(super) fn report(
        &self,
        position: Position,
        key: &str,
        message: impl Into<String>,
    ) -> Reported {
        self.source.report(position, self.path_of(key), message)
    }

    fn node(&self, key: &str) -> Result<Option<&'a Node>, Reported> {
        match self.entries.get(key) {
            Some((_, node)) if matches!(node.content, Content::Null) => {
                Err(self.report(node.position, key, NO_VALUE))
            }
            Some((_, node)) => Ok(Some(*node)),
            None => Ok(None),
        }
    }

    fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut joined = path.to_owned();
    if !joined.is_empty() {
        joined.push('.');
    }
    if key.chars().all(plain) && !key.is_empty() {
        joined.push_str(key);
    } else {
        write!(joined, "{key:?}").expect("writing to a String does not fail");
    }
    joined
}

/// Returns the entries of a mapping. A duplicate key is reported and keeps its first value.
fn entries<'a>(
    source: &Source,
    path: &str,
    node: &'a Node,
) -> Result<HashMap<&'a str, (&'a Key, &'a Node)>, Reported> {
    let Content::Map(pairs) = &node.content else {
        let quoted = Value { node, source }.quoted();
        return Err(source.report(
            node.position,
            path,
            format!("{quoted} is not a mapping; write `key: value` lines"),
        ));
    };
    let mut entries: HashMap<&str, (&Key, &Node)> = HashMap::with_capacity(pairs.len());
    for (key, node) in pairs {
        if let Some((first, _)) = entries.get(key.text.as_str()) {
            let message = format!(
                "given twice, first on line {}; remove one",
                first.position.line
            );
            source.report(key.position, join(path, &key.text), message);
        } else {
            entries.insert(&key.text, (key, node));
        }
    }
    Ok(entries)
}

/// Names used so far, each with its line.
#[derive(Default)]
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    /// Reads the section's `name` with `parse` and reports it if it is already used.
    pub(super) fn claim(
        &mut self,
        section: &Section,
        parse: impl FnOnce(&Value) -> Result<String, String>,
    ) -> Result<String, Reported> {
        let text = section.require("name", parse)?;
        let position = section.value_position("name").unwrap_or(section.position);
        if let Some(line) = self.0.get(&text) {
            let message = format!("{text:?} is already used on line {line}; names must be unique");
            return Err(section.report(position, "name", message));
        }
        self.0.insert(text.clone(), position.line);
        Ok(text)
    }
}
