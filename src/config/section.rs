//! One mapping of the file, read key by key: everything wrong is reported, nothing stops at the first error.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use super::error::{Errors, Position, Problem};
use super::file::{Content, Node};
use super::keys::{Keys, nearest};
use super::located::Key;
use super::secret_file::open_to_all;

/// Stands for a value that is not there because what is wrong with it has been reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused;

/// Gives the value of an environment variable.
type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A configuration being read: where it comes from, what its texts may refer to, what is wrong with it.
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    /// Relative file names in the configuration start here.
    pub(super) base_dir: &'a Path,
    /// The environment that texts may refer to; none: a dollar is a dollar.
    env: Option<&'a Environment<'a>>,
    problems: RefCell<Vec<Problem>>,
    /// What is right but unwise.
    warnings: RefCell<Vec<Problem>>,
    /// Whether every user of the host can read the file, and nothing was said of that yet.
    open_to_all: Cell<bool>,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        file: &'a str,
        base_dir: &'a Path,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            file,
            base_dir,
            env: Some(env),
            problems: RefCell::default(),
            warnings: RefCell::default(),
            open_to_all: Cell::default(),
        }
    }

    /// One whose texts are taken as they are.
    pub(super) fn literal(file: &'a str, base_dir: &'a Path) -> Self {
        Self {
            file,
            base_dir,
            env: None,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            open_to_all: Cell::default(),
        }
    }

    /// Says whether every user of the host can read the file: then it should hold no secret.
    pub(super) fn open_to_all(self, open: bool) -> Self {
        self.open_to_all.set(open);
        self
    }

    pub(super) fn warn(&self, position: Position, message: String) {
        self.warnings.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            position: Some(position),
            path: String::new(),
            message,
        });
    }

    /// What was warned of.
    pub(super) fn take_warnings(&self) -> Vec<Problem> {
        self.warnings.take()
    }

    /// Takes over the warnings of another file that this one names.
    pub(super) fn absorb_warnings(&self, warnings: Vec<Problem>) {
        self.warnings.borrow_mut().extend(warnings);
    }

    pub(super) fn report(
        &self,
        position: Position,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Refused {
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            position: Some(position),
            path: path.into(),
            message: message.into(),
        });
        Refused
    }

    /// Takes over what is wrong with another file that this one names.
    pub(super) fn absorb(&self, problems: impl IntoIterator<Item = Problem>) -> Refused {
        self.problems.borrow_mut().extend(problems);
        Refused
    }

    /// The value, unless anything was reported.
    pub(super) fn finish<T>(self, value: Result<T, Refused>) -> Result<T, Errors> {
        let problems = self.problems.into_inner();
        match value {
            Ok(value) if problems.is_empty() => Ok(value),
            _ => Err(Errors::new(problems)),
        }
    }

    pub(super) fn resolve(&self, file: &str) -> PathBuf {
        self.base_dir.join(file)
    }
}

/// A mapping whose keys have been checked: none unknown, none twice.
pub(super) struct Section<'a> {
    pub(super) source: &'a Source<'a>,
    path: String,
    pub(super) position: Position,
    entries: HashMap<&'a str, (&'a Key, &'a Node)>,
}

