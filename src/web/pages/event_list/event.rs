//! The page of one event, and the file of its evidence.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::alerting::{self, RULES};
use crate::fleet::Condition;
use crate::history::{EVENTS_KEPT, Event, EventKind, EvidenceError, Moment};
use crate::web::pages::format::{TimeFormat, Timestamp, sanitize};
use crate::web::pages::navigation::Place;
use crate::web::pages::period::around;
use crate::web::pages::{Pages, Shell, html_response, message, relative_times};

use super::kind::{class, condition_text, describe, kind_text};
use super::{all_evidence, evidence_of};

/// Events within this time of an event may have to do with it.
const AROUND: Duration = Duration::from_secs(600);

#[derive(Template)]
#[template(path = "pages/event.html")]
struct EventPage<'a> {
    shell: Shell<'a>,
    id: u64,
    at: Timestamp,
    class: &'static str,
    kind: &'static str,
    text: String,
    peer: Option<&'a str>,
    /// Whether the peer is still watched and has a page.
    peer_has_page: bool,
    network: Option<&'a str>,
    network_has_page: bool,
    fields: Vec<Field>,
    /// Name of the alert whose runbook says what to do.
    runbook: Option<&'static str>,
    evidence: Option<&'a str>,
    /// Query strings of the events at that time: of the same subject, if it has one, and of all.
    around_subject: Option<String>,
    around: String,
}

/// A field of the kind of an event.
struct Field {
    name: String,
    lines: Vec<String>,
}

