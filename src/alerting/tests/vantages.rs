//! What the opinions of other agents change.

use cad3::Hash;
use convex_client::chain::economics::MINIMUM_OWN_STAKE_COPPER;

use crate::config::Mode;
use crate::fleet::peer_json::ExactInteger;
use crate::fleet::{NetworkOpinion, PeerOpinion};

use super::*;

/// The opinion of an agent that finds the peer in this health and had a good poll this long ago.
fn on_peer(mode: Mode, health: Health, good_poll_age_seconds: f64) -> Opinion {
    Opinion {
        vantage: "other".to_owned(),
        mode,
        networks: Vec::new(),
        peers: vec![PeerOpinion {
            name: "p".to_owned(),
            network: "n".to_owned(),
            key: None,
            health,
            good_poll_age_seconds: Some(good_poll_age_seconds),
            interval_seconds: 15.0,
            proven: Vec::new(),
        }],
        firing: Vec::new(),
        acknowledged: Vec::new(),
    }
}

fn reaches() -> Opinion {
    on_peer(Mode::Central, Health::Up, 1.0)
}

fn misses() -> Opinion {
    on_peer(Mode::Central, Health::Down, 1_000.0)
}

const DOWN: &[&str] = &["60 +ConvexPeerDown"];
const DISAGREE: &[&str] = &["300 +ConvexVantagesDisagree"];

#[test]
fn a_peer_that_other_agents_reach_is_a_ticket_and_one_that_most_miss_a_page() {
    let unknown = on_peer(Mode::Central, Health::Unknown, 1_000.0);
    let late = on_peer(Mode::Central, Health::Up, 31.0);
    let sidecar = on_peer(Mode::Sidecar, Health::Up, 1.0);
    for (what, opinions, expected) in [
        ("no other agent", vec![], DOWN),
        ("another one reaches it", vec![reaches()], DISAGREE),
        ("another one misses it", vec![misses()], DOWN),
        ("another one does not know", vec![unknown], DOWN),
        (
            "its good poll is older than two intervals",
            vec![late],
            DOWN,
        ),
        ("a sidecar reaches it", vec![sidecar], DOWN),
        ("two reach it", vec![reaches(), reaches()], DISAGREE),
        ("most miss it", vec![reaches(), misses()], DOWN),
    ] {
        let mut fixture = Fixture::down();
        fixture.opinions = opinions;
        assert_eq!(fixture.run(301), expected, "{what}");
    }
}

#[test]
fn an_agent_that_reaches_a_peer_says_that_another_one_does_not() {
    let mut fixture = Fixture::new();
    // All the time.
    fixture.record.last_good_poll = Some(fixture.now + Duration::from_secs(3_600));
    fixture.opinions = vec![misses()];
    assert_eq!(fixture.run(301), DISAGREE);
    fixture.opinions = vec![reaches()];
    assert_eq!(fixture.run(1), ["0 -ConvexVantagesDisagree"]);
}

#[test]
fn nobody_refutes_that_another_peer_answers() {
    let mut fixture = Fixture::down();
    let wrong = Condition::Failing(Reason::WrongNetwork);
    fixture.record.conditions.insert(wrong);
    fixture.opinions = vec![reaches()];
    assert_eq!(
        fixture.run(301),
        ["60 +ConvexPeerDown", "60 +ConvexPeerWrongNetwork"]
    );
}

#[test]
fn an_opinion_on_a_peer_with_another_key_or_in_another_network_is_none() {
    let key = |byte| Hash::new([byte; 32]);
    for (own, other, network, expected) in [
        (Some(1), Some(1), "n", DISAGREE),
        (Some(1), None, "n", DISAGREE),
        (None, Some(2), "n", DISAGREE),
        (Some(1), Some(2), "n", DOWN),
        (Some(1), Some(1), "m", DOWN),
    ] {
        let mut fixture = Fixture::down();
        fixture.peer().key = own.map(key);
        let mut opinion = reaches();
        opinion.peers[0].key = other.map(|byte| key(byte).to_string());
        network.clone_into(&mut opinion.peers[0].network);
        fixture.opinions = vec![opinion];
        assert_eq!(fixture.run(301), expected, "{own:?} {other:?} {network}");
    }
}

#[test]
fn a_page_says_what_the_other_agents_say() {
    let mut fixture = Fixture::down();
    let mut sidecar = on_peer(Mode::Sidecar, Health::Up, 61.0);
    sidecar.peers[0].interval_seconds = 60.0;
    fixture.opinions = vec![misses(), sidecar];
    fixture.run(60);
    let description = &fixture.alerts()[0].description;
    let expected = "other finds it down (last good poll 16m 40s ago). other finds it up \
                    (last good poll 1m 1s ago). The process is alive, the path to it is broken: only a \
                    sidecar reaches the peer.";
    assert!(description.contains(expected), "{description}");
}

