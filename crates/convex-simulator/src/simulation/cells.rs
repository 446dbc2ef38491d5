//! The cells of a peer by their hashes: its belief, the orders in it, and blocks.

use std::time::Duration;

use cad3::{Cell, Hash};
use convex_client::belief::{BeliefHead, CellSource};
use convex_client::{Failure, MAX_REQUESTED_CELLS, data_request, read_cells, status_request};

use super::{Simulation, peer_error};

/// The cells of one peer at one time.
#[derive(Debug)]
pub struct SimulatedCells<'a> {
    pub(super) simulation: &'a mut Simulation,
    pub(super) peer: usize,
    pub(super) at: Duration,
    pub(super) timeout: Duration,
}

impl SimulatedCells<'_> {
    fn request(&mut self, request: &Cell) -> Result<Cell, Failure> {
        let Self {
            peer, at, timeout, ..
        } = *self;
        let reply = self.simulation.answer(peer, at, timeout, request)?;
        reply.value.outcome.map_err(|error| peer_error(&error))
    }
}

impl CellSource for SimulatedCells<'_> {
    async fn head(&mut self) -> Result<BeliefHead, Failure> {
        BeliefHead::from_cell(&self.request(&status_request(1))?)
    }

    async fn cells(&mut self, hashes: &[Hash]) -> Result<Vec<Option<Cell>>, Failure> {
        let mut cells = Vec::with_capacity(hashes.len());
        for batch in hashes.chunks(MAX_REQUESTED_CELLS) {
            let value = self.request(&data_request(2, batch))?;
            cells.extend(read_cells(&value, batch.len())?);
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use convex_client::belief::{
        Belief, BeliefError, Comparison, Held, SignedOrder, compare_histories_at, read_belief,
        read_blocks,
    };

    use convex_client::{ClientOptions, Endpoint, TcpClient};
    use tokio::time::Instant;

    use super::*;
    use crate::network::{Network, Options};
    use crate::script::Script;
    use crate::traffic::Traffic;

    const TIMEOUT: Duration = Duration::from_secs(5);
    const NOW: Duration = Duration::from_secs(60);

    fn simulation(peers: usize, faults: &[&str], traffic: Option<&str>) -> Simulation {
        let options = Options {
            peers,
            script: Script::parse(faults.iter().copied(), peers).unwrap(),
            traffic: traffic.map(|traffic| Traffic::parse(traffic, peers).unwrap()),
            ..Options::default()
        };
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Simulation::new(options, start).unwrap()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(future)
    }

    fn belief(simulation: &mut Simulation, peer: usize) -> Result<Belief, BeliefError> {
        let mut cells = simulation.cells(peer, NOW, TIMEOUT);
        Ok(run(read_belief(&mut cells, &[]))?.1)
    }

    /// Number of final blocks of each peer, as `peer` has heard.
    fn finality(simulation: &mut Simulation, peer: usize) -> Vec<Option<i64>> {
        let belief = belief(simulation, peer).unwrap();
        assert!(belief.rejected.is_empty());
        let keys = (1..=simulation.len()).map(|peer| simulation.key(peer));
        keys.map(|key| belief.orders.get(&key).map(|it| it.points.finality))
            .collect()
    }

    fn compare(simulation: &mut Simulation, [left, right]: [&SignedOrder; 2]) -> Comparison {
        let mut cells = simulation.cells(1, NOW, TIMEOUT);
        run(compare_histories_at(
            &mut cells,
            &left.blocks,
            &right.blocks,
        ))
        .unwrap()
    }

    #[test]
    fn peers_hear_each_other_and_hold_one_belief() {
        let mut simulation = simulation(4, &[], Some("1s"));
        let beliefs = [1, 2, 3, 4].map(|peer| belief(&mut simulation, peer).unwrap());
        let points = [1, 2, 3, 4].map(|peer| simulation.order(peer, NOW));
        for belief in &beliefs {
            assert_eq!(*belief, beliefs[0]);
            assert_eq!((belief.orders.len(), belief.rejected.len()), (4, 0));
            for (peer, points) in (1..).zip(points) {
                assert_eq!(belief.orders[&simulation.key(peer)].points, points);
            }
        }
        let [one, other] = [1, 2].map(|peer| &beliefs[0].orders[&simulation.key(peer)]);
        let same = compare(&mut simulation, [one, other]);
        assert!(matches!(same, Comparison::Same { blocks } if blocks >= 1058));
    }

    #[test]
    fn blocks_are_signed_by_their_makers() {
        let mut simulation = simulation(4, &[], None);
        simulation.make_block(3, Duration::from_secs(50));
        let order = belief(&mut simulation, 1).unwrap().orders[&simulation.key(1)].clone();
        assert_eq!((order.blocks.count(), order.points.finality), (1001, 1001));
        let mut cells = simulation.cells(1, NOW, TIMEOUT);
        let read = run(read_blocks(&mut cells, &order.blocks, 900..1001)).unwrap();
        assert_eq!(read.len(), 101);
        let makers: Vec<_> = read.into_iter().map(|read| read.block.unwrap()).collect();
        assert!(makers.is_sorted_by_key(|block| block.timestamp_ms));
        assert!(
            makers
                .iter()
                .all(|block| (1..=3).contains(&block.transactions))
        );
        let last = makers.last().unwrap();
        assert_eq!(last.maker, simulation.key(3));
        assert_eq!(last.timestamp_ms, 1_800_000_050_000);
        for peer in 1..=4 {
            let key = simulation.key(peer);
            assert!(makers.iter().filter(|block| block.maker == key).count() >= 25);
        }
    }

    #[test]
    fn a_fork_has_its_first_other_block_in_its_order_alone() {
        for fault in ["fork=1020:2", "minority-fork=1020:2"] {
            let mut simulation = simulation(4, &[fault], Some("1s"));
            let [healthy, forked] = [1, 2].map(|peer| belief(&mut simulation, peer).unwrap());
            let own = forked.orders[&simulation.key(2)].clone();
            let of_others = healthy.orders[&simulation.key(1)].clone();
            let Comparison::Different(difference) = compare(&mut simulation, [&own, &of_others])
            else {
                panic!("{fault}: the same blocks");
            };
            assert_eq!(difference.index, 1020, "{fault}");
            let blocks = difference.blocks.map(|block| block.unwrap().unwrap());
            assert_eq!(blocks[0].maker, blocks[1].maker);
            assert_ne!(blocks[0].timestamp_ms, blocks[1].timestamp_ms);
            // Neither accepts the order of the other.
            let held = [
                &healthy.orders[&simulation.key(2)],
                &forked.orders[&simulation.key(1)],
            ];
            assert_eq!(held.map(|order| order.points.block), [1020; 2], "{fault}");
        }
    }

    #[test]
    fn an_isolated_peer_or_group_hears_itself_alone() {
        let hears = |faults: &[&str], peer| {
            let mut simulation = simulation(4, faults, Some("1s"));
            finality(&mut simulation, peer)
        };
        let (old, new) = (Some(1019), Some(1059));
        for (faults, peer, expected) in [
            (&["isolate:2:20s"][..], 1, [new, old, new, new]),
            (&["isolate:2:20s"], 2, [old; 4]),
            (&["isolate:2:20s..30s"], 2, [new; 4]),
            (&["isolate:1-2:20s", "isolate:4:20s"], 1, [old; 4]),
            (
                &["isolate:1-2:20s", "isolate:4:20s"],
                3,
                [old, old, new, old],
            ),
            // Two against two: neither half makes progress.
            (&["isolate:1-2:20s", "isolate:3-4:20s"], 1, [old; 4]),
            (&["isolate:1-2:20s", "isolate:3-4:20s"], 3, [old; 4]),
            (&["unheard:2:20s"], 1, [new, old, new, new]),
            (&["unheard:2:20s"], 2, [new; 4]),
            (&["unregistered:2"], 1, [new, None, new, new]),
            (&["wrong-key:2:20s"], 1, [new, None, new, new]),
            (&["wrong-genesis:2"], 1, [new, None, new, new]),
        ] {
            assert_eq!(hears(faults, peer), expected, "{faults:?} {peer}");
        }
    }

    #[test]
    fn a_minority_that_is_cut_off_makes_no_progress() {
        for faults in [
            &["isolate:2:20s"][..],
            &["isolate:1-2:20s", "isolate:3-4:20s"],
            &["minority-fork=1020:2"],
        ] {
            let mut simulation = simulation(4, faults, Some("1s"));
            let finality = [30, 60, 600].map(|seconds| {
                let at = Duration::from_secs(seconds);
                simulation.order(2, at).finality
            });
            assert_eq!(finality[1..], [finality[2]; 2], "{faults:?}");
            assert!(finality[0] <= 1021 && finality[2] <= 1021, "{faults:?}");
        }
    }

    #[test]
    fn halves_that_fork_at_one_block_share_their_new_blocks_with_their_half_alone() {
        let mut simulation = simulation(4, &["fork=1020:50%"], Some("1s"));
        let orders = [1, 2, 3, 4].map(|peer| {
            let key = simulation.key(peer);
            belief(&mut simulation, peer).unwrap().orders[&key].clone()
        });
        let mut first_difference = |one: usize, other: usize| {
            let pair = [&*orders[one - 1], &*orders[other - 1]];
            match compare(&mut simulation, pair) {
                Comparison::Same { .. } => None,
                Comparison::Different(difference) => Some(difference.index),
            }
        };
        assert_eq!(
            [(1, 2), (3, 4)].map(|(a, b)| first_difference(a, b)),
            [None; 2]
        );
        assert_eq!(
            [(1, 3), (2, 4)].map(|(a, b)| first_difference(a, b)),
            [Some(1020); 2]
        );
    }

    #[test]
    fn peers_with_one_key_each_sign_orders_that_the_others_never_hold() {
        for traffic in [None, Some("1s"), Some("70ms")] {
            let mut simulation = simulation(4, &["duplicate-key:2,3"], traffic);
            let key = simulation.key(2);
            let mut seen = [const { Vec::new() }; 4];
            for tenth in 0..60 {
                let at = NOW + Duration::from_millis(tenth * 100);
                for peer in 1..=4 {
                    let mut cells = simulation.cells(peer, at, TIMEOUT);
                    let (head, found) = run(read_belief(&mut cells, &[])).unwrap();
                    let peer_key = if peer == 3 { key } else { simulation.key(peer) };
                    assert_eq!(head.status.peer_key, peer_key);
                    assert_eq!((found.orders.len(), found.rejected.len()), (3, 0));
                    seen[peer - 1].push(found.orders[&key].hash);
                }
            }
            let [others, one, two, more] = seen;
            assert!(one.iter().all(|order| !two.contains(order)), "{traffic:?}");
            assert_eq!(others, more);
            assert!(
                others
                    .iter()
                    .all(|order| one.contains(order) || two.contains(order))
            );
        }
    }

    #[test]
    fn another_key_and_another_network_have_orders_of_their_own() {
        let mut wrong_key = simulation(2, &["wrong-key:2"], None);
        let mut cells = wrong_key.cells(2, NOW, TIMEOUT);
        let (head, found) = run(read_belief(&mut cells, &[])).unwrap();
        assert_ne!(head.status.peer_key, wrong_key.key(2));
        assert!(matches!(found.held(&head.status.peer_key), Held::Order(_)));
        let mut elsewhere = simulation(2, &["wrong-genesis:2"], None);
        let [one, other] = [1, 2].map(|peer| belief(&mut elsewhere, peer).unwrap());
        let key = elsewhere.key(2);
        let orders = [&*one.orders[&elsewhere.key(1)], &*other.orders[&key]];
        let compared = compare(&mut elsewhere, orders);
        assert!(matches!(compared, Comparison::Different(it) if it.index == 0));
    }

    #[test]
    fn an_order_never_claims_more_blocks_than_it_has() {
        for fault in [
            "claim=4611686018427387904:2",
            "stall:2",
            "recede=7:2",
            "restart=500:2:59s",
        ] {
            let mut simulation = simulation(4, &[fault], None);
            assert_eq!(finality(&mut simulation, 2).len(), 4, "{fault}");
        }
    }

    #[test]
    fn a_client_reads_the_same_over_tcp() {
        let mut simulation = simulation(4, &[], None);
        let expected = belief(&mut simulation, 1).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let options = Options {
                peers: 4,
                ..Options::default()
            };
            let network = Network::start(options).await.unwrap();
            let endpoint = Endpoint::parse(&format!("tcp://{}", network.tcp(1))).unwrap();
            let mut client = TcpClient::new(&endpoint, &ClientOptions::default());
            let mut cells = client.cells(Instant::now() + Duration::from_secs(600));
            let (head, found) = read_belief(&mut cells, &[]).await.unwrap();
            assert_eq!(head.status.peer_key, network.key(1));
            assert!(found.orders.keys().eq(expected.orders.keys()));
            assert!(found.rejected.is_empty());
            let order = &found.orders[&head.status.peer_key];
            let blocks = read_blocks(&mut cells, &order.blocks, 0..u64::MAX).await;
            assert_eq!(blocks.unwrap().len(), 254, "the last of 1,000");
            let absent = [head.belief, Hash::of(b"absent")];
            let cells = cells.cells(&absent).await.unwrap();
            assert!(cells[0].is_some() && cells[1].is_none());
            let many: Vec<_> = (0..600_u32).map(|i| Hash::of(&i.to_be_bytes())).collect();
            let deadline = Instant::now() + Duration::from_secs(600);
            let cells = client.fetch_cells(&many, deadline).await.unwrap();
            assert_eq!((cells.len(), cells.iter().flatten().count()), (600, 0));
        });
    }

    #[test]
    fn large_networks_have_no_beliefs() {
        let mut simulation = simulation(257, &[], None);
        let error = belief(&mut simulation, 1).unwrap_err();
        assert!(matches!(error, BeliefError::Gone { .. }), "{error}");
    }
}
