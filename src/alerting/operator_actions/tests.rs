//! Tests of what operators may say, what it is about, and when it ends.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::alerting::{Alert, AlertSubject, Rule};
use crate::config::Severity;
use crate::fleet::Rename;

use super::store::FiringAlert;
use super::{ActionKind, ActionStore, Draft, Matchers};
use ActionKind::{Acknowledgement, Maintenance, Silence};

const HOUR: u64 = 3600;

/// A moment so many seconds after the start, by both clocks.
#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
    /// How far the wall clock was set forwards.
    step: i64,
}

impl Clock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            step: 0,
        }
    }

    fn at(self, seconds: u64) -> (Instant, SystemTime) {
        let now = self.start + Duration::from_secs(seconds);
        let wall = (1_000_000_000 + seconds).saturating_add_signed(self.step);
        (now, SystemTime::UNIX_EPOCH + Duration::from_secs(wall))
    }
}

/// Labels as `alertname severity peer network`, with `-` for none.
fn matchers(text: &str) -> Matchers {
    let mut words = text
        .split(' ')
        .map(|word| (word != "-").then(|| word.to_owned()));
    Matchers {
        alertname: words.next().flatten(),
        severity: words.next().flatten(),
        peer: words.next().flatten(),
        network: words.next().flatten(),
        service: None,
    }
}

fn draft(kind: ActionKind, labels: &str, seconds: Option<u64>) -> Draft {
    Draft {
        kind,
        matchers: matchers(labels),
        created_by: "alice".to_owned(),
        comment: "disk is being replaced".to_owned(),
        starts_at: None,
        length: seconds.map(Duration::from_secs),
    }
}

/// A firing alert with these labels.
fn alert(labels: &str) -> Alert {
    let Matchers {
        alertname,
        severity,
        peer,
        network,
        ..
    } = matchers(labels);
    let subject = match (peer, network) {
        (Some(peer), Some(network)) => AlertSubject::Peer { peer, network },
        (None, Some(network)) => AlertSubject::Network { network },
        _ => AlertSubject::Monitor,
    };
    let severity = severity.as_deref().and_then(Severity::named);
    Alert {
        rule: Rule::find(&alertname.unwrap(), severity, &subject).unwrap(),
        subject,
        starts_at: SystemTime::UNIX_EPOCH,
        ends_at: None,
        ended_by: None,
        description: String::new(),
        acknowledged: None,
        silenced: None,
    }
}

fn firing<'a>(alerts: &'a [Alert], causes: &[&str]) -> Vec<FiringAlert<'a>> {
    let causes: BTreeSet<String> = causes.iter().map(|it| (*it).to_owned()).collect();
    let alerts = alerts.iter();
    alerts
        .map(|alert| FiringAlert {
            labels: Matchers::of(alert),
            alert,
            causes: causes.clone(),
        })
        .collect()
}

const DOWN: &str = "ConvexPeerDown critical p n";
const DEGRADED: &str = "ConvexPeerDegraded warning p n";
const OF_PEER: &str = "ConvexVantagesDisagree warning p n";
const OF_NETWORK: &str = "ConvexVantagesDisagree warning - n";
const STAKE_LOW: &str = "ConvexOwnStakeBelowMinimum warning p n";
const STAKE_LOST: &str = "ConvexOwnStakeBelowMinimum critical p n";

#[test]
fn an_acknowledgement_is_about_one_firing_alert_named_by_as_many_labels_as_it_takes() {
    let alerts = [DOWN, DEGRADED, OF_PEER, OF_NETWORK].map(alert);
    let (now, wall) = Clock::new().at(0);
    for (labels, expected) in [
        ("ConvexPeerDown - - -", Ok(DOWN)),
        (DOWN, Ok(DOWN)),
        // All labels of one are some labels of the other.
        (OF_NETWORK, Ok(OF_NETWORK)),
        ("ConvexVantagesDisagree - p -", Ok(OF_PEER)),
        ("ConvexVantagesDisagree - - -", Err("2 alerts fire with")),
        ("ConvexPeerDown warning - -", Err("no alert fires with")),
        ("ConvexPeerDown - q -", Err("no alert fires with")),
        ("ConvexPeerForked - - -", Err("no alert fires with")),
        ("- - p -", Err("`alertname` is missing")),
    ] {
        let mut store = ActionStore::default();
        let draft = draft(Acknowledgement, labels, None);
        let begun = store.begin(draft, &firing(&alerts, &[]), now, wall);
        match expected {
            Ok(expected) => assert_eq!(begun.unwrap().matchers, matchers(expected), "{labels}"),
            Err(why) => {
                let error = begun.unwrap_err().to_string();
                assert!(error.starts_with(why), "{labels}: {error}");
                assert!(store.actions(now, wall).is_empty());
            }
        }
        let acknowledged = |labels: &&str| store.about(&alert(labels), now, wall).0.is_some();
        let marked: Vec<&str> = [DOWN, DEGRADED, OF_PEER, OF_NETWORK]
            .into_iter()
            .filter(acknowledged)
            .collect();
        assert_eq!(marked, Vec::from_iter(expected.ok()), "{labels}");
    }
}

