//! Any state can be written, read back and shown.

use std::collections::BTreeMap;

use cad3::Hash;
use convex_peer_monitor::agent::state_file::StateFile;
use convex_peer_monitor::config::{Detail, Mode};
use convex_peer_monitor::fleet::{
    ConfiguredIdentity, Health, SavedCertificate, SavedEndpoint, SavedFleet, SavedOrder, SavedPeer,
    SavedRegistrations, Streak, UnixMillis,
};
use convex_peer_monitor::metrics::{AgentFacts, Format, write_exposition};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::support::fleet::fleet;
use crate::support::polls::points;

use super::{ONE, URL, state};

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::new)
}

fn moment() -> impl Strategy<Value = Option<UnixMillis>> {
    option::of(any::<u64>().prop_map(UnixMillis))
}

fn streak() -> impl Strategy<Value = Streak> {
    vec(any::<bool>(), 0..6).prop_map(|polls| {
        let mut streak = Streak::default();
        for good in polls {
            streak.record(good, 2, 2);
        }
        streak
    })
}

fn times() -> impl Strategy<Value = UnixMillis> {
    any::<u64>().prop_map(UnixMillis)
}

fn endpoint() -> impl Strategy<Value = SavedEndpoint> {
    let failure = option::of((any::<String>(), any::<String>()));
    let times = (moment(), moment(), moment(), moment());
    (times, any::<u32>(), failure).prop_map(
        |((attempt, success, certificate_ends, failing_since), failures, failure)| SavedEndpoint {
            attempt,
            success,
            certificate_ends,
            certificate: certificate_ends.map(|ends| SavedCertificate {
                begins: UnixMillis(ends.0 / 2),
                subject: "CN=peer".to_owned(),
            }),
            failures,
            failing_since,
            failure,
        },
    )
}

fn remembered() -> impl Strategy<Value = SavedPeer> {
    let who = (any::<String>(), option::of(hash()), option::of(hash())).prop_map(
        |(network, pinned_genesis, pinned_key)| ConfiguredIdentity {
            network,
            pinned_genesis,
            pinned_key,
        },
    );
    let matches = any::<[Option<bool>; 3]>();
    let seen = (option::of(hash()), option::of(hash()), matches, moment());
    let health = proptest::sample::select(&Health::ALL[..]);
    let endpoints = btree_map(any::<String>(), endpoint().prop_map(Box::new), 0..3);
    let apart = (option::of(any::<i64>()), option::of(any::<u64>()));
    let points = option::of(any::<[i64; 4]>().prop_map(points));
    let highest = option::of(any::<[i64; 3]>());
    let owed =
        (option::of(any::<i64>()), moment()).prop_map(|(finality, since)| finality.zip(since));
    let order = (points, highest, moment(), moment(), moment(), owed).prop_map(
        |(points, highest, stuck, below, lost, owed)| SavedOrder {
            points,
            highest,
            stuck,
            below,
            lost,
            unexecuted: owed,
        },
    );
    let registered = (
        option::of(hash()),
        btree_map(any::<String>(), times(), 0..3),
    );
    let advanced = ([moment(), moment(), moment(), moment()], order);
    let chain = (apart, registered);
    (who, health, streak(), seen, chain, advanced, endpoints).prop_map(
        |(
            configured,
            health,
            streak,
            (genesis, key, matches, key_changed),
            ((diverged_at, forked_at), (registered_key, condition_since)),
            (advanced, order),
            endpoints,
        )| {
            SavedPeer {
                configured,
                health,
                streak,
                verdict_changes: key_changed.into_iter().collect(),
                recent_polls: None,
                genesis,
                key,
                genesis_match: matches[0],
                key_match: matches[1],
                transports_agree: matches[2],
                key_changed,
                diverged_at,
                forked_at,
                registered_key,
                condition_since,
                advanced,
                order,
                endpoints,
            }
        },
    )
}

fn registered_in() -> impl Strategy<Value = BTreeMap<String, Vec<SavedRegistrations>>> {
    let peers = btree_set(any::<String>(), 0..3);
    let saved = (peers, btree_set(hash(), 0..3))
        .prop_map(|(peers, keys)| SavedRegistrations { peers, keys });
    btree_map(any::<String>(), vec(saved, 0..3), 0..3)
}

fn memory() -> impl Strategy<Value = SavedFleet> {
    let networks = btree_map(any::<String>(), any::<u64>().prop_map(UnixMillis), 0..3);
    (
        btree_map(any::<String>(), remembered(), 0..4),
        networks,
        btree_map(any::<String>(), hash(), 0..3),
        registered_in(),
    )
        .prop_map(
            |(peers, finality_advanced, genesis, registered_in)| SavedFleet {
                peers,
                finality_advanced,
                genesis,
                registered_in,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_state_reads_back_as_written(memory in memory()) {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::open(dir.path()).unwrap();
        file.write(&state(memory.clone())).unwrap();
        let found = file.read();
        prop_assert_eq!(found.quarantined, None);
        prop_assert_eq!(found.state, Some(state(memory)));
    }

    #[test]
    fn any_memory_of_a_peer_can_be_shown(mut remembered in remembered(), endpoint in endpoint()) {
        let mut memory = super::memory();
        let one = memory.peers.get_mut("one").unwrap();
        let attempt = one.endpoints[URL].attempt;
        remembered.configured = one.configured.clone();
        remembered.endpoints = BTreeMap::from([(URL.to_owned(), Box::new(SavedEndpoint { attempt, ..endpoint }))]);
        *one = remembered.clone();
        let fleet = fleet(ONE);
        fleet.restore(memory);
        let snapshot = fleet.snapshot();
        prop_assert_eq!(snapshot.peers[0].health, remembered.health);
        let facts = AgentFacts {
            vantage: "here".to_owned(),
            mode: Mode::Central,
            url: None,
            shard: (1, 1),
            reload_successful: true,
            loaded: snapshot.wall,
        };
        let mut text = String::new();
        let registry = prometheus::Registry::new();
        write_exposition(Format::Text, &snapshot, &facts, Detail::Full, &registry, &mut |piece| text.push_str(piece));
        prop_assert!(text.contains("convex_peer_health"));
    }
}
