//! The page with the forms that acknowledge, silence and maintain. It is not updated live, so that
//! nothing changes while somebody types.

use std::time::{Duration, SystemTime};

use askama::Template;
use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::alerting::operator_actions::{
    ActionKind, ActionRefused, Draft, MAX_COMMENT_CHARS, MAX_NAME_CHARS, Matchers,
};
use crate::web::listener::authorization;
use crate::web::operator::{self, NoBody};

use super::alerts::ActionLine;
use super::format::{TimeFormat, sanitize};
use super::{Pages, Shell, html_response, message, path_segment, peer_path};

#[derive(Template)]
#[template(path = "pages/actions.html")]
struct ActionsPage<'a> {
    shell: Shell<'a>,
    labels: Vec<(&'static str, String)>,
    /// Whether actions are kept; else there are no forms.
    are_kept: bool,
    forms: Vec<ActionForm>,
    actions: Vec<ActionLine>,
    /// The user whose password was sent: nobody has to type a name.
    user: Option<String>,
    max_name: usize,
    max_comment: usize,
}

/// A form that begins an action.
struct ActionForm {
    kind: ActionKind,
    title: &'static str,
    effect: &'static str,
    /// Labels that it sends.
    labels: Vec<(&'static str, String)>,
    /// Seconds and text of each choice, the usual one first.
    lengths: &'static [(u64, &'static str)],
    button: &'static str,
}

/// What a form sends. Fields that are not filled in are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FormFields {
    kind: Option<ActionKind>,
    /// What to end.
    end: Option<u64>,
    alertname: String,
    severity: String,
    peer: String,
    network: String,
    service: String,
    created_by: String,
    comment: String,
    seconds: Option<u64>,
    /// When maintenance begins, as `2026-12-01T22:00` in UTC.
    at: String,
}

/// `GET /actions`
pub(super) async fn page(
    State(pages): State<Pages>,
    Query(fields): Query<FormFields>,
    request: Request,
) -> Response {
    let state = &pages.state;
    let matchers = fields.matchers();
    let times = TimeFormat {
        now: SystemTime::now(),
        relative: true,
    };
    let mut actions = state.actions.active();
    actions.retain(|action| is_about(&action.matchers, &matchers));
    let page = ActionsPage {
        shell: Shell::new(
            state,
            "Acknowledge, silence, maintain · Convex peers".to_owned(),
        ),
        labels: labels(&matchers),
        are_kept: state.actions.are_kept(),
        forms: forms(&matchers),
        actions: actions
            .iter()
            .map(|action| ActionLine::new(action, times))
            .collect(),
        user: operator::user(&request),
        max_name: MAX_NAME_CHARS,
        max_comment: MAX_COMMENT_CHARS,
    };
    html_response(page.render())
}