/// An agent that reaches this many percent of the stake and finds the network stalled and short of
/// peers.
fn stalled(percent: i64) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.peer().key = Some(Hash::new([1; 32]));
    fixture.record.last_good_poll = Some(fixture.now + Duration::from_secs(3_600));
    let own_copper = percent * MINIMUM_OWN_STAKE_COPPER;
    fixture.record.stake = Some(example::stake(own_copper, 0, None));
    fixture.verdict.stake_copper = Some(100 * MINIMUM_OWN_STAKE_COPPER);
    fixture.verdict.head = Some(100);
    fixture.verdict.order = OrderState::Stalled;
    fixture.verdict.quorum = Some(Quorum {
        ratios: [0.4, 0.0, 0.6, 0.0],
        margin: -0.27,
        losable: Losable::default(),
    });
    fixture
}

/// The opinion of an agent that reaches this share of the stake, and saw the head advance so many
/// seconds ago.
fn on_network(reached: f64, is_stalled: bool, advance_age_seconds: f64) -> Opinion {
    Opinion {
        vantage: "other".to_owned(),
        mode: Mode::Central,
        networks: vec![NetworkOpinion {
            name: "n".to_owned(),
            order_state: if is_stalled { "stalled" } else { "idle" }.to_owned(),
            head_block: Some(ExactInteger(100)),
            head_advance_age_seconds: Some(advance_age_seconds),
            reached_stake_ratio: Some(reached),
            quorum_at_risk: is_stalled,
            proven: Vec::new(),
        }],
        peers: Vec::new(),
        firing: Vec::new(),
        acknowledged: Vec::new(),
    }
}

#[test]
fn what_an_agent_finds_absent_from_a_network_pages_unless_another_one_refutes_it() {
    const STALLED: &str = "60 +ConvexConsensusStalled";
    const AT_RISK: &str = "120 +ConvexQuorumAtRisk";
    let old = 1_000.0;
    for (what, percent, opinions, expected) in [
        ("no other agent", 50, vec![], &[STALLED, AT_RISK][..]),
        (
            "an equal one finds nothing absent",
            50,
            vec![on_network(0.5, false, old)],
            &[STALLED, AT_RISK],
        ),
        (
            "one that reaches more finds nothing absent",
            50,
            vec![on_network(1.0, false, old)],
            &[],
        ),
        (
            "one that reaches more than twice as much finds nothing absent",
            49,
            vec![on_network(1.0, false, old)],
            DISAGREE,
        ),
        (
            "one that reaches more than twice as much finds the same",
            49,
            vec![on_network(1.0, true, old)],
            &[],
        ),
        (
            "another one sees the head advance",
            50,
            vec![on_network(0.5, false, 1.0)],
            &[AT_RISK, DISAGREE[0]],
        ),
        (
            "all reach less than a third",
            33,
            vec![on_network(0.2, false, old)],
            &["300 +ConvexMonitoringBlind"],
        ),
    ] {
        let mut fixture = stalled(percent);
        fixture.opinions = opinions;
        assert_eq!(fixture.run(301), expected, "{what}");
    }
}

#[test]
fn an_agent_that_is_cut_off_sends_one_ticket_and_none_about_each_peer() {
    let mut fixture = stalled(49);
    fixture.record.health = Health::Down;
    fixture.record.last_good_poll = None;
    let mut opinion = on_network(1.0, false, 1.0);
    opinion.peers = reaches().peers;
    fixture.opinions = vec![opinion];
    fixture.run(301);
    let alerts = fixture.alerts();
    let [alert] = &alerts[..] else {
        panic!("one alert, found {alerts:?}");
    };
    assert_eq!(alert.rule.name, "ConvexVantagesDisagree");
    let network = AlertSubject::Network {
        network: "n".to_owned(),
    };
    assert_eq!(alert.subject, network);
    let expected = "Reached stake: this agent 0.0 %, other 100.0 %. Another agent refutes what this one \
                    finds absent from the network.";
    let description = &alert.description;
    assert!(description.contains(expected), "{description}");
}

#[test]
fn another_agent_that_is_cut_off_is_one_ticket_and_none_about_each_peer() {
    let mut fixture = stalled(100);
    fixture.verdict.order = OrderState::Advancing;
    fixture.verdict.quorum = None;
    let mut opinion = on_network(0.0, true, 1_000.0);
    opinion.peers = misses().peers;
    fixture.opinions = vec![opinion];
    assert_eq!(fixture.run(301), DISAGREE);
    let alerts = fixture.alerts();
    let network = AlertSubject::Network {
        network: "n".to_owned(),
    };
    assert_eq!(alerts[0].subject, network);
    let expected = "Reached stake: this agent 100.0 %, other 0.0 %. This agent refutes what another one \
                    finds absent from the network.";
    let description = &alerts[0].description;
    assert!(description.contains(expected), "{description}");
}

#[test]
fn a_network_that_is_unknown_here_and_known_to_another_agent_is_not_out_of_sight() {
    for (opinions, expected) in [
        (vec![], &["300 +ConvexMonitoringBlind"][..]),
        (
            vec![on_peer(Mode::Central, Health::Unknown, 1_000.0)],
            &["300 +ConvexMonitoringBlind"],
        ),
        (vec![reaches()], &[]),
    ] {
        let mut fixture = Fixture::new();
        fixture.record.health = Health::Unknown;
        fixture.opinions = opinions;
        assert_eq!(fixture.run(301), expected);
    }
}
