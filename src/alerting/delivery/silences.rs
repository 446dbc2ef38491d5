//! Sets what operators acknowledge and silence as silences in an Alertmanager, which repeats alerts
//! by itself, and deletes those that end early.

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

/// How long after a restart no silence is deleted: what other agents were told is not known at once.
const RESTORED_KEPT_FOR: Duration = Duration::from_secs(30);

/// The silences that an Alertmanager has, or has refused.
#[derive(Debug, Default)]
pub(super) struct Silences {
    /// By what identifies the action.
    known: BTreeMap<String, Known>,
    /// When they were restored, if they were.
    restored: Option<Instant>,
}

/// What is known of one silence there.
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

#[derive(Debug, PartialEq, Eq, Serialize)]
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

#[derive(Deserialize)]
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

    /// Makes the silences in the Alertmanager those that `wanted` asks for. Returns false if that has
    /// to be tried again.
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
            let id = self.known.get(&key).and_then(|known| known.id.clone());
            match set(sender, context, action, id).await {
                Ok(id) => {
                    let checked = Instant::now();
                    self.known.insert(key, Known { id, checked });
                }
                // Whoever does not answer takes a while: one request is enough.
                Err(_) => return false,
            }
        }
        true
    }
}

impl Known {
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

/// Sets a silence, unless it is there as `id`. Returns its id; none if the Alertmanager refuses it.
async fn set(
    sender: &mut Sender,
    context: &MessageContext,
    action: &OperatorAction,
    id: Option<String>,
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

/// Classifies a status. Whoever answers that there is no such route, or that it is not allowed, takes
/// no silences; that must not hold up alerts.
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::{Path, State};
    use axum::routing::{get, post};
    use prometheus::Registry;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use crate::config::{self, HttpOptions, Target};

    use super::super::metrics::DeliveryMetrics;
    use super::*;

    /// What a stand-in for an Alertmanager holds.
    #[derive(Default)]
    struct Held {
        /// Silences by id; an expired one is null.
        silences: BTreeMap<String, Value>,
        posts: usize,
        /// Answers every request about silences, if set.
        status: Option<StatusCode>,
    }

    type Shared = Arc<Mutex<Held>>;

    async fn stand_in(held: &Shared) -> Sender {
        let create = async |State(held): State<Shared>, body: String| {
            let mut held = held.lock().unwrap();
            held.posts += 1;
            if let Some(status) = held.status {
                return (status, String::new());
            }
            let id = format!("id-{}", held.posts);
            let silence = serde_json::from_str(&body).unwrap();
            held.silences.insert(id.clone(), silence);
            (StatusCode::OK, json!({ "silenceID": id }).to_string())
        };
        let look = async |State(held): State<Shared>, Path(id): Path<String>| match held
            .lock()
            .unwrap()
            .silences
            .get(&id)
        {
            None => (StatusCode::NOT_FOUND, String::new()),
            Some(silence) => {
                let state = if silence.is_null() {
                    "expired"
                } else {
                    "active"
                };
                (
                    StatusCode::OK,
                    json!({ "status": { "state": state } }).to_string(),
                )
            }
        };
        let delete = async |State(held): State<Shared>, Path(id): Path<String>| {
            let mut held = held.lock().unwrap();
            if let Some(status) = held.status {
                return status;
            }
            match held.silences.get_mut(&id) {
                None => StatusCode::NOT_FOUND,
                Some(Value::Null) => StatusCode::INTERNAL_SERVER_ERROR,
                Some(silence) => {
                    *silence = Value::Null;
                    StatusCode::OK
                }
            }
        };
        let app = Router::new()
            .route("/api/v2/alerts", post(async || StatusCode::OK))
            .route(SILENCES, post(create))
            .route("/api/v2/silence/{id}", get(look).delete(delete))
            .with_state(Arc::clone(held));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let target = Target {
            url: url.as_str().into(),
            basic_auth: None,
            http: HttpOptions::default(),
        };
        let metrics = DeliveryMetrics::register(&Registry::new()).unwrap();
        Sender::new("am", &target, metrics, Arc::default())
    }

    fn context() -> MessageContext {
        let text = "vantage: v\nnotify: { labels: { site: paris } }\n\
                    peers: [{ name: p, endpoints: ['tcp://192.0.2.1'] }]\n";
        let config = config::parse(text, "c.yml", std::path::Path::new(""), &|_| None);
        MessageContext::from_config(&config.unwrap())
    }

    fn action(id: u64, kind: ActionKind, labels: [&str; 4]) -> OperatorAction {
        let [alertname, severity, peer, network] =
            labels.map(|it| (!it.is_empty()).then(|| it.to_owned()));
        let now = SystemTime::now();
        OperatorAction {
            id,
            kind,
            matchers: Matchers {
                alertname,
                severity,
                peer,
                network,
            },
            created_by: "alice".to_owned(),
            comment: "disk".to_owned(),
            starts_at: now,
            ends_at: now + Duration::from_secs(3600),
            vantage: None,
        }
    }

    fn of_peer(id: u64) -> OperatorAction {
        let labels = ["ConvexPeerDown", "critical", "p", "n"];
        action(id, ActionKind::Acknowledgement, labels)
    }

    /// The matchers of each active silence, as `name=value`.
    fn active(held: &Shared) -> Vec<String> {
        let held = held.lock().unwrap();
        let active = held.silences.values().filter(|it| !it.is_null());
        let text = |silence: &Value| {
            let matchers = silence["matchers"].as_array().unwrap().iter();
            let matchers = matchers.map(|it| {
                assert_eq!(
                    (&it["isRegex"], &it["isEqual"]),
                    (&json!(false), &json!(true))
                );
                format!(
                    "{}={}",
                    it["name"].as_str().unwrap(),
                    it["value"].as_str().unwrap()
                )
            });
            matchers.collect::<Vec<_>>().join(" ")
        };
        active.map(text).collect()
    }

    #[tokio::test]
    async fn a_silence_there_has_the_labels_of_its_alerts_and_no_more() {
        let context = context();
        for (kind, labels, expected) in [
            (
                ActionKind::Acknowledgement,
                ["ConvexPeerDown", "critical", "p", "n"],
                "alertname=ConvexPeerDown severity=critical peer=p network=n site=paris",
            ),
            (
                ActionKind::Acknowledgement,
                ["ConvexVantagesDisagree", "warning", "", "n"],
                "alertname=ConvexVantagesDisagree severity=warning peer= network=n site=paris",
            ),
            (
                ActionKind::Acknowledgement,
                ["ConvexMonitorUnhealthy", "warning", "", ""],
                "alertname=ConvexMonitorUnhealthy severity=warning peer= network= vantage=v site=paris",
            ),
            (ActionKind::Silence, ["", "", "p", ""], "peer=p site=paris"),
        ] {
            let held = Shared::default();
            let mut sender = stand_in(&held).await;
            let wanted = [action(1, kind, labels)];
            assert!(
                Silences::default()
                    .sync(&mut sender, &context, &wanted)
                    .await
            );
            assert_eq!(active(&held), [expected]);
        }
    }

    #[tokio::test]
    async fn a_silence_is_set_once_found_again_after_a_restart_and_deleted_when_it_ends() {
        let (held, context) = (Shared::default(), context());
        let mut sender = stand_in(&held).await;
        let mut silences = Silences::default();
        let both = [
            of_peer(1),
            action(2, ActionKind::Silence, ["", "", "q", ""]),
        ];
        for _ in 0..2 {
            assert!(silences.sync(&mut sender, &context, &both).await);
            assert_eq!(active(&held).len(), 2);
        }
        let mut silences = Silences::restore(silences.ids());
        assert!(silences.sync(&mut sender, &context, &both).await);
        assert_eq!(held.lock().unwrap().posts, 2, "each once");
        assert!(silences.sync(&mut sender, &context, &both[1..]).await);
        assert_eq!(active(&held).len(), 2, "it may only not be known yet");
        silences.restored = silences.restored.map(|at| at - RESTORED_KEPT_FOR);
        assert!(silences.sync(&mut sender, &context, &both[1..]).await);
        assert_eq!(active(&held), ["peer=q site=paris"]);
        // One that has expired there, or is unknown there, is gone as well.
        for silence in held.lock().unwrap().silences.values_mut() {
            *silence = Value::Null;
        }
        assert!(silences.sync(&mut sender, &context, &[]).await);
        assert!(silences.ids().is_empty());
        let mut silences = Silences::restore([("3".to_owned(), "unknown".to_owned())].into());
        silences.restored = None;
        assert!(silences.sync(&mut sender, &context, &[]).await);
        assert!(silences.ids().is_empty());
    }

    #[tokio::test]
    async fn an_alertmanager_that_lost_a_silence_gets_it_again() {
        let (held, context) = (Shared::default(), context());
        let mut sender = stand_in(&held).await;
        let mut silences = Silences::default();
        for lost in [false, true] {
            assert!(silences.sync(&mut sender, &context, &[of_peer(1)]).await);
            assert_eq!(active(&held).len(), 1);
            if lost {
                held.lock().unwrap().silences.clear();
            }
            for known in silences.known.values_mut() {
                known.checked -= CHECK_INTERVAL;
            }
        }
        assert!(silences.sync(&mut sender, &context, &[of_peer(1)]).await);
        assert_eq!((active(&held).len(), held.lock().unwrap().posts), (1, 2));
    }

    #[tokio::test]
    async fn an_alertmanager_that_takes_no_silences_is_not_asked_all_the_time_and_holds_up_nothing()
    {
        let alert = |silenced| Alert {
            rule: &crate::alerting::RULES[0],
            subject: crate::alerting::AlertSubject::Monitor,
            starts_at: SystemTime::now(),
            ends_at: None,
            ended_by: None,
            description: String::new(),
            acknowledged: None,
            silenced,
        };
        let context = context();
        let silence = action(1, ActionKind::Silence, ["", "", "p", ""]);
        for (status, done, posts, allowed) in [
            (None, true, 1, true),
            (Some(StatusCode::NOT_FOUND), true, 1, false),
            (Some(StatusCode::FORBIDDEN), true, 1, false),
            (Some(StatusCode::BAD_REQUEST), true, 1, false),
            (Some(StatusCode::SERVICE_UNAVAILABLE), false, 2, false),
        ] {
            let held = Shared::default();
            held.lock().unwrap().status = status;
            let mut sender = stand_in(&held).await;
            let mut silences = Silences::default();
            for _ in 0..2 {
                let wanted = [silence.clone()];
                assert_eq!(silences.sync(&mut sender, &context, &wanted).await, done);
            }
            assert_eq!(held.lock().unwrap().posts, posts, "{status:?}");
            assert!(silences.allow(&alert(None)), "{status:?}");
            let quiet = alert(Some(silence.clone()));
            assert_eq!(silences.allow(&quiet), allowed, "{status:?}");
        }
    }

    #[test]
    fn it_ends_by_the_clock_of_the_alertmanager() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut action = of_peer(1);
        action.ends_at = at(1_000_600);
        for (there, expected) in [
            (None, at(1_000_600)),
            (Some(at(2_000_000)), at(2_000_600)),
            (Some(at(500)), at(1_100)),
        ] {
            let silence = PostableSilence::new(&action, &context(), at(1_000_000), there);
            let expected = format_rfc3339_millis(expected).to_string();
            assert_eq!(silence.ends_at, expected);
            assert_eq!(silence.created_by, "alice at v");
            assert_eq!(silence.comment, "disk (acknowledgement)");
        }
    }
}