#[test]
fn an_acknowledgement_ends_with_its_alert_when_that_gets_worse_or_after_four_hours() {
    for (what, seconds, alerts, causes, expected) in [
        (
            "nothing new",
            4 * HOUR - 1,
            &[STAKE_LOW][..],
            &["a", "b"][..],
            None,
        ),
        ("less of it", HOUR, &[STAKE_LOW], &["b"], None),
        ("another alert", HOUR, &[STAKE_LOW, DOWN], &["a"], None),
        (
            "time",
            4 * HOUR,
            &[STAKE_LOW],
            &["a"],
            Some("its time is over"),
        ),
        ("the end", HOUR, &[DOWN], &[], Some("the alert has ended")),
        (
            "severity",
            HOUR,
            &[STAKE_LOW, STAKE_LOST],
            &["a"],
            Some("it got worse: critical fires"),
        ),
        (
            "a new cause",
            HOUR,
            &[STAKE_LOW],
            &["a", "c"],
            Some("it got worse: c as well"),
        ),
    ] {
        let clock = Clock::new();
        let (now, wall) = clock.at(0);
        let mut store = ActionStore::default();
        let acknowledged = [alert(STAKE_LOW)];
        let draft = draft(Acknowledgement, STAKE_LOW, None);
        let of_start = firing(&acknowledged, &["a", "b"]);
        store.begin(draft, &of_start, now, wall).unwrap();
        store.take_events();
        let alerts: Vec<Alert> = alerts.iter().map(|labels| alert(labels)).collect();
        let (now, wall) = clock.at(seconds);
        store.follow(&firing(&alerts, causes), now, wall);
        let ended = store.take_events().pop().and_then(|event| event.ended);
        assert_eq!(ended.as_deref(), expected, "{what}");
        let left = store.actions(now, wall).len();
        assert_eq!(left, usize::from(expected.is_none()), "{what}");
    }
}

#[test]
fn a_silence_is_about_alerts_with_all_of_its_labels_whenever_they_fire() {
    let all = [DOWN, DEGRADED, OF_NETWORK, "ConvexPeerDown critical q m"];
    for (labels, expected) in [
        ("- - p -", &[true, true, false, false][..]),
        ("- - - n", &[true, true, true, false]),
        ("ConvexPeerDown - - -", &[true, false, false, true]),
        ("ConvexPeerDown - p -", &[true, false, false, false]),
        ("- warning - n", &[false, true, true, false]),
        ("- - p m", &[false, false, false, false]),
    ] {
        let (now, wall) = Clock::new().at(0);
        let mut store = ActionStore::default();
        let begun = store.begin(draft(Silence, labels, Some(60)), &[], now, wall);
        assert_eq!(begun.unwrap().matchers, matchers(labels));
        let silenced = all.map(|labels| store.about(&alert(labels), now, wall).1.is_some());
        assert_eq!(silenced, expected, "{labels}");
        let none = all
            .iter()
            .all(|it| store.about(&alert(it), now, wall).0.is_none());
        assert!(none, "a silence acknowledges nothing");
    }
}