/// `POST /actions`: begins or ends an action, then returns to the page of the peer or network.
pub(super) async fn act(State(pages): State<Pages>, request: Request) -> Response {
    let state = &pages.state;
    if let Some(why) = authorization::deny_reason(&request) {
        return message(state, StatusCode::FORBIDDEN, &format!("Refused: {why}."));
    }
    let user = operator::user(&request);
    let (head, body) = request.into_parts();
    let body = match operator::read_body(body).await {
        Ok(body) => body,
        Err(NoBody::Late) => {
            return message(
                state,
                StatusCode::REQUEST_TIMEOUT,
                "The form did not arrive in time.",
            );
        }
        Err(NoBody::TooLarge) => {
            return message(state, StatusCode::BAD_REQUEST, "The form is too large.");
        }
    };
    let form = Request::from_parts(head, Body::from(body));
    let Ok(Form(fields)) = Form::<FormFields>::from_request(form, &()).await else {
        return message(state, StatusCode::BAD_REQUEST, "The form is not valid.");
    };
    let created_by = operator::signature(user, filled(&fields.created_by)).unwrap_or_default();
    let back = back(&pages, &fields.matchers());
    let starts_at = filled(&fields.at).map(|text| begin(&text)).transpose();
    let done = match (fields.kind, fields.end) {
        (Some(_), None) if starts_at.is_err() => {
            let wrong = "the beginning is not a time; expected such as 2026-12-01T22:00, in UTC";
            Err(ActionRefused::Invalid(wrong.to_owned()))
        }
        (Some(kind), None) => {
            let draft = Draft {
                kind,
                matchers: fields.matchers(),
                created_by,
                comment: fields.comment.trim().to_owned(),
                starts_at: starts_at.unwrap_or_default(),
                length: fields.seconds.map(Duration::from_secs),
            };
            state.actions.begin(draft).await.map(|_| ())
        }
        (None, Some(_)) if created_by.is_empty() => {
            Err(ActionRefused::Invalid("`created_by` is empty".to_owned()))
        }
        (None, Some(id)) => state.actions.end(id, &created_by).await.map(|_| ()),
        _ => Err(ActionRefused::Invalid("give `kind` or `end`".to_owned())),
    };
    match done {
        Ok(()) => (StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response(),
        Err(refused) => {
            let text = format!("Nothing was changed: {}.", sanitize(&refused.to_string()));
            message(state, status(&refused), &text)
        }
    }
}

impl FormFields {
    fn matchers(&self) -> Matchers {
        Matchers {
            alertname: filled(&self.alertname),
            severity: filled(&self.severity),
            peer: filled(&self.peer),
            network: filled(&self.network),
            service: filled(&self.service),
        }
    }
}

fn filled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Parses the time of a form, which has no seconds and is in UTC.
fn begin(text: &str) -> Result<SystemTime, humantime::TimestampError> {
    let seconds = if text.matches(':').count() == 1 {
        ":00"
    } else {
        ""
    };
    humantime::parse_rfc3339(&format!("{text}{seconds}Z"))
}

fn labels(matchers: &Matchers) -> Vec<(&'static str, String)> {
    let given = matchers.labels().into_iter();
    given
        .filter_map(|(name, value)| Some((name, sanitize(value?))))
        .collect()
}

/// Whether an action may be about what has these labels.
fn is_about(action: &Matchers, wanted: &Matchers) -> bool {
    let pairs = action.labels().into_iter().zip(wanted.labels());
    pairs
        .into_iter()
        .all(|((_, action), (_, wanted))| action.is_none() || wanted.is_none() || action == wanted)
}

/// Returns the forms that make sense for these labels.
fn forms(matchers: &Matchers) -> Vec<ActionForm> {
    let mut forms = Vec::new();
    if matchers.alertname.is_some() {
        forms.push(ActionForm {
            kind: ActionKind::Acknowledgement,
            title: "Acknowledge",
            effect: "You are working on it. Notifications are not repeated until the alert ends or gets worse.",
            labels: labels(matchers),
            lengths: &[
                (14_400, "4 hours"),
                (3_600, "1 hour"),
                (1_800, "30 minutes"),
            ],
            button: "Acknowledge",
        });
    }
    if !matchers.is_empty() {
        forms.push(ActionForm {
            kind: ActionKind::Silence,
            title: "Silence",
            effect: "No notifications are sent about alerts with these labels. Pages and metrics still show them.",
            labels: labels(matchers),
            lengths: &[
                (14_400, "4 hours"),
                (3_600, "1 hour"),
                (86_400, "1 day"),
                (604_800, "7 days"),
                (2_592_000, "30 days"),
            ],
            button: "Silence",
        });
    }
    let of_peers = Matchers {
        alertname: None,
        severity: None,
        service: None,
        ..matchers.clone()
    };
    if !of_peers.is_empty() {
        forms.push(ActionForm {
            kind: ActionKind::Maintenance,
            title: "Start maintenance",
            effect: "The peer, or every peer of the network, raises no alerts, and the time counts neither as uptime nor as downtime.",
            labels: labels(&of_peers),
            lengths: &[
                (3_600, "1 hour"),
                (1_800, "30 minutes"),
                (14_400, "4 hours"),
                (86_400, "1 day"),
            ],
            button: "Start maintenance",
        });
    }
    forms
}

/// Returns the page to go back to.
fn back(pages: &Pages, matchers: &Matchers) -> String {
    let state = &pages.state;
    match (&matchers.peer, &matchers.network) {
        (Some(peer), _) => peer_path(state, peer),
        (None, Some(network)) => format!("{}/networks/{}", state.prefix, path_segment(network)),
        (None, None) => format!("{}/", state.prefix),
    }
}

const fn status(refused: &ActionRefused) -> StatusCode {
    match refused {
        ActionRefused::Invalid(_) => StatusCode::BAD_REQUEST,
        ActionRefused::NoSuchAlert(_)
        | ActionRefused::NotWatched(_)
        | ActionRefused::NoSuchAction(_) => StatusCode::NOT_FOUND,
        ActionRefused::NotKept
        | ActionRefused::SeveralAlerts { .. }
        | ActionRefused::TooMany { .. } => StatusCode::CONFLICT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_a_time_in_utc_with_or_without_seconds() {
        for (text, expected) in [
            ("2026-12-01T22:00", Some("2026-12-01T22:00:00Z")),
            ("2026-12-01T22:00:05", Some("2026-12-01T22:00:05Z")),
            ("2026-12-01", None),
            ("22:00", None),
            ("soon", None),
        ] {
            let parsed = begin(text).ok();
            let parsed = parsed.map(|time| humantime::format_rfc3339_seconds(time).to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }
}
