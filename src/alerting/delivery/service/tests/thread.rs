//! What users see of an incident from its beginning to its end.

use std::sync::Arc;

use crate::config::Peer;
use crate::fleet::Condition;

use super::{ALL, BEGINS, EDITABLE, ENDS, Kind, Scene, distinct};

#[test]
fn an_incident_is_one_thread_from_its_beginning_to_its_end() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 3);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        let first = scene.service.messages.clone();
        assert_eq!(
            distinct(&scene.service.news()),
            ["p1 of n is down"],
            "{kind:?}"
        );
        let text = &first[0].text;
        for part in [
            "Since ",
            "Seen from v.",
            "First: ",
            "/peers/p1",
            "/runbooks/ConvexPeerDown",
        ] {
            // In buttons, or behind a word.
            let has_no_urls = matches!(kind, Kind::Ntfy | Kind::Telegram);
            let is_elsewhere = has_no_urls && part.starts_with('/');
            assert!(
                is_elsewhere || text.contains(part),
                "{kind:?}: {part} in {text}"
            );
        }
        // Only figures change: at most an edit now and then.
        scene.run(700);
        assert_eq!(
            distinct(&scene.service.news()),
            ["p1 of n is down"],
            "{kind:?}"
        );
        let edits = if EDITABLE.contains(&kind) {
            1..=2
        } else {
            0..=0
        };
        let message = &scene.service.messages[0];
        assert!(edits.contains(&message.edits), "{kind:?}: {message:?}");
        // Worse: news, and of the same thread where there are threads.
        scene.fixture.fail(2..=2);
        scene.run(BEGINS);
        let news = ["p1 of n is down", "p2 of n is down"];
        assert_eq!(distinct(&scene.service.news()), news, "{kind:?}");
        // Better, but not over: at most an edit.
        scene.recover(1);
        scene.run(ENDS);
        assert_eq!(distinct(&scene.service.news()), news, "{kind:?}");
        scene.recover(2);
        scene.run(ENDS);
        scene.check();
        let messages = &scene.service.messages;
        if kind == Kind::PagerDuty {
            let states: Vec<&str> = messages.iter().map(|it| it.state).collect();
            assert_eq!(states, ["resolved", "resolved"]);
            assert_ne!(messages[0].id, messages[1].id);
            continue;
        }
        assert_eq!(messages.len(), 3, "{kind:?}: {messages:?}");
        let over = "Resolved: p1 of n is down";
        assert_eq!(messages[2].title.trim_matches('*'), over, "{kind:?}");
        if EDITABLE.contains(&kind) {
            // Two alerts, one alert, none, and figures.
            assert!(messages[0].edits >= 3, "{kind:?}: {messages:?}");
            assert_eq!(messages[0].title, over, "{kind:?}");
        } else {
            assert_eq!(messages[0].edits, 0, "{kind:?}");
        }
        let has_threads = matches!(kind, Kind::Slack | Kind::Telegram);
        let thread = has_threads.then(|| messages[0].id.clone());
        assert_eq!(messages[1].reply_to, thread, "{kind:?}");
        assert_eq!(messages[2].reply_to, thread, "{kind:?}");
    }
}

#[test]
fn texts_of_strangers_mention_nobody_and_break_nothing() {
    let long = format!("{}<&>\"@here**", "x&<".repeat(60));
    let hostile = [
        "<!channel> & <@U012345> <b>bold</b> &lt; &#64;",
        "@everyone @here @channel **bold** _it_ ~~s~~ `c` ||s|| # h > q",
        "[link](http://evil.example) ](<http://x>) \\ \\* a\\",
        "\u{202e}tsrif\u{2066} \u{1f600}\u{1f600} é ü \"quoted\" 'single'",
        "</b></a><a href=\"http://evil.example\">x</a> @bot_name ://",
        &long,
    ];
    for kind in ALL {
        let mut scene = Scene::new(kind, hostile.len());
        for (record, text) in scene.fixture.peers.iter_mut().zip(hostile) {
            let mut peer = Peer::clone(&record.peer);
            text.clone_into(&mut peer.name);
            record.peer = Arc::new(peer);
        }
        for i in 1..=hostile.len() {
            scene.fixture.fail(i..=i);
            scene.run(BEGINS);
        }
        scene.check();
        assert!(scene.service.news().len() >= hostile.len(), "{kind:?}");
        scene.fixture.end();
        scene.run(ENDS);
        scene.check();
    }
}

#[test]
fn a_storm_of_peers_is_a_handful_of_messages() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 500);
        // Evaluating so many peers takes long.
        scene.tick = 60;
        scene.fixture.fail(1..=500);
        scene.run(3 * 60);
        scene.check();
        let news = scene.service.news();
        assert_eq!(news.len(), 1, "{kind:?}: {news:?}");
        assert!(
            news[0].contains("and 499 more alerts"),
            "{kind:?}: {news:?}"
        );
        assert!(
            scene.service.messages[0]
                .text
                .contains("490 × ConvexPeerDown"),
            "{kind:?}: {:?}",
            scene.service.messages[0]
        );
        scene.fixture.end();
        scene.run(5 * 60);
        scene.check();
        assert!(scene.service.messages.len() <= 2, "{kind:?}");
    }
}

#[test]
fn only_alerts_of_the_networks_and_severities_of_a_receiver_are_sent() {
    let mut scene = Scene::with_settings(Kind::Ntfy, 1, ", min_severity: critical");
    scene.fixture.peers[0].conditions.insert(Condition::Lagging);
    scene.run(2 * BEGINS);
    assert_eq!(scene.service.news(), Vec::<&str>::new());
    scene.fixture.fail(1..=1);
    scene.run(BEGINS);
    assert_eq!(distinct(&scene.service.news()), ["p1 of n is down"]);
    // The peers are of the network n.
    let mut scene = Scene::with_settings(Kind::Ntfy, 1, "");
    scene.fixture.config.notify.receivers[0].networks = vec!["other".to_owned()];
    scene.fixture.fail(1..=1);
    scene.run(BEGINS);
    assert_eq!(scene.service.news(), Vec::<&str>::new());
}
