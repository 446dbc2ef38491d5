//! The operator's own CVM expressions, whose values become gauges.

use std::time::Duration;

use convex_client::Query;

use super::keys::QUERY;
use super::networks::Networks;
use super::rhythm::INTERVAL;
use super::scalar::{duration, line};
use super::section::{Names, Refused, Section, Value};

/// Each query makes series and costs a peer the work of answering.
const MAX_QUERIES: usize = 50;
/// Longest expression, bytes.
const MAX_SOURCE: usize = 16 << 10;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// An expression that a peer of each of its networks is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomQuery {
    /// The `query` label; unique, `[a-z_][a-z0-9_]*`.
    pub name: String,
    /// The expression.
    pub question: Query,
    /// What the value means, for people; may be empty.
    pub help: String,
    /// Names of the networks where it is asked; at least one, all of them unless configured.
    pub networks: Vec<String>,
    /// From start to start of two askings.
    pub interval: Duration,
}

/// The file's `queries`.
pub(super) fn queries(
    file: &Section,
    networks: Result<&Networks, Refused>,
) -> Result<Vec<CustomQuery>, Refused> {
    let mut names = Names::default();
    let queries: Vec<_> = file
        .list("queries")?
        .into_iter()
        .flatten()
        .map(|(path, node)| {
            let section = Section::open(file.source, path, node, &QUERY)?;
            let name = names.claim(&section, name);
            query(&section, name, networks)
        })
        .collect();
    if queries.len() > MAX_QUERIES {
        let position = file.value_position("queries").unwrap_or(file.position);
        let message = format!(
            "{} queries, at most {MAX_QUERIES}; remove some, or let one return a sum",
            queries.len()
        );
        return Err(file.report(position, "queries", message));
    }
    queries.into_iter().collect()
}

fn query(
    section: &Section,
    name: Result<String, Refused>,
    networks: Result<&Networks, Refused>,
) -> Result<CustomQuery, Refused> {
    let expression = section.need("source", expression);
    let help = section.read("help", line);
    let interval = section.read("interval", |value| duration(value, INTERVAL));
    let networks = networks.and_then(|networks| asked_in(section, networks));
    Ok(CustomQuery {
        name: name?,
        question: expression?,
        help: help?.unwrap_or_default(),
        networks: networks?,
        interval: interval?.unwrap_or(DEFAULT_INTERVAL),
    })
}

fn asked_in(query: &Section, networks: &Networks) -> Result<Vec<String>, Refused> {
    let source = query.source;
    let items = query.list("networks")?.into_iter().flatten();
    let named: Vec<_> = items
        .map(|(path, node)| {
            networks
                .named(&Value { node, source })
                .map_err(|message| source.report(node.position, path, message))
        })
        .collect();
    if named.is_empty() {
        return Ok(networks.names().into_iter().map(str::to_owned).collect());
    }
    let mut named = named.into_iter().collect::<Result<Vec<_>, _>>()?;
    named.sort();
    named.dedup();
    Ok(named)
}

/// An expression that a peer can be asked.
fn expression(value: &Value) -> Result<Query, String> {
    let text = value.text()?;
    if text.len() > MAX_SOURCE {
        return Err(format!(
            "an expression of {} bytes, at most {MAX_SOURCE}",
            text.len()
        ));
    }
    match Query::read(&text) {
        Ok(question) => Ok(question),
        Err(error) => {
            let (line, column) = (error.line, error.column);
            let found = value.found();
            Err(if value.is_substituted() {
                // What is wrong may repeat what the environment gave.
                format!(
                    "{found} is no expression once the environment is put in, at {line}:{column} of it"
                )
            } else {
                let problem = error.problem;
                format!("{found} is no expression, at {line}:{column} of it: {problem}")
            })
        }
    }
}

/// A name that is a label value and can become part of a metric's name.
fn name(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    let starts = |c: char| c.is_ascii_lowercase() || c == '_';
    if text.starts_with(starts) && text.chars().all(|c| starts(c) || c.is_ascii_digit()) {
        Ok(text)
    } else {
        Err(format!(
            "{} is not a query's name; expected lower-case letters, digits and `_`, not first a digit",
            value.found()
        ))
    }
}
