//! One value of the file: its text with environment variables replaced, and how errors quote it.

use std::path::{Path, PathBuf};

use convex_client::mask_url;
use secrecy::zeroize::Zeroizing;

use super::secret_file::world_readable_warning;
use super::source::{Environment, Source};
use super::yaml::{Content, Node};

/// Longest text that an error quotes, characters.
const MAX_QUOTED_CHARS: usize = 80;

/// Quotes the start of a text.
fn quote(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTED_CHARS {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    format!("{:?}", start + "…")
}

/// A value that is being read, and the file that it is in.
pub(super) struct Value<'a> {
    pub(super) node: &'a Node,
    pub(super) source: &'a Source<'a>,
}

impl Value<'_> {
    /// Quotes a value that should be a URL for an error, as [`Self::quoted`] does, without what can
    /// be secret in a URL.
    pub(super) fn quoted_url(&self) -> String {
        match &self.node.content {
            Content::Text(text) => quote(&mask_url(text)),
            _ => self.quoted(),
        }
    }

    /// Quotes the value for an error: as written, so that no environment variable is revealed. Of a
    /// URL, only what cannot be secret is quoted.
    pub(super) fn quoted(&self) -> String {
        match &self.node.content {
            Content::Null => "nothing".to_owned(),
            Content::Bool(value) => value.to_string(),
            Content::Number { written, .. } => written.clone(),
            Content::Text(text) if text.contains("://") => self.quoted_url(),
            Content::Text(text) => quote(text),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Quotes the path that this value names; as written if it contains an environment variable,
    /// which may be a secret.
    pub(super) fn quoted_path(&self, path: &Path) -> String {
        if self.has_variable() {
            self.quoted()
        } else {
            format!("{:?}", path.to_string_lossy())
        }
    }

    /// Whether the text refers to the environment, so that its final form must not be revealed.
    pub(super) fn has_variable(&self) -> bool {
        self.source.env.is_some()
            && matches!(&self.node.content, Content::Text(text) if text.contains("${"))
    }

    /// Returns the number, if it is a whole one that is not in quotes.
    pub(super) fn whole_number(&self) -> Option<i128> {
        match &self.node.content {
            Content::Number { whole, .. } => *whole,
            _ => None,
        }
    }

    /// Returns the text, with `${NAME}` replaced from the environment and `$$` by a dollar.
    pub(super) fn text(&self) -> Result<String, String> {
        match &self.node.content {
            Content::Text(text) => match self.source.env {
                Some(env) => substitute(text, env),
                None => Ok(text.clone()),
            },
            Content::Number { .. } | Content::Bool(_) => {
                Err(format!("{} is not text; put it in quotes", self.quoted()))
            }
            _ => Err(format!(
                "{} is not text; expected a single text",
                self.quoted()
            )),
        }
    }

    /// As [`Self::text`], for a secret, which no error quotes.
    pub(super) fn secret_text(&self) -> Result<Zeroizing<String>, String> {
        match &self.node.content {
            Content::Text(_) => {
                if !self.has_variable() && self.source.world_readable.take() {
                    let file = format!("{:?}", self.source.file);
                    self.source
                        .warn(self.node.position, world_readable_warning(&file));
                }
                self.text().map(Zeroizing::new)
            }
            _ => Err("expected text; put it in quotes".to_owned()),
        }
    }

    /// Returns the path that the text names, relative to the directory of the file.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        Ok(self.source.resolve(&self.text()?))
    }
}

fn substitute(text: &str, env: &Environment) -> Result<String, String> {
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
            .ok_or(
                "a single `$`; write `$$` for a dollar, `${NAME}` for an environment variable",
            )?;
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
