//! What goes wrong on the way: kills, errors of the service, deleted messages.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::alerting::delivery::sender::{Answer, DeliveryError};
use crate::alerting::delivery::service::{Effect, read};
use crate::alerting::delivery::stand_ins::{Call, Fault, Message, PAUSE};

use super::{ALL, BEGINS, EDITABLE, ENDS, Kind, Scene, distinct};

#[test]
fn a_kill_at_any_moment_loses_nothing_and_doubles_only_what_was_on_its_way() {
    // One of each way to show an incident.
    for kind in [Kind::Telegram, Kind::Ntfy, Kind::PagerDuty] {
        let story = |killed_in: Option<usize>| {
            let mut scene = Scene::new(kind, 2);
            scene.killed_in = killed_in;
            scene.fixture.fail(1..=1);
            scene.run(BEGINS);
            scene.fixture.fail(2..=2);
            scene.run(BEGINS);
            scene.fixture.end();
            // After a restart alerts fire for longer.
            scene.run(2 * ENDS);
            scene.check();
            scene
        };
        let whole = story(None);
        let expected = distinct(&whole.service.news());
        for moment in 0..whole.moments {
            let scene = story(Some(moment));
            let news = scene.service.news();
            assert_eq!(distinct(&news), expected, "{kind:?} at {moment}");
            let doubled = news.len() - expected.len();
            assert!(doubled <= 1, "{kind:?} at {moment}: {news:?}");
            if kind == Kind::PagerDuty {
                assert_eq!(doubled, 0, "at {moment}: {news:?}");
                let open = |it: &&Message| it.state != "resolved";
                assert_eq!(
                    scene.service.messages.iter().find(open),
                    None,
                    "at {moment}"
                );
            }
        }
    }
}

#[test]
fn errors_of_the_service_lose_only_what_it_can_never_take() {
    for kind in ALL {
        for (faults, doubled) in [
            (&[Fault::Busy, Fault::Broken, Fault::Busy][..], 0),
            (&[Fault::AnswerLost][..], 1),
        ] {
            let mut scene = Scene::new(kind, 1);
            scene.service.faults.extend(faults);
            scene.fixture.fail(1..=1);
            scene.run(BEGINS);
            scene.fixture.end();
            scene.run(ENDS);
            scene.check();
            let news = scene.service.news();
            // A page is known by its key.
            let doubled = if kind == Kind::PagerDuty { 0 } else { doubled };
            let expected = distinct(&news).len();
            assert_eq!(
                news.len(),
                expected + doubled,
                "{kind:?} {faults:?}: {news:?}"
            );
            assert!(
                news[0].ends_with("p1 of n is down"),
                "{kind:?} {faults:?}: {news:?}"
            );
        }
        // What is invalid is dropped, and the next message is sent.
        let mut scene = Scene::new(kind, 2);
        scene.service.faults.push_back(Fault::Invalid);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        assert_eq!(scene.service.news(), Vec::<&str>::new(), "{kind:?}");
        scene.fixture.fail(2..=2);
        scene.run(BEGINS);
        scene.check();
        assert_eq!(
            distinct(&scene.service.news()),
            ["p2 of n is down"],
            "{kind:?}"
        );
    }
}

#[test]
fn a_message_that_is_gone_is_replaced() {
    for kind in EDITABLE {
        let mut scene = Scene::new(kind, 2);
        scene.fixture.fail(1..=2);
        scene.run(BEGINS);
        scene.service.delete_all();
        scene.recover(1);
        scene.run(ENDS);
        scene.check();
        let messages = &scene.service.messages;
        assert_eq!(messages.len(), 1, "{kind:?}: {messages:?}");
        assert!(
            messages[0].title.ends_with("p2 of n is down"),
            "{messages:?}"
        );
        // An edit notifies nobody, so what replaces it should not either; Slack cannot do so.
        assert_eq!(messages[0].quiet, kind != Kind::Slack, "{kind:?}");
        scene.recover(2);
        scene.run(ENDS);
        scene.check();
        let messages = &scene.service.messages;
        assert_eq!(
            (messages.len(), messages[0].edits),
            (2, 1),
            "{kind:?}: {messages:?}"
        );
    }
}