#[test]
fn times_and_texts_out_of_bounds_are_refused() {
    let (now, wall) = Clock::new().at(0);
    let alerts = [alert(DOWN)];
    let ahead = |seconds: u64| Some(wall + Duration::from_secs(seconds));
    let ago = |seconds: u64| Some(wall - Duration::from_secs(seconds));
    let day = 24 * HOUR;
    for (kind, labels, seconds, starts_at, expected) in [
        (Acknowledgement, DOWN, Some(4 * HOUR), None, ""),
        (
            Acknowledgement,
            DOWN,
            Some(4 * HOUR + 1),
            None,
            "expected 1s to 4h",
        ),
        (Acknowledgement, DOWN, Some(0), None, "expected 1s to 4h"),
        (
            Acknowledgement,
            DOWN,
            None,
            ahead(60),
            "`starts_at` is of maintenance only",
        ),
        (Silence, "- - p -", None, None, "`seconds` is missing"),
        (Silence, "- - - -", Some(60), None, "give at least one of"),
        (Silence, "- - p -", Some(30 * day), None, ""),
        (
            Silence,
            "- - p -",
            Some(30 * day + 1),
            None,
            "expected 1s to 30days",
        ),
        (
            Silence,
            "- - p -",
            Some(u64::MAX),
            None,
            "expected 1s to 30days",
        ),
        (Maintenance, "- - p n", Some(60), None, ""),
        (Maintenance, "- - p n", Some(60), ahead(30 * day), ""),
        (
            Maintenance,
            "- - p n",
            Some(60),
            ahead(30 * day + 1),
            "more than 30days ahead",
        ),
        (Maintenance, "- - p n", Some(60), ago(60), ""),
        (
            Maintenance,
            "- - p n",
            Some(60),
            ago(61),
            "`starts_at` is 1m 1s ago",
        ),
        (
            Maintenance,
            DOWN,
            Some(60),
            None,
            "leave out `alertname`, `severity`",
        ),
        (
            Maintenance,
            "- - - -",
            Some(60),
            None,
            "give `peer` or `network`",
        ),
    ] {
        let asked = Draft {
            starts_at,
            ..draft(kind, labels, seconds)
        };
        let begun = ActionStore::default().begin(asked, &firing(&alerts, &[]), now, wall);
        let error = begun.err().map(|it| it.to_string()).unwrap_or_default();
        let is_expected = error.contains(expected) && error.is_empty() == expected.is_empty();
        assert!(is_expected, "{kind} {labels} {seconds:?}: {error}");
    }
    for (text, expected) in [
        (" ", "is empty"),
        ("two\nlines", "has a control character"),
        (&"x".repeat(501), "has 501 characters; expected at most"),
    ] {
        let by_nobody = Draft {
            created_by: text.to_owned(),
            ..draft(Silence, "- - p -", Some(60))
        };
        let without_reason = Draft {
            comment: text.to_owned(),
            ..draft(Silence, "- - p -", Some(60))
        };
        for asked in [by_nobody, without_reason] {
            let refused = ActionStore::default().begin(asked, &[], now, wall);
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn there_is_a_limit_to_the_number_of_each_kind() {
    let (now, wall) = Clock::new().at(0);
    let mut store = ActionStore::default();
    let mut silence = || store.begin(draft(Silence, "- - p -", Some(60)), &[], now, wall);
    for _ in 0..Silence.max_count() {
        silence().unwrap();
    }
    let error = silence().unwrap_err().to_string();
    assert!(error.contains("there are 200 of kind silence"), "{error}");
    let other = store.begin(draft(Maintenance, "- - p n", Some(60)), &[], now, wall);
    let ids: BTreeSet<u64> = store.actions(now, wall).iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), 201, "each has an id of its own: {other:?}");
}

#[test]
fn a_clock_that_is_set_ends_an_action_early_but_never_late() {
    for (step, seconds, is_over) in [
        (0, 99, false),
        (0, 100, true),
        // Forwards: the end by the wall clock comes early.
        (50, 49, false),
        (50, 50, true),
        // Backwards: it lasts no longer than it was to.
        (-50, 99, false),
        (-50, 100, true),
        (-1_000_000, 99, false),
        (-1_000_000, 100, true),
    ] {
        let mut clock = Clock::new();
        let (now, wall) = clock.at(0);
        let mut store = ActionStore::default();
        let asked = draft(Maintenance, "- - p n", Some(100));
        store.begin(asked, &[], now, wall).unwrap();
        clock.step = step;
        let (now, wall) = clock.at(seconds);
        let shown = store.actions(now, wall).remove(0);
        assert!(shown.starts_at <= wall, "it does not begin again");
        let left = shown.ends_at.duration_since(wall).unwrap_or_default();
        assert!(
            left <= Duration::from_secs(101 - seconds),
            "{step}: {left:?}"
        );
        store.follow(&[], now, wall);
        assert_eq!(
            store.actions(now, wall).is_empty(),
            is_over,
            "{step} {seconds}"
        );
    }
}

#[test]
fn a_restart_keeps_actions_for_the_time_that_is_left() {
    // The clock was right, was set forwards, and far back while the agent did not run.
    for (step, seconds_left) in [(0, 40), (30, 10), (60, 0), (-1_000, 100)] {
        let mut clock = Clock::new();
        let (now, wall) = clock.at(0);
        let mut store = ActionStore::default();
        let alerts = [alert(DEGRADED)];
        let of_alert = firing(&alerts, &["a"]);
        for asked in [
            draft(Acknowledgement, DEGRADED, Some(100)),
            draft(Silence, "- - p -", Some(100)),
            draft(Maintenance, "- - p n", Some(100)),
        ] {
            store.begin(asked, &of_alert, now, wall).unwrap();
        }
        let saved = serde_json::to_string(&store.export()).unwrap();
        clock.step = step;
        let (restarted, wall) = clock.at(60);
        let saved = serde_json::from_str(&saved).unwrap();
        let mut restored = ActionStore::restore(saved, restarted, wall);
        let ids = |store: &ActionStore| {
            let actions = store.actions(restarted, wall).into_iter();
            actions.map(|it| (it.id, it.kind)).collect::<Vec<_>>()
        };
        assert_eq!(ids(&store), ids(&restored));
        if seconds_left > 0 {
            let (now, wall) = clock.at(60 + seconds_left - 1);
            restored.follow(&of_alert, now, wall);
            assert_eq!(restored.actions(now, wall).len(), 3, "{step}");
        }
        let (now, wall) = clock.at(60 + seconds_left);
        restored.follow(&of_alert, now, wall);
        assert_eq!(restored.actions(now, wall).len(), 0, "{step}");
    }
    // The causes are kept as well: another one is news.
    let (now, wall) = Clock::new().at(0);
    let alerts = [alert(DEGRADED)];
    let mut store = ActionStore::default();
    let asked = draft(Acknowledgement, DEGRADED, None);
    store
        .begin(asked, &firing(&alerts, &["a"]), now, wall)
        .unwrap();
    let mut restored = ActionStore::restore(store.export(), now, wall);
    restored.follow(&firing(&alerts, &["a"]), now, wall);
    assert_eq!(restored.actions(now, wall).len(), 1);
    restored.follow(&firing(&alerts, &["b"]), now, wall);
    assert!(restored.actions(now, wall).is_empty());
}

#[test]
fn what_is_said_again_replaces_what_was_said_and_an_early_end_is_by_id() {
    let (now, wall) = Clock::new().at(0);
    let alerts = [alert(DOWN)];
    let mut store = ActionStore::default();
    let mut acknowledge = |seconds| {
        let asked = draft(Acknowledgement, DOWN, Some(seconds));
        store
            .begin(asked, &firing(&alerts, &[]), now, wall)
            .unwrap()
    };
    let (first, second) = (acknowledge(60), acknowledge(120));
    assert_ne!(first.id, second.id);
    assert_eq!(store.actions(now, wall), std::slice::from_ref(&second));
    let error = store.end(first.id, "bob", now, wall).unwrap_err();
    assert!(error.to_string().contains("nothing active has the id"));
    assert_eq!(store.end(second.id, "bob", now, wall).unwrap(), second);
    let why = store.take_events().pop().unwrap().ended;
    assert_eq!(why.as_deref(), Some("ended by bob"));
    assert!(store.about(&alert(DOWN), now, wall).0.is_none());
}

#[test]
fn actions_follow_a_peer_to_its_new_name() {
    let (now, wall) = Clock::new().at(0);
    let alerts = [alert(DOWN)];
    let mut store = ActionStore::default();
    for asked in [
        draft(Acknowledgement, DOWN, None),
        draft(Silence, "- - p -", Some(60)),
        draft(Maintenance, "- - p n", Some(60)),
        draft(Maintenance, "- - p other", Some(60)),
        draft(Maintenance, "- - - n", Some(60)),
    ] {
        store
            .begin(asked, &firing(&alerts, &[]), now, wall)
            .unwrap();
    }
    store.rename(&[Rename {
        network: "n".to_owned(),
        from: "p".to_owned(),
        to: "q".to_owned(),
    }]);
    let peers = store.actions(now, wall).into_iter();
    let peers: Vec<_> = peers.map(|it| it.matchers.peer).collect();
    let expected = [Some("q"), Some("q"), Some("q"), Some("p"), None];
    assert_eq!(peers, expected.map(|it| it.map(str::to_owned)));
}
