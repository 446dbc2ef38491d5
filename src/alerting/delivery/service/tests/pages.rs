//! Pages that several agents raise and resolve.

use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Mode;
use crate::fleet::{
    FiringAlert, Health, Opinion, OtherVantage, PeerOpinion, ReceivedOpinion, Vantages,
};

use super::{BEGINS, ENDS, Kind, Scene, TICK};

#[test]
fn pages_have_the_same_keys_for_all_agents_and_their_labels() {
    let keys = |vantage: &str, later: u64, labels: &str| {
        let mut scene = Scene::new(Kind::PagerDuty, 2);
        scene.fixture.config.vantage = vantage.to_owned();
        let labels = [("cluster".to_owned(), labels.to_owned())];
        scene.fixture.config.notify.labels = labels.into();
        scene.run(later);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        scene.fixture.fail(2..=2);
        scene.run(BEGINS);
        let alerts = scene.service.messages.into_iter();
        alerts.map(|alert| alert.id).collect::<Vec<_>>()
    };
    let expected = keys("eu-1", 0, "a");
    assert_eq!(expected.len(), 2);
    assert_eq!(keys("us-1", 200, "a"), expected);
    assert_ne!(keys("eu-1", 0, "b"), expected);
}

#[test]
fn a_page_is_resolved_only_when_its_alert_fires_at_no_other_agent() {
    let vantages = |fires: bool| {
        let fires = FiringAlert {
            alertname: if fires {
                "ConvexPeerDown"
            } else {
                "ConvexPeerDegraded"
            }
            .to_owned(),
            severity: "critical".to_owned(),
            peer: Some("p1".to_owned()),
            network: "n".to_owned(),
            service: None,
        };
        let on_peer = PeerOpinion {
            name: "p1".to_owned(),
            network: "n".to_owned(),
            key: None,
            health: Health::Down,
            good_poll_age_seconds: None,
            interval_seconds: 15.0,
            proven: Vec::new(),
        };
        let opinion = Opinion {
            vantage: "w".to_owned(),
            mode: Mode::Central,
            networks: Vec::new(),
            firing: vec![fires],
            acknowledged: Vec::new(),
            peers: vec![on_peer],
        };
        Vantages {
            others: vec![OtherVantage {
                name: "w".to_owned(),
                opinion: Some(Arc::new(ReceivedOpinion::new(opinion, Instant::now()))),
                last_asked: Some(Instant::now()),
            }],
            ..Vantages::default()
        }
    };
    let mut scene = Scene::new(Kind::PagerDuty, 1);
    scene.fixture.vantages = vantages(true);
    scene.fixture.fail(1..=1);
    scene.run(BEGINS);
    scene.recover(1);
    scene.run(ENDS + 600);
    scene.check();
    assert_eq!(scene.service.messages[0].state, "triggered");
    // Another alert of the peer goes on under the same key.
    scene.fixture.fail(1..=1);
    scene.run(BEGINS);
    assert_eq!(scene.service.messages.len(), 1);
    scene.recover(1);
    scene.run(ENDS);
    scene.fixture.vantages = vantages(false);
    scene.run(TICK);
    scene.check();
    assert_eq!(scene.service.messages[0].state, "resolved");
}