impl<'a> Section<'a> {
    /// Opens the mapping `node`; its unknown and double keys are reported, the others can be read.
    pub(super) fn open(
        source: &'a Source<'a>,
        path: String,
        node: &'a Node,
        keys: &Keys,
    ) -> Result<Self, Refused> {
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
                let advice = match nearest(text, keys.allowed()) {
                    Some(key) => format!("did you mean `{key}`?"),
                    None => format!("allowed: {}", keys.allowed().collect::<Vec<_>>().join(", ")),
                };
                section.report(key.position, text, format!("unknown key; {advice}"));
            }
        }
        Ok(section)
    }

    /// Reads one key; none when it is not there.
    pub(super) fn read<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, String>,
    ) -> Result<Option<T>, Refused> {
        let Some(&(_, node)) = self.entries.get(key) else {
            return Ok(None);
        };
        let value = Value {
            node,
            source: self.source,
        };
        if matches!(node.content, Content::Null) {
            return Err(self.report(
                node.position,
                key,
                "has no value; give it one or remove the key",
            ));
        }
        parse(&value)
            .map(Some)
            .map_err(|message| self.report(node.position, key, message))
    }

    /// Reads one key that must be there.
    pub(super) fn need<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, String>,
    ) -> Result<T, Refused> {
        self.read(key, parse)?
            .ok_or_else(|| self.report(self.position, key, "is missing; add it"))
    }

    /// Opens the mapping under one key; none when it is not there.
    pub(super) fn section(&self, key: &str, keys: &Keys) -> Result<Option<Self>, Refused> {
        match self.node(key)? {
            Some(node) => Section::open(self.source, self.path_of(key), node, keys).map(Some),
            None => Ok(None),
        }
    }

    /// The items under one key with their paths; none when it is not there.
    pub(super) fn list(
        &self,
        key: &str,
    ) -> Result<Option<impl Iterator<Item = (String, &'a Node)> + use<'a>>, Refused> {
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
                value.found()
            );
            return Err(self.report(node.position, key, message));
        };
        let path = self.path_of(key);
        let items = items.iter().enumerate();
        Ok(Some(
            items.map(move |(i, node)| (format!("{path}[{i}]"), node)),
        ))
    }

    /// The entries of the free mapping under one key, each with its path; empty when it is not there.
    pub(super) fn map(&self, key: &str) -> Result<Vec<(String, &'a Key, Value<'a>)>, Refused> {
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

    /// Where `key` stands, when it is there.
    pub(super) fn key_position(&self, key: &str) -> Option<Position> {
        self.entries.get(key).map(|(key, _)| key.position)
    }

    /// Where the value of `key` stands, when it is there.
    pub(super) fn value_position(&self, key: &str) -> Option<Position> {
        self.entries.get(key).map(|(_, node)| node.position)
    }

    pub(super) fn report(
        &self,
        position: Position,
        key: &str,
        message: impl Into<String>,
    ) -> Refused {
        self.source.report(position, self.path_of(key), message)
    }

    fn node(&self, key: &str) -> Result<Option<&'a Node>, Refused> {
        match self.entries.get(key) {
            Some((_, node)) if matches!(node.content, Content::Null) => Err(self.report(
                node.position,
                key,
                "has no value; give it one or remove the key",
            )),
            Some((_, node)) => Ok(Some(*node)),
            None => Ok(None),
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
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

/// The entries of a mapping; a key that is given twice is reported and keeps its first value.
fn entries<'a>(
    source: &Source,
    path: &str,
    node: &'a Node,
) -> Result<HashMap<&'a str, (&'a Key, &'a Node)>, Refused> {
    let Content::Map(pairs) = &node.content else {
        let found = Value { node, source }.found();
        return Err(source.report(
            node.position,
            path,
            format!("{found} is not a mapping; write `key: value` lines"),
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

/// Names given so far, each with its line.
#[derive(Default)]
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    /// The section's name, as `parse` takes it, which no earlier one has.
    pub(super) fn claim(
        &mut self,
        section: &Section,
        parse: impl FnOnce(&Value) -> Result<String, String>,
    ) -> Result<String, Refused> {
        let text = section.need("name", parse)?;
        let position = section.value_position("name").unwrap_or(section.position);
        if let Some(line) = self.0.get(&text) {
            let message = format!("{text:?} is already the name on line {line}; names are unique");
            return Err(section.report(position, "name", message));
        }
        self.0.insert(text.clone(), position.line);
        Ok(text)
    }
}

/// A value to be read, with what its text may refer to.
pub(super) struct Value<'a> {
    pub(super) node: &'a Node,
    pub(super) source: &'a Source<'a>,
}

impl Value<'_> {
    /// What stands in the file, for a message: as written, so that no environment variable's content is told.
    pub(super) fn found(&self) -> String {
        const SHOWN: usize = 80;
        match &self.node.content {
            Content::Null => "nothing".to_owned(),
            Content::Bool(value) => value.to_string(),
            Content::Number { written, .. } => written.clone(),
            Content::Text(text) if text.chars().count() > SHOWN => {
                let start: String = text.chars().take(SHOWN).collect();
                format!("{:?}", start + "…")
            }
            Content::Text(text) => format!("{text:?}"),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The name of a file for a message; as written when the environment was put into it, in case that was a secret.
    pub(super) fn shown(&self, path: &Path) -> String {
        if self.is_substituted() {
            self.found()
        } else {
            format!("{:?}", path.to_string_lossy())
        }
    }

    /// Whether the text refers to the environment, so that what it became must not be told.
    pub(super) fn is_substituted(&self) -> bool {
        self.source.env.is_some()
            && matches!(&self.node.content, Content::Text(text) if text.contains("${"))
    }

    /// The text with `${NAME}` replaced from the environment and `$$` by a dollar.
    pub(super) fn text(&self) -> Result<String, String> {
        match &self.node.content {
            Content::Text(text) => match self.source.env {
                Some(env) => substitute(text, env),
                None => Ok(text.clone()),
            },
            Content::Number { .. } | Content::Bool(_) => {
                Err(format!("{} is not text; put it in quotes", self.found()))
            }
            _ => Err(format!("{} is not text; give a single text", self.found())),
        }
    }

    /// As [`Self::text`], for what must not be repeated in a message.
    pub(super) fn secret_text(&self) -> Result<Zeroizing<String>, String> {
        match &self.node.content {
            Content::Text(_) => {
                if !self.is_substituted() && self.source.open_to_all.take() {
                    let file = format!("{:?}", self.source.file);
                    self.source.warn(self.node.position, open_to_all(&file));
                }
                self.text().map(Zeroizing::new)
            }
            _ => Err("expected text; put it in quotes".to_owned()),
        }
    }
}

fn substitute(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
            .filter(|(name, _)| is_variable(name))
            .ok_or("a lone `$`; write `$$` for a dollar, `${NAME}` for an environment variable")?;
        let value = env(name).ok_or_else(|| {
            format!("environment variable {name} is not set; set it, or write `$$` for a dollar")
        })?;
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
