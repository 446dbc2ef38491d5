//! The form with which a list of alerts or events is filtered; it works without JavaScript.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use crate::fleet::Snapshot;

use super::format::sanitize;
use super::html_response;
use super::period::{LengthChoice, Period};

/// Most names of peers that the form suggests.
const MAX_SUGGESTED: usize = 200;

/// The parts of the form that both lists have; `list_form.html` draws them.
pub(super) struct ListForm<'a> {
    pub(super) lengths: Vec<LengthChoice<'a>>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) peer: &'a str,
    /// Names of peers to choose from.
    pub(super) peers: Vec<&'a str>,
    /// Names of networks to choose from; none if there is only one.
    pub(super) networks: Vec<&'a str>,
    pub(super) network: &'a str,
}

/// A value to choose from.
pub(super) struct Choice<'a> {
    pub(super) value: &'a str,
    pub(super) text: &'a str,
    pub(super) is_chosen: bool,
}

impl<'a> ListForm<'a> {
    pub(super) fn new(
        period: &'a Period,
        peer: &'a str,
        network: &'a str,
        snapshot: &'a Snapshot,
    ) -> Self {
        let mut networks: Vec<&str> = snapshot
            .networks
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        // One that is no longer watched has events still.
        if !network.is_empty() && !networks.contains(&network) {
            networks.push(network);
        }
        if networks.len() < 2 && network.is_empty() {
            networks.clear();
        }
        let peers = snapshot.peers.iter().take(MAX_SUGGESTED);
        Self {
            lengths: period.choices(),
            from: period.since_field(),
            to: period.until_field(),
            peer,
            peers: peers.map(|record| record.peer.name.as_str()).collect(),
            networks,
            network,
        }
    }
}

/// Hands each parameter of an address to `take`. Returns what is wrong with them.
pub(super) fn take_each(
    query: Option<&str>,
    mut take: impl FnMut(&str, &str) -> Result<(), String>,
) -> Vec<String> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter_map(|(name, value)| take(&name, value.trim()).err())
        .collect()
}

/// Returns the query string with its question mark, without empty parameters; empty if all are.
pub(super) fn query_string<'a>(
    period: &'a Period,
    others: impl IntoIterator<Item = (&'static str, &'a str)>,
) -> String {
    let all = period.parameters().into_iter().chain(others);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(all.filter(|(_, value)| !value.is_empty()));
    match query.finish() {
        query if query.is_empty() => query,
        query => format!("?{query}"),
    }
}

/// Whether an address has parameters without a value, as forms send them.
pub(super) fn has_empty(query: Option<&str>) -> bool {
    let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    parameters.any(|(_, value)| value.trim().is_empty())
}

/// Responds with the address of the same page that is worth sharing.
pub(super) fn see_other(address: String) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response()
}

/// Responds with a page whose address has these errors.
pub(super) fn respond(errors: &[String], page: askama::Result<String>) -> Response {
    let response = html_response(page);
    if errors.is_empty() || response.status() != StatusCode::OK {
        return response;
    }
    (StatusCode::BAD_REQUEST, response).into_response()
}

/// Returns the error of a parameter that must be one of `names`.
pub(super) fn unknown_value<'a>(
    parameter: &str,
    value: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    wrong_value(parameter, value, &format!("one of {}", names.join(", ")))
}

/// Returns the error of a parameter that is not what it must be.
pub(super) fn wrong_value(parameter: &str, value: &str, what: &str) -> String {
    format!(
        "`{parameter}` is {:?}, which is not {what}",
        sanitize(value)
    )
}

/// Returns the error of a parameter that there is not.
pub(super) fn unknown_parameter(parameter: &str, names: &[&str]) -> String {
    format!(
        "there is no parameter {:?}; there are {}",
        sanitize(parameter),
        names.join(", ")
    )
}
