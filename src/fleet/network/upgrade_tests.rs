//! Upgrades of the protocol over members that are built by hand.

use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::ProtocolState;
use convex_client::chain::economics::MINIMUM_OWN_STAKE_COPPER;
use convex_client::chain::{RegisteredPeer, Registry};
use tokio::time::Instant;

use crate::fleet::slot::SlotId;

use super::consensus::Standing;
use super::member::{Comparison, Heard, Member};
use super::record::RegistryReading;
use super::upgrades::{ProtocolVerdict, Readiness, UpgradeStanding};
use super::watch::NetworkWatch;

/// Time of the first second, in seconds since the epoch.
const START: u64 = 1_800_000_000;
const MINUTE: i64 = 60;

fn key(peer: u8) -> Hash {
    Hash::new([peer; 32])
}

/// A network whose peers answer, agree and have equal stake. The upgrade to version 1 takes effect
/// an hour after the start.
struct Scenario {
    watch: NetworkWatch,
    start: Instant,
    /// What the peers can execute.
    supported: Vec<Option<i64>>,
}

impl Scenario {
    fn new(supported: &[Option<i64>]) -> Self {
        let mut scenario = Self {
            watch: NetworkWatch::default(),
            start: Instant::now(),
            supported: supported.to_vec(),
        };
        for (peer, supported) in (0..).zip(supported) {
            let mut member = Member::new(Comparison::Agrees, Standing::default());
            member.key = Some(key(peer));
            member.pinned = true;
            member.stall_after = Duration::from_secs(60);
            member.supported = *supported;
            member.protocol = Some(ProtocolState {
                version: 0,
                activations_ms: vec![ms(60 * MINUTE)],
            });
            scenario.watch.members.insert(id(peer), member);
            scenario.state(peer, 100);
        }
        scenario.read_registry(0, &vec![1; supported.len()]);
        scenario.watch.update_stake();
        scenario
    }

    fn member(&mut self, peer: u8) -> &mut Member {
        self.watch.members.get_mut(&id(peer)).unwrap()
    }

    /// Lets a peer answer with a state after this block, until the end of the test.
    fn state(&mut self, peer: u8, block: i64) {
        let until = self.start + Duration::from_secs(86_400);
        self.member(peer).latest = Some(Heard {
            block,
            asked: until,
            until,
        });
    }

    /// Lets a peer answer with a state after this block, which has this version.
    fn applied(&mut self, peer: u8, block: i64, version: i64) {
        self.state(peer, block);
        self.member(peer).protocol.as_mut().unwrap().version = version;
    }

    /// Lets polls from one second to another find that a peer stands still.
    fn stands(&mut self, peer: u8, from: i64, to: i64) {
        self.member(peer).unexecuted = Some((self.at(from), self.at(to)));
    }

    fn read_registry(&mut self, seconds: i64, stakes: &[i64]) {
        let peer = |stake: &i64| RegisteredPeer {
            controller: None,
            own_copper: *stake * MINIMUM_OWN_STAKE_COPPER,
            delegated_copper: 0,
            shares: *stake,
            last_block_ms: Some(ms(seconds)),
            url: None,
        };
        let peers = (0..).map(key).zip(stakes.iter().map(peer));
        self.watch.record_registry(RegistryReading {
            registry: Registry::complete(ms(seconds), peers),
            reader: "a".to_owned(),
            only_reader: false,
            read: SystemTime::UNIX_EPOCH,
        });
    }

    fn at(&self, seconds: i64) -> Instant {
        self.start + Duration::from_secs(seconds.unsigned_abs())
    }

    /// Judges at this second.
    fn judge(&mut self, seconds: i64) -> Option<ProtocolVerdict> {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(START + seconds.unsigned_abs());
        self.watch.compare_upgrades(self.at(seconds), wall);
        self.watch.protocol_verdict()
    }

    /// Returns the peers for which an upgrade is required.
    fn required(&self) -> Vec<u8> {
        self.which(|upgrade| upgrade.is_required)
    }

    fn withdrawn(&self) -> Vec<u8> {
        self.which(|upgrade| upgrade.has_withdrawn)
    }

    fn which(&self, holds: impl Fn(UpgradeStanding) -> bool) -> Vec<u8> {
        let peers = 0..u8::try_from(self.supported.len()).unwrap();
        peers
            .filter(|peer| holds(self.watch.verdict_on(id(*peer)).upgrade))
            .collect()
    }
}

