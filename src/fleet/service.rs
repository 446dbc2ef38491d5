//! Service levels: for how long enough of the operator's own peers of a service were up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::{self, Config};
use crate::supervisor::liveness::Pulse;

use super::{Fleet, Health, LastPoll, PeerRecord, lock};

/// Time between two looks at the peers.
const TICK: Duration = Duration::from_secs(1);

/// Longest time for which one look counts. If more time has passed, the agent did not run, and
/// nobody knows what the peers did.
const MAX_STEP: Duration = Duration::from_secs(10);

/// The past of a service that is kept.
const HOUR: Duration = Duration::from_secs(3600);

/// The part of it that shows whether it is bad now.
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// The past is kept in parts of this length.
const PART: Duration = Duration::from_secs(60);

/// For how long a service was seen within some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceTime {
    /// For how long it was known whether enough of its peers are up.
    pub known: Duration,
    /// For how long of this they were not.
    pub bad: Duration,
}

/// For how long a service was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceLevel {
    /// Since the agent began to watch it.
    pub total: ServiceTime,
    /// Within the last hour, to a minute.
    pub hour: ServiceTime,
    /// Within the last five minutes, to a minute.
    pub five_minutes: ServiceTime,
}

/// Record of a service: since the agent began to watch it, and within the last hour. A reload
/// keeps it, a restart does not.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceRecord {
    total: ServiceTime,
    /// When each part began, and what was seen in it; the oldest first.
    parts: VecDeque<(Instant, ServiceTime)>,
}

/// A network and one of its services.
pub(super) type ServiceName = (String, String);

/// The peers of a service at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    up: usize,
    /// Peers that are unknown, not polled by this shard, or in maintenance: they count neither way.
    undecided: usize,
}

impl Standing {
    fn add(&mut self, record: &PeerRecord, wall: SystemTime) {
        // The health that was saved before a restart says nothing about now.
        let is_known = record.last_poll != LastPoll::None && !record.in_maintenance(wall);
        match record.health {
            Health::Up | Health::Degraded if is_known => self.up += 1,
            Health::Down if is_known => {}
            _ => self.undecided += 1,
        }
    }

    /// Returns whether enough peers are up; none if that depends on peers that do not count.
    const fn is_served(self, serving_min: usize) -> Option<bool> {
        if self.up >= serving_min {
            Some(true)
        } else if self.up + self.undecided < serving_min {
            Some(false)
        } else {
            None
        }
    }
}

impl ServiceTime {
    fn add(&mut self, step: Duration, served: bool) {
        self.known += step;
        if !served {
            self.bad += step;
        }
    }
}

impl ServiceRecord {
    /// Counts `step`, which ended at `now`.
    fn add(&mut self, step: Duration, served: bool, now: Instant) {
        self.total.add(step, served);
        let age = |(began, _): &(Instant, ServiceTime)| now.saturating_duration_since(*began);
        while self.parts.front().is_some_and(|part| age(part) > HOUR) {
            self.parts.pop_front();
        }
        match self.parts.back_mut() {
            Some(part) if age(part) < PART => part.1.add(step, served),
            _ => {
                let mut seen = ServiceTime::default();
                seen.add(step, served);
                self.parts.push_back((now, seen));
            }
        }
    }

    /// Returns what was seen until `now`.
    pub(super) fn level(&self, now: Instant) -> ServiceLevel {
        let within = |time: Duration| {
            let parts = self.parts.iter().rev();
            let recent =
                parts.take_while(|(began, _)| now.saturating_duration_since(*began) <= time);
            recent.fold(ServiceTime::default(), |sum, (_, part)| ServiceTime {
                known: sum.known + part.known,
                bad: sum.bad + part.bad,
            })
        };
        ServiceLevel {
            total: self.total,
            hour: within(HOUR),
            five_minutes: within(FIVE_MINUTES),
        }
    }
}

/// Returns how many own peers of each service other shards have that this one does not poll.
pub(super) fn unpolled(config: &Config) -> BTreeMap<ServiceName, usize> {
    let name = |peer: &Arc<config::Peer>| {
        let service = peer.service_name()?;
        Some((peer.network.clone(), service.to_owned()))
    };
    let mut unpolled: BTreeMap<ServiceName, usize> = BTreeMap::new();
    for service in config.others.iter().filter_map(name) {
        *unpolled.entry(service).or_default() += 1;
    }
    for service in config.sample.iter().filter_map(name) {
        if let Some(count) = unpolled.get_mut(&service) {
            *count = count.saturating_sub(1);
        }
    }
    unpolled.retain(|_, count| *count > 0);
    unpolled
}

