//! Sets what operators acknowledge and silence as silences in an Alertmanager, which repeats alerts
//! by itself, and deletes those that end early.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use humantime::format_rfc3339_millis;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::alerting::operator_actions::{ActionKind, Matchers};
use crate::alerting::{Alert, OperatorAction};

use super::context::MessageContext;
use super::sender::{Answer, DeliveryError, Reading, Request, Sender, classify};

/// Route of the API that takes silences.
const SILENCES: &str = "/api/v2/silences";

/// Route of one silence.
const SILENCE: &str = "/api/v2/silence/";

/// How often a silence is looked for: an Alertmanager that lost its data gets it again.
const CHECK_INTERVAL: Duration = Duration::from_secs(300);

/// How long after a restart no silence is deleted: what other agents were told is not known at
/// once.
const RESTORED_KEPT_FOR: Duration = Duration::from_secs(30);

/// The silences that an Alertmanager has, or has refused.
#[derive(Debug, Default)]
pub(super) struct Silences {
    /// By what identifies the action.
    known: BTreeMap<String, Known>,
    /// When they were restored, if they were.
    restored: Option<Instant>,
}

/// State of one silence there.
#[derive(Debug)]
struct Known {
    /// Its id there; none if the Alertmanager refused it.
    id: Option<String>,
    /// When it was set, or last looked for.
    checked: Instant,
}

/// Ids of silences in an Alertmanager, by what identifies the action, as they are saved.
pub(super) type SilenceIds = BTreeMap<String, String>;

/// A silence in the format of Alertmanager's API (`postableSilence`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableSilence {
    matchers: Vec<Matcher>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
}

/// A silence that an Alertmanager has (`gettableSilence`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedSilence {
    id: String,
    status: Status,
    matchers: Vec<Matcher>,
    created_by: String,
    comment: String,
}