fn id(peer: u8) -> SlotId {
    SlotId(peer.into())
}

/// Milliseconds since the epoch at this second.
fn ms(seconds: i64) -> i64 {
    (i64::try_from(START).unwrap() + seconds) * 1_000
}

const ABLE: Option<i64> = Some(1);
const UNABLE: Option<i64> = Some(0);

#[test]
fn the_protocol_is_that_of_the_newest_state_that_another_peer_confirms() {
    let version = |change: &dyn Fn(&mut Scenario)| {
        let mut scenario = Scenario::new(&[ABLE; 4]);
        change(&mut scenario);
        scenario.judge(1).map(|protocol| protocol.version)
    };
    assert_eq!(version(&|_| {}), Some(0));
    assert_eq!(version(&|it| it.applied(2, 101, 1)), Some(1));
    assert_eq!(
        version(&|it| {
            it.applied(2, 101, 9);
            it.member(2).comparison = Comparison::NotCompared;
        }),
        Some(0),
        "nobody confirms it"
    );
    assert_eq!(
        version(&|it| {
            it.applied(2, 101, 9);
            it.member(2).configured = false;
        }),
        Some(0),
        "a stranger"
    );
    assert_eq!(
        version(&|it| {
            for peer in 0..4 {
                it.member(peer).comparison = Comparison::NotCompared;
            }
        }),
        None
    );
}

#[test]
fn the_only_watched_peer_is_trusted_unless_it_is_a_stranger() {
    let mut scenario = Scenario::new(&[ABLE]);
    scenario.member(0).comparison = Comparison::NotCompared;
    assert!(scenario.judge(1).is_some());
    let mut stranger = Scenario::new(&[ABLE]);
    stranger.member(0).configured = false;
    assert_eq!(stranger.judge(1), None);
}

#[test]
fn what_was_confirmed_last_holds_until_its_holders_are_lost() {
    let mut scenario = Scenario::new(&[ABLE, ABLE, UNABLE, UNABLE]);
    scenario.applied(0, 200, 1);
    scenario.applied(1, 200, 1);
    let version = |scenario: &mut Scenario| scenario.judge(4_000).map(|it| it.version);
    assert_eq!(version(&mut scenario), Some(1));
    for peer in [0, 1] {
        scenario.member(peer).comparison = Comparison::NotCompared;
    }
    assert_eq!(
        version(&mut scenario),
        Some(1),
        "the frozen ones still agree"
    );
    for peer in [0, 1] {
        scenario.member(peer).latest = None;
    }
    assert_eq!(version(&mut scenario), Some(0));
    for peer in [2, 3] {
        scenario.member(peer).latest = None;
    }
    assert_eq!(version(&mut scenario), None);
}

#[test]
fn readiness_is_counted_by_weight_and_what_does_not_say_is_unknown() {
    let mut scenario = Scenario::new(&[ABLE, Some(7), UNABLE, None]);
    // A fifth that nobody watches, and a sixth with too little stake to vote.
    scenario.read_registry(0, &[4, 1, 2, 2, 1, 0]);
    let protocol = scenario.judge(1).unwrap();
    let [next] = protocol.pending[..] else {
        panic!("{protocol:?}");
    };
    assert_eq!((next.version, next.takes_effect_ms), (1, ms(60 * MINUTE)));
    for (readiness, expected) in [
        (Readiness::Ready, 0.5),
        (Readiness::Unable, 0.2),
        (Readiness::Unknown, 0.3),
    ] {
        let weight = next.weight(readiness).unwrap();
        assert!((weight - expected).abs() < 1e-9, "{readiness:?}: {weight}");
    }
}

#[test]
fn an_upgrade_is_at_risk_when_67_percent_or_less_can_be_ready() {
    for (supported, expected) in [
        ([ABLE, ABLE, ABLE, UNABLE], false),
        ([None, None, None, UNABLE], false),
        ([ABLE, ABLE, UNABLE, UNABLE], true),
    ] {
        let protocol = Scenario::new(&supported).judge(1).unwrap();
        assert_eq!(protocol.pending[0].is_at_risk(), expected, "{supported:?}");
    }
    let mut unstaked = Scenario::new(&[UNABLE; 2]);
    unstaked.watch.registry = None;
    let protocol = unstaked.judge(1).unwrap();
    assert_eq!(protocol.pending[0].readiness, None);
    assert!(!protocol.pending[0].is_at_risk());
}