impl Fleet {
    /// Counts the time of all services. Never returns.
    pub async fn keep_service_times(self: Arc<Self>, pulse: Pulse) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            pulse.expect(Duration::ZERO);
            let now = Instant::now();
            let step = now - std::mem::replace(&mut last, now);
            if step <= MAX_STEP {
                self.add_service_time(step, SystemTime::now());
            }
            pulse.turned();
        }
    }

    /// Counts `step` for each service, by what is known of its peers now.
    fn add_service_time(&self, step: Duration, wall: SystemTime) {
        let watched = lock(&self.watched);
        let now = Instant::now();
        let records: Vec<_> = watched.slots.iter().map(|slot| slot.record()).collect();
        let mut services: BTreeMap<(&str, &str), Standing> = BTreeMap::new();
        for record in &records {
            if let Some(service) = record.peer.service_name() {
                let name = (record.peer.network.as_str(), service);
                services.entry(name).or_default().add(record, wall);
            }
        }
        for ((network, service), count) in &watched.unpolled {
            let name = (network.as_str(), service.as_str());
            let standing = services.entry(name).or_default();
            standing.undecided += count;
        }
        for (name, network) in &watched.networks {
            let serving_min = lock(&network.slo).serving_min as usize;
            let mut times = lock(&network.services);
            times.retain(|service, _| services.contains_key(&(name.as_str(), service.as_str())));
            let of_network = services.iter().filter(|((network, _), _)| *network == name);
            for ((_, service), standing) in of_network {
                let time = match times.get_mut(*service) {
                    Some(time) => time,
                    None => times.entry((*service).to_owned()).or_default(),
                };
                if let Some(served) = standing.is_served(serving_min) {
                    time.add(step, served, now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use convex_client::{Attempt, ErrorReply, FailureReason, Timed, Transport};

    use crate::config::shard::Shard;
    use crate::failure::{Failure, Reason};
    use crate::fleet::{EndpointObservation, Observation, Slot};
    use crate::supervisor::liveness::{Liveness, Part};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config(text: &str) -> Config {
        config::parse(text, "c.yml", Path::new(""), &|_| None).unwrap()
    }

    /// A fleet of these peers of network `n`, each with its settings.
    fn fleet(slo: &str, peers: &[&str]) -> Arc<Fleet> {
        let fleet = Arc::new(Fleet::default());
        fleet.apply(&config(&file(slo, peers)));
        fleet
    }

    fn file(slo: &str, peers: &[&str]) -> String {
        let mut text = format!("networks: [{{ name: n, slo: {{ {slo} }} }}]\npeers:\n");
        for (i, settings) in peers.iter().enumerate() {
            let endpoint = format!("tcp://127.0.0.1:{}", i + 1);
            writeln!(
                text,
                "- {{ name: p{i}, endpoints: ['{endpoint}'], down_after: 1, up_after: 1{settings} }}"
            )
            .unwrap();
        }
        text
    }

    /// Records a poll: `+` a good one, `-` a failed one, `?` one that the agent failed; none for
    /// any other letter.
    fn poll(fleet: &Fleet, slot: &Slot, letter: char) {
        let failed = |reason| Err(Failure::new(reason, "as scripted"));
        let outcome = match letter {
            '+' => Ok(Duration::ZERO),
            '-' => failed(Reason::Client(FailureReason::Malformed)),
            '?' => failed(Reason::MONITOR),
            _ => return,
        };
        let error = ErrorReply {
            code: "JUICE".to_owned(),
            message: "as scripted".to_owned(),
        };
        // Also an error answers the query.
        let query = outcome.is_ok().then_some(Timed {
            value: Err(error),
            took: Duration::ZERO,
        });
        let attempt = Attempt {
            query,
            ..Attempt::default()
        };
        let now = SystemTime::now();
        let endpoint = EndpointObservation::new(Transport::Tcp, (now, now), attempt, outcome);
        let endpoints = vec![endpoint];
        fleet.record(
            slot,
            &Observation {
                asked: Instant::now(),
                endpoints,
            },
        );
    }

    fn poll_all(fleet: &Fleet, letters: &str) {
        for (slot, letter) in fleet.slots().iter().zip(letters.chars()) {
            poll(fleet, slot, letter);
        }
    }

    /// Returns known and bad seconds of each service of the only network.
    fn seconds(fleet: &Fleet) -> Vec<(String, u64, u64)> {
        let snapshot = fleet.snapshot();
        let services = snapshot.networks[0].services.iter();
        services
            .map(|(name, level)| {
                let ServiceTime { known, bad } = level.total;
                (name.clone(), known.as_secs(), bad.as_secs())
            })
            .collect()
    }

    #[test]
    fn a_second_is_bad_only_if_too_few_peers_can_be_up() {
        const ALWAYS: &str =
            ", maintenance: [{ from: 2000-01-01T00:00:00Z, to: 2100-01-01T00:00:00Z }]";
        let plain = ["", "", ""];
        let one_in_maintenance = ["", "", ALWAYS];
        for (serving_min, peers, polls, expected) in [
            (1, plain, "+++", (1, 0)),
            (1, plain, "--+", (1, 0)),
            (1, plain, "---", (1, 1)),
            (2, plain, "--+", (1, 1)),
            (2, plain, "-++", (1, 0)),
            // Unknown peers count neither way, whether the agent is to blame or has not asked yet.
            (1, plain, "--?", (0, 0)),
            (1, plain, "--.", (0, 0)),
            (1, plain, "+??", (1, 0)),
            (1, plain, "...", (0, 0)),
            (2, plain, "+??", (0, 0)),
            (2, plain, "?--", (1, 1)),
            // Nor do peers in maintenance, up or down.
            (1, one_in_maintenance, "--+", (0, 0)),
            (1, one_in_maintenance, "---", (0, 0)),
            (1, one_in_maintenance, "+--", (1, 0)),
            (2, one_in_maintenance, "--+", (1, 1)),
            (1, [ALWAYS; 3], "---", (0, 0)),
        ] {
            let fleet = fleet(&format!("serving_min: {serving_min}"), &peers);
            poll_all(&fleet, polls);
            fleet.add_service_time(SECOND, SystemTime::now());
            let expected = vec![("default".to_owned(), expected.0, expected.1)];
            assert_eq!(seconds(&fleet), expected, "{serving_min} of {polls}");
        }
    }

    #[test]
    fn own_peers_are_grouped_by_service_and_references_are_in_none() {
        let peers = ["", ", service: a", ", service: a", ", role: reference"];
        let fleet = fleet("", &peers);
        poll_all(&fleet, "+---");
        fleet.add_service_time(SECOND, SystemTime::now());
        let both = [("a".to_owned(), 1, 1), ("default".to_owned(), 1, 0)];
        assert_eq!(seconds(&fleet), both);
        // A reload keeps the counters of a service that stays.
        fleet.apply(&config(&file("", &["", ", service: b", ", service: b"])));
        fleet.add_service_time(SECOND, SystemTime::now());
        let now = [("b".to_owned(), 1, 1), ("default".to_owned(), 2, 0)];
        assert_eq!(seconds(&fleet), now);
    }

    #[test]
    fn saved_health_says_nothing_of_the_time_before_the_first_poll() {
        let before = fleet("", &[""]);
        poll_all(&before, "-");
        let fleet = fleet("", &[""]);
        fleet.restore(before.export());
        assert_eq!(fleet.snapshot().peers[0].health, Health::Down);
        fleet.add_service_time(SECOND, SystemTime::now());
        assert_eq!(seconds(&fleet), [("default".to_owned(), 0, 0)]);
    }

    #[test]
    fn a_shard_counts_the_peers_of_others_and_knows_which_it_does_not_poll() {
        let whole = config(&file("", &["", "", "", ""]));
        let mut shard = whole.clone();
        "1/2".parse::<Shard>().unwrap().retain_peers(&mut shard);
        assert!(!shard.peers.is_empty() && !shard.others.is_empty());
        for (polls_others, expected) in [(true, (1, 1)), (false, (0, 0))] {
            if !polls_others {
                shard.sample.clear();
            }
            let fleet = Fleet::default();
            fleet.apply(&shard);
            poll_all(&fleet, "----");
            fleet.add_service_time(SECOND, SystemTime::now());
            let expected = [("default".to_owned(), expected.0, expected.1)];
            assert_eq!(seconds(&fleet), expected);
        }
    }

    #[test]
    fn the_last_hour_and_the_last_five_minutes_are_known_to_a_minute() {
        let start = Instant::now();
        let mut record = ServiceRecord::default();
        // Two hours, of which each tenth minute is bad.
        for second in 0..7_200 {
            let served = second / 60 % 10 != 0;
            record.add(SECOND, served, start + second * SECOND);
        }
        assert!(record.parts.len() <= 62, "{}", record.parts.len());
        let seconds = |time: ServiceTime| (time.known.as_secs(), time.bad.as_secs());
        let at = |second: u32| record.level(start + second * SECOND);
        let ends = at(7_199);
        assert_eq!(seconds(ends.total), (7_200, 720));
        assert_eq!(seconds(ends.hour), (3_600, 360));
        assert_eq!(seconds(ends.five_minutes), (300, 0));
        let nothing_was_seen_for_half_an_hour = at(7_199 + 1_800);
        assert_eq!(
            seconds(nothing_was_seen_for_half_an_hour.hour),
            (1_800, 180)
        );
        assert_eq!(seconds(at(7_199 + 3_600).hour), (0, 0));
        record.add(SECOND, false, start + 7_200 * SECOND);
        let bad_again = record.level(start + 7_200 * SECOND);
        assert_eq!(seconds(bad_again.five_minutes), (241 + 60, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_agent_did_not_run_is_not_known() {
        let fleet = fleet("", &[""]);
        poll_all(&fleet, "-");
        let pulse = Liveness::default().pulse(Part::Verdicts, "service levels");
        tokio::spawn(Arc::clone(&fleet).keep_service_times(pulse));
        tokio::time::sleep(30 * SECOND + SECOND / 2).await;
        assert_eq!(seconds(&fleet), [("default".to_owned(), 30, 30)]);
        tokio::time::advance(MAX_STEP + SECOND).await;
        tokio::time::sleep(SECOND / 2).await;
        assert_eq!(seconds(&fleet), [("default".to_owned(), 30, 30)]);
        tokio::time::sleep(5 * SECOND).await;
        let [(_, known, _)] = &seconds(&fleet)[..] else {
            panic!("one service");
        };
        assert!((34..=36).contains(known), "{known}");
    }
}
