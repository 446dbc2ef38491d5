//! The likely cause of a peer's problem: the peer, its network or this monitor, with the evidence.
//! A pure function of the snapshot.

use crate::fleet::{
    Condition, Evidence, Health, NetworkSnapshot, OrderState, PeerRecord, Snapshot,
};

use super::conditions::condition_texts;
use super::format::number;
use super::labels;
use super::network_card::stall_cause;

/// The cause of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// There is no problem.
    NoProblem,
    Peer,
    Network,
    /// Both the peer and the network have a problem.
    Both,
    Monitor,
    Unclear,
}

impl Cause {
    /// Returns the text for the page.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::NoProblem => "Neither: no problem was found.",
            Self::Peer => "The peer.",
            Self::Network => "The network.",
            Self::Both => "Both.",
            Self::Monitor => "Perhaps neither: this monitor has a problem.",
            Self::Unclear => "Not clear.",
        }
    }

    /// Returns the CSS class.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::NoProblem => "up",
            Self::Peer | Self::Network | Self::Both => "down",
            Self::Monitor | Self::Unclear => "unknown",
        }
    }
}

/// The cause of a peer's problem, and the evidence for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) cause: Cause,
    /// One sentence each about the peer, its process, the other peers and the monitor.
    pub(super) evidence: Vec<String>,
}

/// Finds the cause of the problem of a peer, if it has one.
pub(super) fn diagnose(record: &PeerRecord, snapshot: &Snapshot) -> Diagnosis {
    let network = snapshot
        .networks
        .iter()
        .find(|it| it.name == record.peer.network);
    let others = OtherPeers::of(record, snapshot);
    let network_state = network.map_or(NetworkState::NotSeen, |network| {
        others.network_state(network)
    });
    let has_problem = record.health != Health::Up && record.health != Health::Unknown;
    let monitor_has_problem = !snapshot.checks.all_passed();
    let cause = match (record.health, network_state) {
        (Health::Unknown, _) if record.excuse.is_some() || monitor_has_problem => Cause::Monitor,
        (Health::Unknown, _) => Cause::Unclear,
        (_, NetworkState::Unhealthy) if has_problem && follows_from_network(record) => {
            Cause::Network
        }
        (_, NetworkState::Unhealthy) if has_problem => Cause::Both,
        (_, NetworkState::Unhealthy) => Cause::Network,
        (_, NetworkState::Healthy) if has_problem => Cause::Peer,
        (_, NetworkState::NotSeen) if has_problem && is_process_gone(record, snapshot) => {
            Cause::Peer
        }
        (_, NetworkState::NotSeen) if has_problem => Cause::Unclear,
        _ => Cause::NoProblem,
    };
    let mut evidence = vec![peer_evidence(record)];
    evidence.extend(process_evidence(record, snapshot));
    evidence.push(others.evidence(network));
    evidence.push(monitor_evidence(record, snapshot));
    Diagnosis { cause, evidence }
}

/// The state of the network according to its other peers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NetworkState {
    Healthy,
    Unhealthy,
    /// No other peer answers.
    NotSeen,
}

/// The other watched peers of the network.
struct OtherPeers {
    watched: usize,
    answering: usize,
}

impl OtherPeers {
    fn of(record: &PeerRecord, snapshot: &Snapshot) -> Self {
        let others = || {
            snapshot.peers.iter().filter(|other| {
                other.peer.network == record.peer.network && other.peer.name != record.peer.name
            })
        };
        let answers = |other: &&&std::sync::Arc<PeerRecord>| other.last_poll.is_good();
        Self {
            watched: others().count(),
            answering: others().filter(|other| answers(&other)).count(),
        }
    }

    fn network_state(&self, network: &NetworkSnapshot) -> NetworkState {
        let verdict = &network.verdict;
        let lacks_quorum = verdict
            .quorum
            .as_ref()
            .is_some_and(|quorum| quorum.margin < 0.0);
        let is_stuck = matches!(verdict.order, OrderState::Stalled | OrderState::Receding);
        if verdict.reset.is_some() {
            NetworkState::Unhealthy
        } else if self.answering == 0 {
            NetworkState::NotSeen
        } else if is_stuck || verdict.split == Evidence::Proven || lacks_quorum {
            NetworkState::Unhealthy
        } else {
            NetworkState::Healthy
        }
    }

