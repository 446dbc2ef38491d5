//! Judges networks: compares the peers of one with each other, publishes the verdict, and updates
//! the peers' records with it. No poll waits for that.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::network::record::NetworkRecord;
use super::network::verdict::Judgement;
use super::record::log_health_change;
use crate::supervisor::liveness::Pulse;
use crate::supervisor::run_blocking;

use super::{Fleet, Health, PeerRecord, Slot, lock};

/// Minimum time between the starts of two judgements of a network.
const JUDGE_INTERVAL: Duration = Duration::from_secs(1);

/// Judging takes at most one part in this many of the time: with thousands of peers in two halves
/// one judgement takes a while.
const JUDGE_TIME_DIVISOR: u32 = 10;

/// A network with more peers than this is judged in a thread of its own.
const SMALL_NETWORK: usize = 64;

impl Fleet {
    /// Judges a network whenever something was recorded of it or an answer has become too old, at
    /// most once per second. Never returns while the network is watched.
    pub async fn keep_judging(self: Arc<Self>, network: String, pulse: Pulse) {
        let Some(record) = self.network(&network) else {
            return std::future::pending().await;
        };
        loop {
            pulse.expect(Duration::ZERO);
            let began = Instant::now();
            let slots = self.slots_of(&record);
            let next_expiry = if slots.len() <= SMALL_NETWORK {
                self.judge(&record, &slots)
            } else {
                let (fleet, record) = (Arc::clone(&self), Arc::clone(&record));
                run_blocking(move || fleet.judge(&record, &slots)).await
            };
            pulse.turned();
            sleep_until(began + JUDGE_INTERVAL.max(began.elapsed() * JUDGE_TIME_DIVISOR)).await;
            let expired = async {
                match next_expiry {
                    Some(expiry) => sleep_until(expiry).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = record.changed.notified() => {}
                () = expired => {}
            }
        }
    }

    /// Judges all networks.
    pub fn judge_all(&self) {
        let networks: Vec<_> = lock(&self.watched).networks.values().cloned().collect();
        for network in networks {
            self.judge(&network, &self.slots_of(&network));
        }
    }

    /// Waits for a verdict on `network` that includes everything recorded before now. Needs
    /// [`Self::keep_judging`] to run.
    pub async fn judged(&self, network: &str) {
        let now = Instant::now();
        let Some(network) = self.network(network) else {
            return;
        };
        let includes_now =
            |judgement: &Arc<Judgement>| judgement.verdict.complete_until >= Some(now);
        let mut judgements = network.judgement.subscribe();
        network.changed.notify_one();
        // The sender lives in `network`.
        drop(judgements.wait_for(includes_now).await);
    }

    /// Waits for verdicts on all networks that include everything recorded before now.
    pub async fn all_judged(&self) {
        let names: Vec<String> = lock(&self.watched).networks.keys().cloned().collect();
        for name in names {
            self.judged(&name).await;
        }
    }

    /// Judges a network, of which `slots` are the peers. Returns when the next answer becomes too
    /// old.
    fn judge(&self, network: &NetworkRecord, slots: &[Arc<Slot>]) -> Option<Instant> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut watch = lock(&network.watch);
        watch.set_members(slots);
        for slot in slots {
            watch.take_peer(slot.id, &mut lock(&slot.state), now, wall);
        }
        watch.take_network(std::mem::take(&mut lock(&network.unjudged)));
        watch.compare(now, wall);
        let name_of = |id| {
            let slot = slots.iter().find(|slot| slot.id == id);
            slot.map_or_else(String::new, |slot| slot.peer().name.clone())
        };
        let judgement = Arc::new(watch.judgement(now, name_of));
        for slot in slots {
            let mut state = lock(&slot.state);
            let record = &state.record;
            let verdict = watch.verdict_on(slot.id);
            if state.retired {
                continue;
            }
            if !record.compares_as(&verdict) {
                let record = Arc::make_mut(&mut state.record);
                let previous = record.health;
                record.record_comparison(verdict, now, wall);
                self.reevaluated(record, previous);
            } else if record.compared != verdict.compared {
                // Newer evidence for the same verdict, of which nobody needs to hear.
                Arc::make_mut(&mut state.record).compared = verdict.compared;
            }
        }
        network.judgement.send_replace(judgement);
        watch.next_expiry(now)
    }

