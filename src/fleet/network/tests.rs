use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::chain::economics::MINIMUM_OWN_STAKE_COPPER;
use convex_client::chain::{RegisteredPeer, Registry};
use proptest::prelude::*;
use tokio::time::Instant;

use crate::fleet::slot::SlotId;
use crate::fleet::{Evidence, OrderState};

use super::consensus::Standing;
use super::head::{HeadBasis, Lag};
use super::member::{Comparison, Heard, Member, Ordered};
use super::record::RegistryReading;
use super::registration::Registration;
use super::ring::Shown;
use super::verdict::NetworkVerdict;
use super::watch::NetworkWatch;

mod comparison;

/// How a peer compares with its network.
struct Compared {
    lag: Option<Lag>,
    comparison: Comparison,
}

/// An id for each name.
fn id(name: &str) -> SlotId {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    SlotId(hasher.finish())
}

/// A key for each name.
fn key(name: &str) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&id(name).0.to_be_bytes());
    Hash::new(bytes)
}

fn registry(stakes: &[(&str, i64)]) -> Registry {
    let peer = |stake: i64| RegisteredPeer {
        controller: None,
        own_copper: stake * MINIMUM_OWN_STAKE_COPPER,
        delegated_copper: 0,
        shares: stake,
        last_block_ms: Some(0),
        url: None,
    };
    let peers = stakes.iter();
    Registry::complete(0, peers.map(|(name, stake)| (key(name), peer(*stake))))
}

/// A network whose peers answer at given seconds.
struct Scenario {
    watch: NetworkWatch,
    start: Instant,
}

impl Scenario {
    /// A network in which these peers have stake. If there are none, its registry cannot be read.
    fn new(stakes: &[(&str, i64)]) -> Self {
        let mut scenario = Self {
            watch: NetworkWatch::default(),
            start: Instant::now(),
        };
        for (name, _) in stakes {
            scenario.add(name);
        }
        if stakes.is_empty() {
            scenario.watch.query_error = Evidence::Proven;
        } else {
            scenario.read_registry(stakes, "a");
        }
        scenario
    }

    /// Peers with the same stake.
    fn equal(names: &[&str]) -> Self {
        let stakes: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
        Self::new(&stakes)
    }

