//! The description of an alert: a text with the state of its subject when the alert fired.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use crate::fleet::{Compared, Health, NetworkSnapshot, NetworkVerdict, PeerRecord, PendingUpgrade};

use super::input::{AlertCause, RuleInput};
use super::vantages;

/// Describes the state of the subject of an alert. `vantage` is the agent's name.
pub(super) fn describe(input: RuleInput<'_>, cause: AlertCause<'_>, vantage: &str) -> String {
    match cause {
        AlertCause::Peer(record) => {
            describe_peer(record)
                + &describe_support(input, record)
                + &vantages::describe_peer(record, input)
        }
        AlertCause::Network(network) => {
            describe_network(input, network) + &vantages::describe_network(network, input)
        }
        AlertCause::Monitor => describe_monitor(input, vantage),
    }
}

fn describe_peer(record: &PeerRecord) -> String {
    let conditions: Vec<&str> = record
        .conditions
        .iter()
        .map(|condition| condition.as_str())
        .collect();
    let mut text = format!(
        "{} of {} is {}. Conditions in force: {}.",
        record.peer.name,
        record.peer.network,
        record.health.as_str(),
        list_or_none(&conditions),
    );
    for endpoint in &record.endpoints {
        if let Some(failure) = &endpoint.last_failure {
            write!(text, " {}: {failure}.", endpoint.transport)
                .expect("writing to a String cannot fail");
        }
        if let Some(failure) = &endpoint.new_connection_failure {
            write!(text, " {}, new connections: {failure}.", endpoint.transport)
                .expect("writing to a String cannot fail");
        }
    }
    text
}

/// Describes which versions of the protocol a peer can execute, and when it needs more; empty if it
/// can execute all that is scheduled.
fn describe_support(input: RuleInput<'_>, record: &PeerRecord) -> String {
    let mut networks = input.snapshot.networks.iter();
    let network = networks.find(|network| network.name == record.peer.network);
    let protocol = network.and_then(|network| network.verdict.protocol.as_ref());
    let supported = record.supported_protocol(input.snapshot.now);
    let Some((protocol, supported)) = protocol.zip(supported) else {
        return String::new();
    };
    let mut pending = protocol.pending.iter();
    let needed = pending.find(|upgrade| upgrade.version > supported);
    match needed {
        _ if protocol.version > supported => format!(
            " Its release executes the protocol up to version {supported}; the network has version {}.",
            protocol.version
        ),
        Some(upgrade) => format!(
            " Its release executes the protocol up to version {supported}; {}.",
            describe_upgrade(upgrade, input.snapshot.wall)
        ),
        None => String::new(),
    }
}

/// Describes the next upgrade, and who can follow it; empty if none is scheduled.
fn describe_protocol(verdict: &NetworkVerdict, wall: SystemTime) -> String {
    let protocol = verdict.protocol.as_ref();
    let Some(upgrade) = protocol.and_then(|protocol| protocol.pending.first()) else {
        return String::new();
    };
    let percents = upgrade.readiness.map(|it| it.map(|it| it * 100.0));
    let readiness = percents.map(|[ready, unable, unknown]| {
        format!("; of the weight {ready:.1} % is ready for it, {unable:.1} % is not, {unknown:.1} % unknown")
    });
    let (upgrade, readiness) = (
        describe_upgrade(upgrade, wall),
        readiness.unwrap_or_default(),
    );
    format!(" Of the protocol, {upgrade}{readiness}.")
}

fn describe_upgrade(upgrade: &PendingUpgrade, wall: SystemTime) -> String {
    let at = humantime::format_rfc3339_seconds(upgrade.takes_effect());
    let version = upgrade.version;
    match upgrade.due_in(wall) {
        Some(left) => {
            let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
            format!("version {version} takes effect at {at}, in {left}")
        }
        None => format!("version {version} is due since {at}, with the next block"),
    }
}

/// Describes which states were compared.
fn describe_comparison(verdict: &NetworkVerdict) -> String {
    let Compared {
        answering, peers, ..
    } = verdict.compared;
    match &verdict.difference {
        Some(difference) => {
            let states: Vec<String> = difference
                .states
                .iter()
                .map(|(state, peer)| format!("{state}… ({peer})"))
                .collect();
            let (block, states) = (difference.block, states.join(", "));
            format!("The states at block {block} differ: {states}")
        }
        None => format!("States of {peers} of {answering} answering peers compared"),
    }
}

/// Describes how histories of blocks differ; empty if there is one, or if none were compared.
fn describe_histories(verdict: &NetworkVerdict) -> String {
    let Some(histories) = &verdict.consensus.histories else {
        return String::new();
    };
    let (count, fork) = (histories.groups.len(), histories.fork.as_ref());
    match fork.filter(|_| count > 1) {
        Some(fork) => format!(" {count} different histories from block {} on.", fork.block),
        None => String::new(),
    }
}