    /// Logs and passes on that a record was updated without a poll.
    pub(super) fn reevaluated(&self, record: &PeerRecord, previous: Health) {
        if record.health != previous {
            log_health_change(record, previous);
        }
        if record.peer.sampled.is_none()
            && let Some(observer) = &self.observer
        {
            observer.on_reevaluation(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cad3::Hash;
    use convex_client::{Attempt, ErrorReply, OrderPoints, StatePair, Status, Timed, Transport};

    use crate::config;
    use crate::failure::{Failure, Reason};
    use crate::fleet::{EndpointObservation, Observation};
    use crate::supervisor::liveness::{Liveness, Part};

    use super::*;

    fn fleet() -> Arc<Fleet> {
        let text = "networks: [{ name: n }]\n\
                    peers: [{ name: p, network: n, endpoints: ['tcp://127.0.0.1:1'] }]\n";
        let config = config::parse(text, "c.yml", Path::new(""), &|_| None).unwrap();
        let fleet = Fleet::default();
        fleet.apply(&config);
        Arc::new(fleet)
    }

    /// Records a failed poll.
    fn record(fleet: &Fleet) {
        let now = SystemTime::now();
        let failure = Failure::new(Reason::MONITOR, "as scripted");
        let endpoint =
            EndpointObservation::new(Transport::Tcp, (now, now), Attempt::default(), Err(failure));
        let endpoints = vec![endpoint];
        fleet.record(
            &fleet.slots()[0],
            &Observation {
                asked: Instant::now(),
                endpoints,
            },
        );
    }

    /// A peer that answers its query with an error; its status has `state` from release 0.8.17 on.
    fn with_status(state: Option<StatePair>) -> Observation {
        let order = OrderPoints {
            block: 8,
            proposal: 8,
            consensus: 8,
            finality: 8,
        };
        let status = Status {
            genesis: Hash::new([1; 32]),
            peer_key: Hash::new([2; 32]),
            order,
            state,
            protocol: None,
        };
        let error = ErrorReply {
            code: "JUICE".to_owned(),
            message: "as scripted".to_owned(),
        };
        let took = Duration::ZERO;
        let attempt = Attempt {
            status: Some(Timed {
                value: status,
                took,
            }),
            query: Some(Timed {
                value: Err(error),
                took,
            }),
            ..Attempt::default()
        };
        let now = SystemTime::now();
        let endpoint = EndpointObservation::new(Transport::Tcp, (now, now), attempt, Ok(took));
        let endpoints = vec![endpoint];
        Observation {
            asked: Instant::now(),
            endpoints,
        }
    }

    #[test]
    fn peers_are_compared_by_the_states_of_their_statuses_where_queries_have_none() {
        let pair = StatePair {
            block: 7,
            hash: Hash::new([7; 32]),
        };
        for (state, expected) in [(Some(pair), 2), (None, 0)] {
            let text = "networks: [{ name: n }]\n\
                        peers:\n\
                        - { name: p, network: n, endpoints: ['tcp://127.0.0.1:1'] }\n\
                        - { name: q, network: n, endpoints: ['tcp://127.0.0.1:2'] }\n";
            let config = config::parse(text, "c.yml", Path::new(""), &|_| None).unwrap();
            let fleet = Fleet::default();
            fleet.apply(&config);
            for slot in fleet.slots() {
                fleet.record(&slot, &with_status(state));
            }
            fleet.judge_all();
            let (_, verdict) = &fleet.network_verdicts()[0];
            assert_eq!(verdict.compared.peers, expected, "{state:?}");
        }
    }

    #[test]
    fn nothing_waits_while_a_network_is_judged() {
        let fleet = fleet();
        let network = fleet.network("n").unwrap();
        let judging = lock(&network.watch);
        let (done, finished) = std::sync::mpsc::channel();
        let used = Arc::clone(&fleet);
        std::thread::spawn(move || {
            record(&used);
            used.record_registry("n", None);
            used.record_self_checks(<_>::default());
            drop((
                used.snapshot(),
                used.majority_peers("n"),
                used.export(),
                used.network_verdicts(),
            ));
            used.apply(&config::embedded());
            done.send(()).unwrap();
        });
        let finished = finished.recv_timeout(Duration::from_secs(20));
        assert!(finished.is_ok(), "something waits for the judgement");
        drop(judging);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_is_judged_at_most_once_per_second_and_includes_what_came_before() {
        let fleet = fleet();
        let verdict = || fleet.snapshot().networks[0].verdict.complete_until;
        let pulse = Liveness::default().pulse(Part::Verdicts, "n");
        tokio::spawn(Arc::clone(&fleet).keep_judging("n".to_owned(), pulse));
        fleet.judged("n").await;
        let first = verdict().unwrap();
        for _ in 0..100 {
            record(&fleet);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(verdict(), Some(first));
        let recorded = Instant::now();
        fleet.judged("n").await;
        let second = verdict().unwrap();
        assert!(second >= recorded && second >= first + JUDGE_INTERVAL);
        tokio::time::sleep(100 * JUDGE_INTERVAL).await;
        assert_eq!(verdict(), Some(second), "nothing new is judged");
    }
}
