//! Repeats, acknowledgements and silences.

use serde_json::json;

use super::{ALL, BEGINS, EDITABLE, ENDS, Kind, Scene, distinct};

#[test]
fn critical_alerts_are_repeated_until_somebody_acknowledges_them() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 1);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS + 3_600);
        scene.check();
        // A service with pages repeats by itself.
        let repeats = usize::from(kind != Kind::PagerDuty);
        let news = scene.service.news();
        assert_eq!(news.len(), 1 + repeats, "{kind:?}: {news:?}");
        assert!(news[repeats].ends_with("p1 of n is down"), "{news:?}");
    }
}

#[test]
fn an_acknowledged_alert_is_not_repeated_and_the_message_says_by_whom() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 2);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        let labels = json!({
            "alertname": "ConvexPeerDown", "severity": "critical", "peer": "p1", "network": "n",
        });
        scene.declare("acknowledgement", &labels);
        scene.run(3_800);
        scene.check();
        assert_eq!(scene.service.news().len(), 1, "{kind:?}");
        let first = &scene.service.messages[0];
        if EDITABLE.contains(&kind) {
            let says_so = first.text.contains("Acknowledged by ") && first.text.contains("alice");
            assert!(says_so, "{kind:?}: {first:?}");
        }
        if kind == Kind::PagerDuty {
            assert_eq!(first.state, "acknowledged");
        }
        // Worse is news, whatever is acknowledged.
        scene.fixture.fail(2..=2);
        scene.run(BEGINS);
        let news = ["p1 of n is down", "p2 of n is down"];
        assert_eq!(distinct(&scene.service.news()), news, "{kind:?}");
        // So is the end.
        scene.fixture.end();
        scene.run(2 * ENDS);
        scene.check();
        let ends = usize::from(kind != Kind::PagerDuty);
        assert_eq!(scene.service.news().len(), 2 + ends, "{kind:?}");
    }
}

#[test]
fn a_silenced_alert_is_not_sent_and_the_end_of_one_that_was_is() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 2);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        scene.declare("silence", &json!({ "network": "n" }));
        scene.fixture.fail(2..=2);
        scene.run(3_800);
        scene.check();
        assert_eq!(
            distinct(&scene.service.news()),
            ["p1 of n is down"],
            "{kind:?}"
        );
        assert_eq!(scene.service.news().len(), 1, "{kind:?}");
        scene.fixture.end();
        scene.run(2 * ENDS);
        scene.check();
        let ends = usize::from(kind != Kind::PagerDuty);
        assert_eq!(scene.service.news().len(), 1 + ends, "{kind:?}");
        if kind == Kind::PagerDuty {
            assert_eq!(scene.service.messages[0].state, "resolved");
        }
    }
}