impl ListedSilence {
    /// Whether it is active and silences what `wanted` does, for the same reason.
    fn is(&self, wanted: &PostableSilence) -> bool {
        let has_all = wanted.matchers.iter().all(|it| self.matchers.contains(it));
        self.status.state == "active"
            && has_all
            && self.matchers.len() == wanted.matchers.len()
            && self.created_by == wanted.created_by
            && self.comment == wanted.comment
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Matcher {
    name: String,
    /// An empty one stands for no such label.
    value: String,
    is_regex: bool,
    is_equal: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

#[derive(Deserialize)]
struct Found {
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Status {
    state: String,
}

impl Silences {
    /// The silences that were set before a restart.
    pub(super) fn restore(ids: SilenceIds) -> Self {
        let checked = Instant::now();
        let known = |id| Known {
            id: Some(id),
            checked,
        };
        let ids = ids.into_iter();
        Self {
            known: ids.map(|(key, id)| (key, known(id))).collect(),
            restored: Some(checked),
        }
    }

    /// Returns the ids to save.
    pub(super) fn ids(&self) -> SilenceIds {
        let known = self.known.iter();
        known
            .filter_map(|(key, known)| Some((key.clone(), known.id.clone()?)))
            .collect()
    }

    /// Whether an alert may be sent: a silenced one only if the Alertmanager has the silence.
    pub(super) fn allow(&self, alert: &Alert) -> bool {
        let has = |action| {
            let known = self.known.get(&key(action));
            known.is_some_and(|known| known.id.is_some())
        };
        alert.silenced.as_ref().is_none_or(has)
    }

    /// Makes the silences in the Alertmanager those that `wanted` asks for. Returns false if that
    /// has to be tried again.
    pub(super) async fn sync(
        &mut self,
        sender: &mut Sender,
        context: &MessageContext,
        wanted: &[OperatorAction],
    ) -> bool {
        let keys: BTreeSet<String> = wanted.iter().map(key).collect();
        let is_settled = self
            .restored
            .is_none_or(|restored| restored.elapsed() >= RESTORED_KEPT_FOR);
        let known = self.known.keys();
        let ended: Vec<String> = known
            .filter(|key| is_settled && !keys.contains(*key))
            .cloned()
            .collect();
        for key in ended {
            let id = self.known.get(&key).and_then(|known| known.id.clone());
            if let Some(id) = id
                && !delete(sender, &id).await
            {
                return false;
            }
            self.known.remove(&key);
        }
        for action in wanted {
            let key = key(action);
            if self.known.get(&key).is_some_and(|known| !known.is_due()) {
                continue;
            }
            let known: BTreeSet<&str> = self.known.values().filter_map(Known::id).collect();
            let id = self.known.get(&key).and_then(|known| known.id.clone());
            match set(sender, context, action, id, &known).await {
                Ok(id) => {
                    let checked = Instant::now();
                    self.known.insert(key, Known { id, checked });
                }
                // An Alertmanager that does not answer takes a while: one request is enough.
                Err(_) => return false,
            }
        }
        true
    }
}

impl Known {
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn is_due(&self) -> bool {
        self.checked.elapsed() >= CHECK_INTERVAL
    }
}

/// Identifies an action among those of all agents.
fn key(action: &OperatorAction) -> String {
    match &action.vantage {
        None => action.id.to_string(),
        Some(vantage) => format!("{vantage}: {}", action.matchers),
    }
}

/// Sets a silence, unless it is there as `id`, or as one that is not `known`: its id is lost if the
/// agent is killed before it is saved. Returns its id; none if the Alertmanager refuses it.
async fn set(
    sender: &mut Sender,
    context: &MessageContext,
    action: &OperatorAction,
    id: Option<String>,
    known: &BTreeSet<&str>,
) -> Result<Option<String>, DeliveryError> {
    if let Some(id) = id
        && is_active(sender, &id).await?
    {
        return Ok(Some(id));
    }
    if sender.clock.is_none() {
        // No alerts at all, to learn the time there.
        sender.post("/api/v2/alerts", b"[]".to_vec(), None).await?;
    }
    let there = sender.clock.map(|clock| clock.now(Instant::now()));
    let silence = PostableSilence::new(action, context, SystemTime::now(), there);
    if let Some(id) = find(sender, &silence, known).await? {
        return Ok(Some(id));
    }
    let body = serde_json::to_vec(&silence).expect("strings can be encoded as JSON");
    let request = Request {
        subpath: SILENCES.to_owned(),
        ..Request::post(body)
    };
    let created = sender.call(request, None, read_created).await;
    match created {
        Ok(id) => Ok(Some(id)),
        // Tried again when it would be looked for.
        Err(DeliveryError::Rejected(_)) => Ok(None),
        Err(error @ DeliveryError::Retryable(_)) => Err(error),
    }
}

/// Returns the id of an equal silence that is active and not `known`. None too if the Alertmanager
/// has so many that the answer is cut short.
async fn find(
    sender: &mut Sender,
    wanted: &PostableSilence,
    known: &BTreeSet<&str>,
) -> Result<Option<String>, DeliveryError> {
    let request = Request {
        method: Method::GET,
        subpath: SILENCES.to_owned(),
        ..Request::post(Vec::new())
    };
    let read = |answer: &Answer| {
        Reading::from(permanent(answer.status).map(|()| {
            let listed = serde_json::from_slice::<Vec<ListedSilence>>(&answer.body);
            let mut listed = listed.unwrap_or_default().into_iter();
            let same = listed.find(|it| it.is(wanted) && !known.contains(it.id.as_str()));
            same.map(|it| it.id)
        }))
    };
    match sender.call(request, None, read).await {
        Err(DeliveryError::Rejected(_)) => Ok(None),
        other => other,
    }
}

/// Deletes a silence. Returns false if that has to be tried again.
async fn delete(sender: &mut Sender, id: &str) -> bool {
    let request = request_of(Method::DELETE, id);
    let gone = |answer: &Answer| {
        // 404: it has been deleted, or the Alertmanager lost it. 500: it has expired.
        Reading::from(match answer.status {
            StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR => Ok(()),
            status => permanent(status),
        })
    };
    !matches!(
        sender.call(request, None, gone).await,
        Err(DeliveryError::Retryable(_))
    )
}

/// Whether the Alertmanager has a silence that has not ended.
async fn is_active(sender: &mut Sender, id: &str) -> Result<bool, DeliveryError> {
    let request = request_of(Method::GET, id);
    let read = |answer: &Answer| {
        Reading::from(match answer.status {
            StatusCode::NOT_FOUND => Ok(false),
            status => permanent(status).map(|()| {
                let found = serde_json::from_slice::<Found>(&answer.body);
                found.is_ok_and(|found| found.status.state != "expired")
            }),
        })
    };
    match sender.call(request, None, read).await {
        Err(DeliveryError::Rejected(_)) => Ok(false),
        other => other,
    }
}

fn request_of(method: Method, id: &str) -> Request {
    Request {
        method,
        subpath: format!("{SILENCE}{id}"),
        ..Request::post(Vec::new())
    }
}

fn read_created(answer: &Answer) -> Reading<String> {
    let created = permanent(answer.status).and_then(|()| {
        let created = serde_json::from_slice::<Created>(&answer.body);
        created.map(|created| created.silence_id).map_err(|error| {
            DeliveryError::Rejected(format!("the answer to a silence has no id: {error}"))
        })
    });
    created.into()
}

/// Classifies a status. A server that answers that there is no such route, or that it is not
/// allowed, takes no silences; that must not hold up alerts.
fn permanent(status: StatusCode) -> Result<(), DeliveryError> {
    match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED => Err(DeliveryError::Rejected(format!(
            "the receiver answered a silence with HTTP status {status}"
        ))),
        status => classify(status),
    }
}

impl PostableSilence {
    /// Formats an action at `wall`; `there` is the time of the Alertmanager, by which it ends.
    fn new(
        action: &OperatorAction,
        context: &MessageContext,
        wall: SystemTime,
        there: Option<SystemTime>,
    ) -> Self {
        let left = action.ends_at.duration_since(wall).unwrap_or_default();
        let there = there.unwrap_or(wall);
        let vantage = action.vantage.as_ref().unwrap_or(&context.vantage);
        Self {
            matchers: matchers(action, context),
            starts_at: format_rfc3339_millis(there).to_string(),
            // One that ends at once is refused.
            ends_at: format_rfc3339_millis(there + left.max(Duration::from_secs(2))).to_string(),
            created_by: format!("{} at {vantage}", action.created_by),
            comment: format!("{} ({})", action.comment, action.kind),
        }
    }
}

/// Returns the labels that alerts must have there.
fn matchers(action: &OperatorAction, context: &MessageContext) -> Vec<Matcher> {
    let labels = action.matchers.labels().into_iter();
    let labels = labels.filter_map(|(name, value)| match action.kind {
        // All labels of one alert: one about a network has no peer.
        ActionKind::Acknowledgement => Some((name, value.unwrap_or_default())),
        _ => Some((name, value?)),
    });
    let is_about_agent =
        action.kind == ActionKind::Acknowledgement && is_about_agent(&action.matchers);
    let vantage = is_about_agent.then_some(("vantage", context.vantage.as_str()));
    let of_all = context.operator_labels().iter();
    let of_all = of_all.map(|(name, value)| (name.as_str(), value.as_str()));
    labels
        .chain(vantage)
        .chain(of_all)
        .map(|(name, value)| Matcher {
            name: name.to_owned(),
            value: value.to_owned(),
            is_regex: false,
            is_equal: true,
        })
        .collect()
}

const fn is_about_agent(labels: &Matchers) -> bool {
    labels.peer.is_none() && labels.network.is_none()
}