    fn read_registry(&mut self, stakes: &[(&str, i64)], reader: &str) {
        self.watch.record_registry(RegistryReading {
            registry: registry(stakes),
            reader: reader.to_owned(),
            only_reader: false,
            read: SystemTime::UNIX_EPOCH,
        });
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn member(&mut self, name: &str) -> &mut Member {
        self.watch.members.get_mut(&id(name)).expect("it was added")
    }

    fn add(&mut self, name: &str) {
        let mut member = Member::new(Comparison::NotCompared, Standing::default());
        member.key = Some(key(name));
        member.interval = Duration::from_secs(15);
        member.fresh_for = Duration::from_secs(45);
        self.watch.members.insert(id(name), member);
        self.watch.stake_outdated = true;
    }

    /// Records a state at `block`, of the honest history 0 or of another one, and compares.
    fn answer(&mut self, seconds: u64, name: &str, block: i64, history: u8) -> Compared {
        let now = self.at(seconds);
        if !self.watch.members.contains_key(&id(name)) {
            self.add(name);
        }
        let mut hash = [history; 32];
        hash[..8].copy_from_slice(&block.to_be_bytes());
        let state = (block, Hash::new(hash).into());
        self.watch.add_state(id(name), Shown { state, at: now });
        let member = self.member(name);
        member.awaited = false;
        member.latest = Some(Heard {
            block,
            asked: now,
            until: now + Duration::from_secs(45),
        });
        member.record_reached(None);
        self.watch.compare(now, SystemTime::UNIX_EPOCH);
        Compared {
            lag: self
                .watch
                .judgement(now, |_| String::new())
                .lag(id(name), block, now),
            comparison: self.comparison(name),
        }
    }

    /// Records what a STATUS shows: the last block of the order, and the last final one.
    fn order(&mut self, seconds: u64, name: &str, block: i64, finality: i64) {
        let now = self.at(seconds);
        let member = self.member(name);
        member.ordered = Some(Ordered {
            block,
            finality,
            asked: now,
        });
        member.order = OrderState::Advancing;
        member.record_reached(None);
        self.watch.compare(now, SystemTime::UNIX_EPOCH);
    }

    fn comparison(&self, name: &str) -> Comparison {
        self.watch.verdict_on(id(name)).comparison
    }

    fn verdict(&mut self, seconds: u64) -> NetworkVerdict {
        let now = self.at(seconds);
        self.watch.compare(now, SystemTime::UNIX_EPOCH);
        self.watch.verdict(now, |id| format!("{id:?}"))
    }

    fn lag(&mut self, seconds: u64, name: &str, block: i64) -> Option<(i64, u64)> {
        let lag = self.answer(seconds, name, block, 0).lag;
        lag.map(|lag| (lag.blocks, lag.time.as_secs()))
    }
}

#[test]
fn the_only_peer_that_answers_has_no_lag() {
    let mut scenario = Scenario::equal(&["a", "b"]);
    assert_eq!(scenario.lag(0, "a", 5), None);
    assert_eq!(scenario.lag(1, "b", 5), Some((0, 0)));
    assert_eq!(
        scenario.lag(60, "b", 6),
        None,
        "the answer of the other one is outdated"
    );
}

#[test]
fn polls_spread_over_the_interval_on_a_busy_network_cause_no_lag() {
    let names: Vec<String> = (0..15).map(|peer| format!("peer-{peer}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut scenario = Scenario::equal(&names);
    for seconds in 0..300_u64 {
        // One block per second; peer i is polled at second i of every 15.
        let name = names[usize::try_from(seconds % 15).unwrap()];
        let block = i64::try_from(seconds).unwrap();
        let lag = scenario.lag(seconds, name, block);
        assert!(
            lag.is_none_or(|(blocks, _)| blocks == 0),
            "{name} at {seconds} s: {lag:?}"
        );
    }
}

#[test]
fn a_peer_that_stays_behind_lags_since_the_head_passed_it() {
    let mut scenario = Scenario::equal(&["a", "b", "behind"]);
    for seconds in [0, 15, 30, 45] {
        let block = i64::try_from(seconds).unwrap() + 100;
        scenario.answer(seconds, "a", block, 0);
        scenario.answer(seconds + 1, "b", block, 0);
    }
    assert_eq!(
        scenario.lag(47, "behind", 100),
        Some((45, 31)),
        "two of three peers are beyond 100 since second 16"
    );
    assert_eq!(scenario.lag(48, "behind", 145), Some((0, 0)));
}

#[test]
fn the_head_is_where_more_than_a_third_of_the_stake_is_whatever_others_claim() {
    let mut scenario = Scenario::equal(&["a", "b", "c"]);
    scenario.answer(0, "liar", 1 << 62, 9);
    assert_eq!(scenario.verdict(0).head, None);
    for seconds in (0..60).step_by(15) {
        for name in ["a", "b", "c"] {
            let lag = scenario.lag(seconds, name, 100);
            assert!(lag.is_none_or(|(blocks, _)| blocks == 0), "{name}: {lag:?}");
        }
        scenario.answer(seconds + 1, "liar", 1 << 62, 9);
    }
    let verdict = scenario.verdict(60);
    assert_eq!(
        (verdict.head, verdict.head_basis),
        (Some(100), Some(HeadBasis::Registered))
    );
}

#[test]
fn with_less_than_a_third_heard_the_configured_peers_have_a_head_of_their_own() {
    let mut scenario = Scenario::new(&[("a", 10), ("b", 10), ("stranger", 10), ("unwatched", 70)]);
    scenario.watch.members.remove(&id("unwatched"));
    scenario.member("stranger").configured = false;
    scenario.answer(0, "stranger", 1 << 62, 9);
    scenario.answer(0, "a", 100, 0);
    assert_eq!(scenario.lag(5, "b", 60), Some((40, 5)));
    let verdict = scenario.verdict(5);
    assert_eq!(
        (verdict.head, verdict.head_basis),
        (Some(100), Some(HeadBasis::Configured))
    );
}

#[test]
fn without_a_registry_there_is_no_head_and_no_peer_is_accused() {
    let mut scenario = Scenario::new(&[]);
    for name in ["a", "b", "c"] {
        assert!(scenario.answer(0, name, 5, 0).lag.is_none());
    }
    let odd = scenario.answer(1, "d", 5, 1);
    assert_eq!(odd.comparison, Comparison::NotCompared);
    let verdict = scenario.verdict(11);
    assert_eq!(scenario.comparison("d"), Comparison::Differs);
    assert_eq!((verdict.head, verdict.split), (None, Evidence::None));
    assert_eq!(verdict.state_groups(), Some(2));
    assert_eq!(verdict.compared.stake, None);
}

#[test]
fn a_network_stalls_when_more_than_a_third_of_the_weight_is_stuck_above_the_head() {
    for (stuck, block, expected) in [
        (1, 9, OrderState::Advancing),
        (2, 9, OrderState::Stalled),
        (2, 5, OrderState::Advancing),
    ] {
        let names = ["a", "b", "c", "d"];
        let mut scenario = Scenario::equal(&names);
        for (peer, name) in names.iter().enumerate() {
            scenario.answer(0, name, 5, 0);
            scenario.order(0, name, block, 5);
            scenario.member(name).is_stuck = peer < stuck;
        }
        let order = scenario.verdict(0).order;
        assert_eq!(order, expected, "{stuck} are stuck, with blocks to {block}");
    }
}

#[test]
fn a_network_recedes_when_its_peers_lose_final_blocks_for_half_a_minute() {
    let names = ["a", "b", "c"];
    let mut scenario = Scenario::equal(&names);
    for name in names {
        scenario.answer(0, name, 100, 0);
    }
    scenario.answer(10, "a", 80, 0);
    assert_eq!(scenario.verdict(41).head, Some(100), "one of three");
    for name in names {
        scenario.answer(41, name, 80, 0);
        scenario.order(41, name, 81, 80);
    }
    let mut expect = |seconds, asked: &[&str], expected| {
        for name in asked {
            scenario.answer(seconds, name, 80, 0);
        }
        let verdict = scenario.verdict(seconds);
        assert_eq!(
            (verdict.head, verdict.order),
            (Some(80), expected),
            "{asked:?}"
        );
    };
    expect(70, &names, OrderState::Advancing);
    expect(71, &["a"], OrderState::Advancing);
    expect(72, &[], OrderState::Advancing);
    expect(73, &["b"], OrderState::Receding);
    for name in names {
        scenario.answer(74, name, 101, 0);
    }
    assert_eq!(scenario.verdict(75).order, OrderState::Advancing);
}

#[test]
fn final_blocks_that_are_replaced_are_receding_at_once() {
    let names = ["a", "b", "c"];
    let mut scenario = Scenario::equal(&names);
    for name in names {
        scenario.answer(0, name, 90, 0);
        scenario.answer(1, name, 100, 0);
    }
    for name in ["a", "b"] {
        scenario.answer(2, name, 80, 1);
        scenario.answer(3, name, 90, 1);
        scenario.order(3, name, 92, 90);
    }
    assert_eq!(scenario.verdict(3).order, OrderState::Receding);
}

#[test]
fn a_lost_heavy_peer_takes_the_head_back_without_receding() {
    let mut scenario = Scenario::new(&[("heavy", 40), ("b", 30), ("c", 30)]);
    scenario.answer(0, "heavy", 100, 0);
    for seconds in [0, 30, 60, 90] {
        scenario.answer(seconds, "b", 60, 0);
        scenario.answer(seconds, "c", 60, 0);
        scenario.order(seconds, "c", 61, 60);
    }
    let verdict = scenario.verdict(91);
    assert_eq!(
        (verdict.head, verdict.order),
        (Some(60), OrderState::Advancing)
    );
}

#[test]
fn a_peer_is_missing_once_the_registry_lacks_it_at_two_peers() {
    let mut scenario = Scenario::equal(&["a", "b", "evicted"]);
    let registration = |scenario: &Scenario| scenario.watch.verdict_on(id("evicted")).registration;
    assert_eq!(registration(&scenario), Registration::Registered);
    let left = [("a", 1), ("b", 1)];
    for (reader, expected) in [
        ("a", Registration::Registered),
        ("b", Registration::Missing),
    ] {
        scenario.read_registry(&left, reader);
        assert_eq!(registration(&scenario), expected, "{reader}");
    }
}

proptest! {
    #[test]
    fn the_order_of_answers_changes_neither_the_head_nor_the_diverged_peers(
        steps in prop::collection::vec((0_usize..4, 0_i64..4, any::<u64>()), 1..40),
        forked in any::<bool>(),
    ) {
        // The blocks of each peer grow; peer 3 may have another history.
        let names = ["0", "1", "2", "3"];
        let mut blocks = [100_i64; 4];
        let mut answers = Vec::new();
        for (peer, growth, position) in &steps {
            blocks[*peer] += growth;
            answers.push((*position, *peer, blocks[*peer]));
        }
        let replay = |answers: &[(u64, usize, i64)]| {
            let mut scenario = Scenario::equal(&names);
            for (_, peer, block) in answers {
                scenario.answer(0, names[*peer], *block, u8::from(forked && *peer == 3));
            }
            for (peer, block) in blocks.iter().enumerate() {
                scenario.answer(0, names[peer], *block, u8::from(forked && peer == 3));
            }
            let members = scenario.watch.members.values();
            let diverged: Vec<_> = members.map(|member| member.comparison.is_diverged()).collect();
            (scenario.verdict(0).head, diverged)
        };
        let original = replay(&answers);
        // Another order, in which the blocks of each peer still grow.
        let mut reordered: Vec<_> = (0..4)
            .flat_map(|peer| {
                let own = answers.iter().filter(move |(_, of, _)| *of == peer);
                let mut positions: Vec<_> = own.clone().map(|(position, ..)| *position).collect();
                positions.sort_unstable();
                positions.into_iter().zip(own.copied()).map(|(position, (_, of, block))| (position, of, block))
            })
            .collect();
        reordered.sort_by_key(|(position, ..)| *position);
        prop_assert_eq!(replay(&reordered), original);
    }
}