#[test]
fn at_most_sixteen_upgrades_are_judged() {
    let mut scenario = Scenario::new(&[ABLE]);
    scenario.member(0).protocol.as_mut().unwrap().activations_ms = vec![ms(0); 100];
    let protocol = scenario.judge(1).unwrap();
    let versions: Vec<_> = protocol.pending.iter().map(|it| it.version).collect();
    assert_eq!(versions, (1..=16).collect::<Vec<_>>());
}

#[test]
fn an_upgrade_is_required_once_the_majority_has_applied_it() {
    let mut scenario = Scenario::new(&[ABLE, ABLE, UNABLE, None]);
    scenario.judge(60 * MINUTE + 1);
    assert!(
        scenario.required().is_empty(),
        "an idle network passes the time"
    );
    for peer in [0, 1] {
        scenario.applied(peer, 101, 1);
    }
    scenario.judge(60 * MINUTE + 2);
    assert_eq!(scenario.required(), [2], "the last one does not say");
    scenario.member(2).supported = ABLE;
    scenario.judge(60 * MINUTE + 3);
    assert!(scenario.required().is_empty(), "it was updated");
}

#[test]
fn an_upgrade_is_required_once_the_next_final_block_of_a_peer_has_reached_its_time() {
    let due = 60 * MINUTE;
    for (since, asked, expected) in [
        (due - 30, due + 300, &[][..]),
        (due, due + 59, &[]),
        (due, due + 60, &[0]),
    ] {
        let mut scenario = Scenario::new(&[UNABLE, ABLE]);
        for peer in [0, 1] {
            scenario.stands(peer, since, asked);
        }
        scenario.judge(due + 300);
        assert_eq!(
            scenario.required(),
            expected,
            "since {since}, asked at {asked}"
        );
    }
}

#[test]
fn an_upgrade_has_failed_when_most_of_those_that_can_execute_it_stand_still_at_it() {
    let due = 60 * MINUTE;
    let failed = |standing: &[u8], since: i64| {
        let mut scenario = Scenario::new(&[ABLE, ABLE, ABLE, UNABLE]);
        for peer in standing {
            scenario.stands(*peer, since, since + MINUTE);
        }
        scenario.judge(since + MINUTE).unwrap().failed
    };
    assert!(!failed(&[], due));
    assert!(!failed(&[0, 3], due), "one of three, and one that cannot");
    assert!(failed(&[0, 1], due));
    assert!(!failed(&[0, 1, 2], due - 70), "before the upgrade");
    let mut applied = Scenario::new(&[ABLE; 3]);
    for peer in 0..3 {
        applied.applied(peer, 101, 1);
        applied.stands(peer, due, due + MINUTE);
    }
    assert!(!applied.judge(due + MINUTE).unwrap().failed);
}

#[test]
fn stake_that_goes_missing_within_ten_minutes_before_an_upgrade_is_a_withdrawal() {
    let due = 60 * MINUTE;
    for (before, after, expected) in [
        (due - 12 * MINUTE, due - 11 * MINUTE, &[][..]),
        (due - 12 * MINUTE, due - 10 * MINUTE, &[2, 3]),
        (due - MINUTE, due + 5 * MINUTE, &[2, 3]),
        (due, due + MINUTE, &[]),
    ] {
        let mut scenario = Scenario::new(&[ABLE, ABLE, UNABLE, None]);
        scenario.read_registry(before, &[1, 1, 1, 1]);
        scenario.judge(before);
        // The first peer says that it can execute the upgrade: its stake has gone for another
        // reason.
        scenario.read_registry(after, &[0, 1, 0, 0]);
        let protocol = scenario.judge(after).unwrap();
        assert_eq!(scenario.withdrawn(), expected, "{before} to {after}");
        assert_eq!(protocol.withdrawn.len(), expected.len());
        scenario.read_registry(after + 2 * MINUTE, &[0, 1, 1, 0]);
        scenario.judge(after + 2 * MINUTE);
        let left: Vec<u8> = expected.iter().copied().filter(|peer| *peer == 3).collect();
        assert_eq!(scenario.withdrawn(), left, "one is back");
    }
}