#[test]
fn an_edit_that_changes_nothing_is_done() {
    for kind in EDITABLE {
        let mut scene = Scene::new(kind, 2);
        scene.fixture.fail(1..=2);
        scene.run(BEGINS);
        scene.service.faults.push_back(Fault::AnswerLost);
        scene.recover(1);
        scene.run(ENDS);
        scene.check();
        assert_eq!(scene.service.messages.len(), 1, "{kind:?}");
    }
}

#[test]
fn a_pause_is_understood_in_the_way_of_each_service() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 1);
        scene.service.faults.push_back(Fault::Busy);
        let call = Call {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            authorization: None,
            body: Value::Null,
        };
        let answer = scene.exchange(&call);
        let reading = read(&scene.fixture.config.notify.receivers[0], &answer);
        let retryable = matches!(reading.outcome, Err(DeliveryError::Retryable(_)));
        assert!(retryable, "{kind:?}: {reading:?}");
        let expected = match kind {
            // More exact than the header.
            Kind::Discord => Some(Duration::from_millis(2_640)),
            Kind::Telegram => Some(Duration::from_secs(PAUSE)),
            // By the header only, or not at all.
            Kind::Slack | Kind::SlackWebhook | Kind::Ntfy | Kind::PagerDuty => None,
        };
        assert_eq!(reading.pause, expected, "{kind:?}");
    }
}

#[test]
fn what_can_be_corrected_is_tried_again_and_no_secret_is_quoted() {
    let fixture = |kind| Scene::new(kind, 1).fixture.config.notify.receivers[0].clone();
    for (kind, status, body) in [
        (
            Kind::Discord,
            404,
            r#"{"message":"Unknown Webhook","code":10015}"#,
        ),
        (Kind::Slack, 200, r#"{"ok":false,"error":"invalid_auth"}"#),
        (Kind::Slack, 200, r#"{"ok":false,"error":"not_in_channel"}"#),
        (Kind::SlackWebhook, 403, "action_prohibited"),
        (
            Kind::Telegram,
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found 123:s3cret"}"#,
        ),
        (
            Kind::Ntfy,
            401,
            r#"{"code":40101,"error":"unauthorized tk_s3cret"}"#,
        ),
        (
            Kind::PagerDuty,
            400,
            r#"{"errors":["routing_key 0123456789abcdef0123456789abcdef is invalid"]}"#,
        ),
    ] {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        };
        match read(&fixture(kind), &answer).outcome {
            Err(DeliveryError::Retryable(why)) => {
                let secret = why.contains("s3cret") || why.contains("0123456789abcdef");
                assert!(!secret, "{kind:?}: {why}");
            }
            other => panic!("{kind:?} {body}: {other:?}"),
        }
    }
    let gone = Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: br#"{"ok":false,"error":"message_not_found"}"#.to_vec(),
    };
    let outcome = read(&fixture(Kind::Slack), &gone).outcome;
    assert!(matches!(outcome, Ok(Effect::Gone)), "{outcome:?}");
}

#[test]
fn a_receiver_that_becomes_one_of_another_service_has_one_message_there() {
    for before in EDITABLE {
        for after in EDITABLE {
            let mut scene = Scene::new(before, 3);
            scene.fixture.fail(1..=3);
            scene.run(BEGINS);
            let saved = serde_json::to_value(scene.fixture.outbox.export()).unwrap();
            let mut other = Scene::new(after, 3);
            other.fixture.now = scene.fixture.now;
            other.fixture.wall = scene.fixture.wall;
            other.fixture.restart(|state| *state = saved);
            other.fixture.fail(1..=3);
            for peer in 1..=2 {
                other.recover(peer);
                other.run(ENDS);
            }
            other.check();
            let messages = &other.service.messages;
            assert_eq!(messages.len(), 1, "{before:?} {after:?}: {messages:?}");
            assert!(messages[0].edits >= 1, "{before:?} {after:?}: {messages:?}");
        }
    }
}