    fn evidence(&self, network: Option<&NetworkSnapshot>) -> String {
        if self.watched == 0 {
            return "This is the only peer that is watched on this network, so a problem of the network \
                    cannot be told apart from one of the peer. Add a reference peer, or enable \
                    discovery."
                .to_owned();
        }
        if network.is_some_and(|network| network.verdict.reset.is_some()) {
            return "All polled peers of the network show the same genesis hash, which is not the \
                    configured one: the network was reset."
                .to_owned();
        }
        let answering = format!(
            "{} of {} other watched peers answer",
            self.answering, self.watched
        );
        let Some(verdict) = network
            .map(|network| &network.verdict)
            .filter(|_| self.answering > 0)
        else {
            return format!("{answering}.");
        };
        let mut text = format!(
            "{answering}; the network: {}",
            labels::order_state(verdict.order)
        );
        if let Some(cause) = stall_cause(verdict) {
            text.push_str(", because ");
            text.push_str(&cause);
        }
        if let Some(head) = verdict.head {
            text.push_str(", its head at block ");
            text.push_str(&number(head));
        }
        if verdict.split == Evidence::Proven {
            text.push_str(", and it is split");
        } else if verdict.difference.is_some() {
            text.push_str(", and peers have different states");
        }
        if verdict
            .quorum
            .as_ref()
            .is_some_and(|quorum| quorum.margin < 0.0)
        {
            text.push_str(", and it has no quorum");
        }
        text.push('.');
        text
    }
}

/// Whether all conditions of the peer follow from a network that does not advance.
fn follows_from_network(record: &PeerRecord) -> bool {
    let is_of_network = |it: &Condition| {
        matches!(
            it,
            Condition::Stalled | Condition::Receding | Condition::StateBehind
        )
    };
    record.health == Health::Degraded && record.conditions.iter().all(is_of_network)
}

fn is_process_gone(record: &PeerRecord, snapshot: &Snapshot) -> bool {
    let process = record.process(snapshot.now);
    process.is_some_and(|process| process.process_up == Some(false))
}

fn peer_evidence(record: &PeerRecord) -> String {
    let health = match record.health {
        Health::Unknown => "The state of this peer is not known",
        Health::Up => "This peer answers, and no problem was found",
        Health::Degraded => "This peer answers",
        Health::Down => "This peer is down",
    };
    let conditions = condition_texts(record);
    if conditions.is_empty() {
        format!("{health}.")
    } else {
        format!("{health}: {}.", conditions.join(", "))
    }
}

fn process_evidence(record: &PeerRecord, snapshot: &Snapshot) -> Option<String> {
    let process = record.process(snapshot.now)?;
    let answers = record.last_poll.is_good();
    Some(match (process.process_up, process.pid) {
        (Some(true), Some(pid)) if answers => format!("Its process runs on this host (id {pid})."),
        (Some(true), Some(pid)) => format!(
            "Its process runs on this host (id {pid}) but does not answer correctly: it hangs, or listens \
             at another address."
        ),
        (Some(true), None) => "Its process runs on this host.".to_owned(),
        (Some(false), _) => "Its process does not run on this host.".to_owned(),
        (None, _) => "It is not known whether its process runs.".to_owned(),
    })
}

fn monitor_evidence(record: &PeerRecord, snapshot: &Snapshot) -> String {
    if let Some(excuse) = record.excuse {
        return format!("The last failed poll does not count: {excuse}.");
    }
    let failing: Vec<&str> = snapshot
        .checks
        .healthy()
        .filter(|(_, healthy)| !healthy)
        .map(|(check, _)| check.as_str())
        .collect();
    if failing.is_empty() {
        "The checks of this monitor itself pass.".to_owned()
    } else {
        format!(
            "Checks of this monitor itself fail: {}.",
            failing.join(", ")
        )
    }
}