/// `GET /events/{id}`
pub(in crate::web::pages) async fn page(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Response {
    let state = &pages.state;
    let Ok(number) = id.parse::<u64>() else {
        let text = format!(
            "{:?} is not the id of an event; the list of events links to each.",
            sanitize(&id)
        );
        return message(state, StatusCode::BAD_REQUEST, &text);
    };
    let Some(event) = state.history.event(number) else {
        let text = format!(
            "There is no event {number}, or no longer: the last {EVENTS_KEPT} events are kept."
        );
        return message(state, StatusCode::NOT_FOUND, &text);
    };
    let snapshot = state.fleet.snapshot();
    let times = relative_times(&snapshot);
    let kept = all_evidence(&pages);
    let (peer, network) = (event.peer.as_deref(), event.network.as_deref());
    let text = sanitize(&describe(&event.kind, event.at()));
    let page = EventPage {
        shell: Shell::new(state, format!("{text} · Convex peers")).at(Place::Events),
        id: number,
        at: times.at(event.at()),
        class: class(&event.kind),
        kind: kind_text(event.kind.name()),
        text,
        peer_has_page: snapshot.peers.iter().any(|it| Some(&*it.peer.name) == peer),
        network_has_page: snapshot
            .networks
            .iter()
            .any(|it| Some(&*it.name) == network),
        peer,
        network,
        fields: fields(&event.kind, times),
        runbook: runbook(&event.kind),
        evidence: evidence_of(&event, &kept),
        around_subject: match (peer, network) {
            (Some(peer), _) => Some(events_around(&event, Some(("peer", peer)))),
            (None, Some(network)) => Some(events_around(&event, Some(("network", network)))),
            (None, None) => None,
        },
        around: events_around(&event, None),
    };
    html_response(page.render())
}

/// `GET /evidence/{id}`: the file as it was written.
pub(in crate::web::pages) async fn evidence(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Response {
    let state = &pages.state;
    let shown = sanitize(&id);
    match state.history.evidence().read(&id).await {
        Some(Ok(text)) => {
            // The id was found, so it has only letters, digits and hyphens.
            let disposition = format!("attachment; filename=\"{id}.json\"");
            let headers = [
                (header::CONTENT_TYPE, "application/json".to_owned()),
                (header::CONTENT_DISPOSITION, disposition),
            ];
            (headers, text).into_response()
        }
        Some(Err(EvidenceError::Unknown { .. })) => {
            let text = format!("There is no evidence {shown}, or no longer.");
            message(state, StatusCode::NOT_FOUND, &text)
        }
        Some(Err(error)) => {
            tracing::warn!(evidence = %shown, %error, "evidence cannot be read");
            let text = format!("The evidence {shown} cannot be read; the agent's log says why.");
            message(state, StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
        None if !state.history.evidence().is_enabled() => {
            let text = "No evidence is kept, because state_dir is not set.";
            message(state, StatusCode::NOT_FOUND, text)
        }
        None => {
            let text = "The disk with the evidence does not respond; try again later.";
            message(state, StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

/// Returns the query string of the events around one.
fn events_around(event: &Event, filter: Option<(&str, &str)>) -> String {
    let (since, until) = (
        event.at().checked_sub(AROUND),
        event.at().checked_add(AROUND),
    );
    let mut query = Serializer::new(String::new());
    query
        .extend_pairs(around(since, until))
        .extend_pairs(filter);
    query.finish()
}

/// Returns the name of the alert whose runbook says what to do about an event.
fn runbook(kind: &EventKind) -> Option<&'static str> {
    let of_condition = |label: &str| Condition::named(label).map(alerting::alert_for_condition);
    match kind {
        EventKind::ConditionBegan { condition } | EventKind::EvidenceKept { condition, .. } => {
            of_condition(condition)
        }
        EventKind::AlertBegan { alertname, .. } => {
            let mut rules = RULES.iter();
            rules
                .find(|rule| rule.name == alertname)
                .map(|rule| rule.name)
        }
        EventKind::HealthChanged { to, .. } if to == "down" => Some("ConvexPeerDown"),
        EventKind::ForkBegan { .. } => Some("ConvexStateDiverged"),
        EventKind::KeyChanged { .. } => Some("ConvexPeerIdentityChanged"),
        EventKind::OrderChanged { to, .. } if to == "stalled" => Some("ConvexConsensusStalled"),
        EventKind::OrderChanged { to, .. } if to == "receding" => Some("ConvexFinalityReceding"),
        EventKind::StatesDifferBegan { .. } => Some("ConvexStatesDiffer"),
        EventKind::SplitBegan => Some("ConvexNetworkSplit"),
        EventKind::ResetBegan { .. } => Some("ConvexNetworkReset"),
        EventKind::ConfigRefused { .. } => Some("ConvexConfigReloadFailed"),
        _ => None,
    }
}

/// Returns the fields of a kind as the API has them, with names and values for people.
fn fields(kind: &EventKind, times: TimeFormat) -> Vec<Field> {
    let Ok(Value::Object(fields)) = serde_json::to_value(kind) else {
        return Vec::new();
    };
    // The page names the kind and links to the evidence.
    let fields = fields
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "kind" | "evidence"));
    fields
        .map(|(name, value)| Field {
            name: sanitize(&name.replace('_', " ")),
            lines: match (name.as_str(), value) {
                ("condition", Value::String(label)) => vec![format!(
                    "{} ({})",
                    sanitize(&condition_text(label)),
                    sanitize(label)
                )],
                ("starts_at", Value::Number(seconds)) => {
                    let at = Moment::from(seconds.as_f64().unwrap_or_default());
                    vec![times.at(at.time()).utc()]
                }
                (_, Value::String(text)) => text.lines().map(sanitize).collect(),
                (_, Value::Array(items)) => items
                    .iter()
                    .map(|item| sanitize(&item_text(item)))
                    .collect(),
                (_, value) => vec![sanitize(&value.to_string())],
            },
        })
        .collect()
}

/// Returns an object in a list as `name: value, name: value`.
fn item_text(item: &Value) -> String {
    let Value::Object(fields) = item else {
        return item.to_string();
    };
    let fields = fields.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}: {text}"),
        value => format!("{name}: {value}"),
    });
    fields.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::fleet::peer_json::ExactInteger;
    use crate::history::StateOfPeer;

    use super::*;

    #[test]
    fn all_fields_of_an_event_are_shown_and_harmless() {
        let shown = |kind: &EventKind| -> Vec<String> {
            let times = TimeFormat {
                now: SystemTime::UNIX_EPOCH,
                relative: true,
            };
            let fields = fields(kind, times).into_iter();
            fields
                .map(|field| format!("{}: {}", field.name, field.lines.join(" | ")))
                .collect()
        };
        let differ = EventKind::StatesDifferBegan {
            block: ExactInteger(7),
            states: vec![StateOfPeer {
                hash: "ab".to_owned(),
                peer: "<b>\u{202e}".to_owned(),
            }],
        };
        assert_eq!(
            shown(&differ),
            ["block: 7", "states: hash: ab, peer: <b>⟨U+202E⟩"]
        );
        let ended = EventKind::AlertEnded {
            alertname: "ConvexPeerDown".into(),
            severity: "critical".into(),
            service: None,
            summary: "a is down".to_owned(),
            starts_at: (SystemTime::UNIX_EPOCH + Duration::from_secs(86_460)).into(),
            why: String::new(),
        };
        assert_eq!(
            shown(&ended),
            [
                "alertname: ConvexPeerDown",
                "severity: critical",
                "starts at: 1970-01-02 00:01:00 UTC",
                "summary: a is down"
            ]
        );
        assert_eq!(
            shown(&EventKind::config_refused("one\ntwo\u{7}")),
            ["errors: one | two⟨U+0007⟩"]
        );
    }

    #[test]
    fn what_begins_has_a_runbook_and_what_ends_has_none() {
        let condition = |label: &'static str| EventKind::ConditionBegan {
            condition: label.into(),
        };
        assert_eq!(runbook(&condition("lagging")), Some("ConvexPeerLagging"));
        assert_eq!(runbook(&condition("of_later_version")), None);
        assert_eq!(runbook(&EventKind::SplitBegan), Some("ConvexNetworkSplit"));
        assert_eq!(runbook(&EventKind::SplitEnded), None);
    }
}
