//! The operator's own CVM queries, whose results are exported as gauges.

use std::time::Duration;

use convex_client::Query;

use super::keys::QUERY;
use super::networks::Networks;
use super::polling::INTERVAL;
use super::scalar::{duration, line};
use super::section::{Names, Section};
use super::source::Reported;
use super::value::Value;

/// Maximum number of queries: each adds series and load on a peer.
const MAX_QUERIES: usize = 50;
/// Longest expression, bytes.
const MAX_SOURCE_BYTES: usize = 16 << 10;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// A query that is sent to one peer of each of its networks.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomQuery {
    /// The `query` label; unique, `[a-z_][a-z0-9_]*`.
    pub name: String,
    /// The expression.
    pub query: Query,
    /// What the result means, for people; may be empty.
    pub help: String,
    /// Networks that are queried; at least one, all of them by default.
    pub networks: Vec<String>,
    /// Time between the starts of two queries.
    pub interval: Duration,
}

/// Reads `queries`.
pub(super) fn queries(
    file: &Section,
    networks: Result<&Networks, Reported>,
) -> Result<Vec<CustomQuery>, Reported> {
    let mut names = Names::default();
    let queries: Vec<_> = file
        .list("queries")?
        .into_iter()
        .flatten()
        .map(|(path, node)| {
            let section = Section::open(file.source, path, node, &QUERY)?;
            let name = names.claim(&section, query_name);
            query(&section, name, networks)
        })
        .collect();
    if queries.len() > MAX_QUERIES {
        let message = format!(
            "{} queries, at most {MAX_QUERIES}; remove some, or let one return a sum",
            queries.len()
        );
        return Err(file.report_value("queries", message));
    }
    queries.into_iter().collect()
}

fn query(
    section: &Section,
    name: Result<String, Reported>,
    networks: Result<&Networks, Reported>,
) -> Result<CustomQuery, Reported> {
    let query = section.require("source", expression);
    let help = section.read("help", line);
    let interval = section.read("interval", |value| duration(value, INTERVAL));
    let networks = networks.and_then(|networks| queried_networks(section, networks));
    Ok(CustomQuery {
        name: name?,
        query: query?,
        help: help?.unwrap_or_default(),
        networks: networks?,
        interval: interval?.unwrap_or(DEFAULT_INTERVAL),
    })
}

fn queried_networks(query: &Section, networks: &Networks) -> Result<Vec<String>, Reported> {
    let names = query.read_list("networks", |value| networks.name(value))?;
    if names.is_empty() {
        return Ok(networks.names().into_iter().map(str::to_owned).collect());
    }
    let mut names = names.into_iter().collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

/// Parses an expression that can be sent as a query.
fn expression(value: &Value) -> Result<Query, String> {
    let text = value.text()?;
    if text.len() > MAX_SOURCE_BYTES {
        return Err(format!(
            "an expression of {} bytes, at most {MAX_SOURCE_BYTES}",
            text.len()
        ));
    }
    Query::read(&text).map_err(|error| {
        let (line, column) = (error.line, error.column);
        let quoted = value.quoted();
        if value.has_variable() {
            // The problem may quote the value of the variable.
            format!(
                "{quoted} with its environment variables replaced is not an expression, \
                 at {line}:{column} in it"
            )
        } else {
            let problem = error.problem;
            format!("{quoted} is not an expression, at {line}:{column} in it: {problem}")
        }
    })
}

/// Parses a name that is a label value and can become part of a metric's name.
fn query_name(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    let starts = |c: char| c.is_ascii_lowercase() || c == '_';
    if text.starts_with(starts) && text.chars().all(|c| starts(c) || c.is_ascii_digit()) {
        Ok(text)
    } else {
        Err(format!(
            "{} is not a query name; expected lower-case letters, digits and `_`, \
             not beginning with a digit",
            value.quoted()
        ))
    }
}