/// Describes the block that keeps a network from going on because it is dated ahead of the clock;
/// empty if there is none.
fn describe_pending(verdict: &NetworkVerdict) -> String {
    let production = verdict.consensus.production.as_ref();
    match production.and_then(|production| production.pending.as_ref()) {
        Some(pending) if pending.age_seconds < 0.0 => format!(
            " Block {} is dated {:.0} s ahead of this host's clock: peers do not confirm it before.",
            pending.block.index, -pending.age_seconds
        ),
        _ => String::new(),
    }
}

fn describe_network<'a>(input: RuleInput<'a>, network: &'a NetworkSnapshot) -> String {
    let count = |health| {
        input
            .network_peers(network)
            .filter(|record| record.health == health)
            .count()
    };
    let [unknown, up, degraded, down] = Health::ALL.map(count);
    let verdict = &network.verdict;
    let mut text = format!(
        "The order of {} is {}. Watched peers: {up} up, {degraded} degraded, {down} down, \
         {unknown} unknown. {}.",
        network.name,
        verdict.order.as_str(),
        describe_comparison(verdict),
    );
    text += &describe_histories(verdict);
    text += &describe_pending(verdict);
    text += &describe_protocol(verdict, input.snapshot.wall);
    if let Some(quorum) = &verdict.quorum {
        let margin = quorum.margin * 100.0;
        let losable = quorum.losable.best;
        write!(
            text,
            " Quorum margin: {margin:.1} %; peers that can be lost: {losable}."
        )
        .expect("writing to a String cannot fail");
    }
    text
}

fn describe_monitor(input: RuleInput<'_>, vantage: &str) -> String {
    let failing_checks: Vec<&str> = input
        .snapshot
        .checks
        .healthy()
        .filter(|(_, healthy)| !healthy)
        .map(|(check, _)| check.as_str())
        .collect();
    let failing_receivers: Vec<&str> = input
        .monitor
        .failing_receivers
        .iter()
        .map(String::as_str)
        .collect();
    format!(
        "Agent {vantage}: failing self-checks: {}; failing receivers: {}; last configuration \
         reload: {}.",
        list_or_none(&failing_checks),
        list_or_none(&failing_receivers),
        if input.monitor.reload_successful {
            "successful"
        } else {
            "rejected"
        },
    )
}

fn list_or_none(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::MonitorStatus;
    use crate::fleet::example;

    #[test]
    fn the_descriptions_name_the_next_upgrade_and_who_cannot_follow() {
        let mut snapshot = example::snapshot(4, 1);
        let monitor = MonitorStatus::default();
        let described = |snapshot: &crate::fleet::Snapshot| {
            let input = RuleInput {
                snapshot,
                monitor: &monitor,
            };
            let network = AlertCause::Network(&snapshot.networks[0]);
            let peer = AlertCause::Peer(&snapshot.peers[0]);
            [network, peer].map(|cause| describe(input, cause, "v"))
        };
        assert!(
            described(&snapshot)
                .iter()
                .all(|text| !text.contains("protocol"))
        );
        example::schedule_upgrade(&mut snapshot, 90_000);
        let now = snapshot.now;
        example::support(std::sync::Arc::make_mut(&mut snapshot.peers[0]), 0, now);
        let when = "version 1 takes effect at 2027-01-16T09:00:00Z, in 1day 1h";
        let [network, peer] = described(&snapshot);
        let weights = "of the weight 60.0 % is ready for it, 30.0 % is not, 10.0 % unknown";
        let expected = format!(" Of the protocol, {when}; {weights}.");
        assert!(network.ends_with(&expected), "{network}");
        let expected = format!(" Its release executes the protocol up to version 0; {when}.");
        assert!(peer.ends_with(&expected), "{peer}");
        example::schedule_upgrade(&mut snapshot, -90_000);
        let [network, _] = described(&snapshot);
        let due = "version 1 is due since 2027-01-14T07:00:00Z, with the next block";
        assert!(network.contains(due), "{network}");
    }

    #[test]
    fn the_description_of_a_network_names_forks_and_a_block_dated_ahead() {
        let mut snapshot = example::snapshot(4, 4);
        let monitor = MonitorStatus::default();
        let described = |snapshot: &crate::fleet::Snapshot| {
            let input = RuleInput {
                snapshot,
                monitor: &monitor,
            };
            describe(input, AlertCause::Network(&snapshot.networks[0]), "v")
        };
        let sound = described(&snapshot);
        assert!(
            !sound.contains("histories") && !sound.contains("ahead"),
            "{sound}"
        );
        example::fork_last(&mut snapshot);
        example::change_consensus(&mut snapshot, |verdict| {
            let pending = verdict.production.as_mut().unwrap().pending.as_mut();
            pending.unwrap().age_seconds = -300.4;
        });
        let faulty = described(&snapshot);
        for expected in [
            " 2 different histories from block 137 on.",
            " Block 1000 is dated 300 s ahead of this host's clock: peers do not confirm it before.",
        ] {
            assert!(faulty.contains(expected), "{faulty}");
        }
    }
}
