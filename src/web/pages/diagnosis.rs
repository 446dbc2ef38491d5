//! Whose trouble it is: this peer's, the network's or the monitor's own. One sentence from what is known of all of them. Pure.

use crate::fleet::{Health, NetworkSnapshot, OrderState, PeerRecord, Snapshot};
use crate::web::pages::format::number;
use crate::web::pages::labels;

/// Where the trouble is, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// There is none.
    Nobody,
    /// The peer has it.
    Peer,
    /// The network has it.
    Network,
    /// Both have.
    Both,
    /// The monitor has it.
    Monitor,
    /// It cannot be told.
    Unclear,
}

impl Blame {
    /// The answer in a word or two.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Nobody => "Neither: all is well.",
            Self::Peer => "The peer.",
            Self::Network => "The network.",
            Self::Both => "Both.",
            Self::Monitor => "Perhaps neither: this monitor has trouble of its own.",
            Self::Unclear => "Not clear.",
        }
    }

    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Nobody => "up",
            Self::Peer | Self::Network | Self::Both => "down",
            Self::Monitor | Self::Unclear => "unknown",
        }
    }
}

/// The answer, and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) blame: Blame,
    /// What is known of the peer, of its process, of the others and of the monitor: a sentence each.
    pub(super) evidence: Vec<String>,
}

/// Judges the peer beside its network.
pub(super) fn answer(record: &PeerRecord, snapshot: &Snapshot) -> Answer {
    let network = snapshot
        .networks
        .iter()
        .find(|it| it.name == record.peer.network);
    let others = Others::of(record, snapshot);
    let of_network = network.map_or(Trouble::NotSeen, |network| others.trouble(network));
    let of_peer = record.health != Health::Up && record.health != Health::Unknown;
    let obstructed = !snapshot.checks.all_sound();
    let blame = match (record.health, of_network) {
        (Health::Unknown, _) if record.excuse.is_some() || obstructed => Blame::Monitor,
        (Health::Unknown, _) => Blame::Unclear,
        (_, Trouble::Yes) if of_peer && follows(record) => Blame::Network,
        (_, Trouble::Yes) if of_peer => Blame::Both,
        (_, Trouble::Yes) => Blame::Network,
        (_, Trouble::No) if of_peer => Blame::Peer,
        (_, Trouble::NotSeen) if of_peer && is_process_gone(record, snapshot) => Blame::Peer,
        (_, Trouble::NotSeen) if of_peer => Blame::Unclear,
        _ => Blame::Nobody,
    };
    let mut evidence = vec![of_the_peer(record)];
    evidence.extend(of_the_process(record, snapshot));
    evidence.push(others.sentence(network));
    evidence.push(of_the_monitor(record, snapshot));
    Answer { blame, evidence }
}

/// Whether the network has trouble.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Yes,
    No,
    /// No other peer of it is heard.
    NotSeen,
}

/// The other watched peers of the network.
struct Others {
    watched: usize,
    answering: usize,
}

impl Others {
    fn of(record: &PeerRecord, snapshot: &Snapshot) -> Self {
        let others = || {
            snapshot.peers.iter().filter(|other| {
                other.peer.network == record.peer.network && other.peer.name != record.peer.name
            })
        };
        let answers = |other: &&&std::sync::Arc<PeerRecord>| other.up == Some(true);
        Self {
            watched: others().count(),
            answering: others().filter(|other| answers(&other)).count(),
        }
    }

    fn trouble(&self, network: &NetworkSnapshot) -> Trouble {
        let verdict = &network.verdict;
        let lacks_quorum = verdict
            .quorum
            .as_ref()
            .is_some_and(|quorum| quorum.margin < 0.0);
        let stuck = matches!(verdict.order, OrderState::Stalled | OrderState::Receding);
        if self.answering == 0 {
            Trouble::NotSeen
        } else if stuck || verdict.split || lacks_quorum {
            Trouble::Yes
        } else {
            Trouble::No
        }
    }

    fn sentence(&self, network: Option<&NetworkSnapshot>) -> String {
        if self.watched == 0 {
            return "No other peer of the network is watched, so the network cannot be told from this peer; a peer with role \
                    reference, or discovery, would tell."
                .to_owned();
        }
        let heard = format!(
            "{} of {} other watched peers answer",
            self.answering, self.watched
        );
        let Some(verdict) = network
            .map(|network| &network.verdict)
            .filter(|_| self.answering > 0)
        else {
            return format!("{heard}.");
        };
        let mut text = format!(
            "{heard}; the network's order is {}",
            labels::of_order(verdict.order)
        );
        if let Some(head) = verdict.head {
            text.push_str(", its head at block ");
            text.push_str(&number(head));
        }
        if verdict.split {
            text.push_str(", and it is split");
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

/// Whether all that is in force against the peer follows from a network that does not move.
fn follows(record: &PeerRecord) -> bool {
    use crate::fleet::Condition::{Receding, Stalled, StateBehind};
    let of_network = |it: &crate::fleet::Condition| matches!(it, Stalled | Receding | StateBehind);
    record.health == Health::Degraded && record.conditions.iter().all(of_network)
}

fn is_process_gone(record: &PeerRecord, snapshot: &Snapshot) -> bool {
    let process = record.process(snapshot.now);
    process.is_some_and(|process| process.process_up == Some(false))
}

fn of_the_peer(record: &PeerRecord) -> String {
    let health = match record.health {
        Health::Unknown => "Nothing certain is known of this peer",
        Health::Up => "This peer answers, and nothing is in force against it",
        Health::Degraded => "This peer answers",
        Health::Down => "This peer is down",
    };
    let in_force: Vec<&str> = record
        .conditions
        .iter()
        .map(|it| labels::of_condition(*it))
        .collect();
    if in_force.is_empty() {
        format!("{health}.")
    } else {
        format!("{health}: {}.", in_force.join(", "))
    }
}

fn of_the_process(record: &PeerRecord, snapshot: &Snapshot) -> Option<String> {
    let process = record.process(snapshot.now)?;
    let answers = record.up == Some(true);
    Some(match (process.process_up, process.pid) {
        (Some(true), Some(pid)) if answers => format!("Its process runs on this host (id {pid})."),
        (Some(true), Some(pid)) => format!(
            "Its process runs on this host (id {pid}) and does not answer as it should: it hangs, or does not listen where it is asked."
        ),
        (Some(true), None) => "Its process runs on this host.".to_owned(),
        (Some(false), _) => "Its process is not there on this host.".to_owned(),
        (None, _) => "Whether its process runs cannot be told.".to_owned(),
    })
}

fn of_the_monitor(record: &PeerRecord, snapshot: &Snapshot) -> String {
    if let Some(doubt) = record.excuse {
        return format!("The last poll is not held against it: {doubt}.");
    }
    let failing: Vec<&str> = snapshot
        .checks
        .healthy()
        .filter(|(_, healthy)| !healthy)
        .map(|(check, _)| check.as_str())
        .collect();
    if failing.is_empty() {
        "This monitor finds nothing wrong with itself.".to_owned()
    } else {
        format!("This monitor's own checks fail: {}.", failing.join(", "))
    }
}
