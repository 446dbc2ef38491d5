//! Description of a network.

use std::time::SystemTime;

use crate::alerting::input::RuleInput;
use crate::fleet::{Compared, Health, NetworkSnapshot, NetworkVerdict, PeerRecord, StakeClass};

use super::figures::describe_upgrade;
use super::utc;

/// Returns when the trouble began that the alert called `name` reports, as far as it is known:
/// finality last advanced when a stall began.
pub(super) fn trouble_began(network: &NetworkSnapshot, name: &str) -> Option<SystemTime> {
    match name {
        "ConvexConsensusStalled" => network.verdict.finality_advanced,
        _ => None,
    }
}

/// Returns the network of a peer.
pub(super) fn of_peer<'a>(
    record: &PeerRecord,
    input: RuleInput<'a>,
) -> Option<&'a NetworkSnapshot> {
    let mut networks = input.snapshot.networks.iter();
    networks.find(|network| network.name == record.peer.network)
}

/// Returns sentences about a network.
pub(super) fn facts(network: &NetworkSnapshot, input: RuleInput<'_>) -> Vec<String> {
    let verdict = &network.verdict;
    let order = verdict.order.as_str();
    let mut facts = vec![match verdict.head {
        Some(head) => format!("Order: {order}, head at block {head}."),
        None => format!("Order: {order}."),
    }];
    facts.extend(reset(verdict, input));
    facts.extend(pending_block(verdict));
    facts.push(states(verdict));
    facts.extend(histories(verdict));
    facts.extend(next_upgrade(verdict, input.snapshot.wall));
    facts.extend(missing_weight(verdict));
    facts
}

/// Says how many watched peers of the network called `name` are in which state, and how many more
/// it can lose.
pub(super) fn at_risk(name: &str, input: RuleInput<'_>) -> Option<String> {
    let mut networks = input.snapshot.networks.iter();
    let network = networks.find(|network| network.name == name)?;
    let count = |health| {
        let peers = input.network_peers(network);
        peers.filter(|record| record.health == health).count()
    };
    let [unknown, up, degraded, down] = Health::ALL.map(count);
    let peers = format!(
        "Watched peers of {name}: {up} up, {degraded} degraded, {down} down, {unknown} unknown."
    );
    let Some(quorum) = &network.verdict.quorum else {
        return Some(format!(
            "{peers} How many peers the network can lose is unknown."
        ));
    };
    let can_lose = match quorum.losable.best {
        0 => "no further heavy peer".to_owned(),
        more => format!("{more} more of its heaviest peers"),
    };
    let margin = quorum.margin * 100.0;
    Some(format!(
        "{peers} The network can lose {can_lose} (quorum margin {margin:.1} %)."
    ))
}

/// Names the genesis hashes of a network that was reset; none if it was not.
fn reset(verdict: &NetworkVerdict, input: RuleInput<'_>) -> Option<String> {
    let reset = verdict.reset.as_ref()?;
    let since = utc(input.snapshot.time_of(reset.since));
    let expected = if reset.pinned {
        "the configuration pins"
    } else {
        "the peers reported before"
    };
    Some(format!(
        "Since {since} all {} polled peers report the genesis hash {} instead of {}, which {expected}.",
        reset.peers, reset.shown, reset.expected
    ))
}

/// Names the next block if it is dated ahead of the clock.
fn pending_block(verdict: &NetworkVerdict) -> Option<String> {
    let production = verdict.consensus.production.as_ref()?;
    let pending = production.pending.as_ref()?;
    (pending.age_seconds < 0.0).then(|| {
        format!(
            "Block {} is dated {:.0} s ahead of this host's clock: peers do not confirm it before.",
            pending.block.index, -pending.age_seconds
        )
    })
}

/// Says which states were compared.
fn states(verdict: &NetworkVerdict) -> String {
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
            format!("The states at block {block} differ: {states}.")
        }
        None => format!("States of {peers} of {answering} answering peers were compared."),
    }
}

/// Says from which block on histories differ; none if there is one, or if none were compared.
fn histories(verdict: &NetworkVerdict) -> Option<String> {
    let histories = verdict.consensus.histories.as_ref()?;
    let count = histories.groups.len();
    let fork = histories.fork.as_ref().filter(|_| count > 1)?;
    let block = fork.block;
    Some(format!(
        "There are {count} different histories from block {block} on."
    ))
}

/// Says when the next upgrade takes effect, and who can follow it; none if none is scheduled.
fn next_upgrade(verdict: &NetworkVerdict, wall: SystemTime) -> Option<String> {
    let upgrade = verdict.protocol.as_ref()?.pending.first()?;
    let when = describe_upgrade(upgrade, wall);
    let percents = upgrade.readiness.map(|it| it.map(|it| it * 100.0));
    Some(match percents {
        Some([ready, unable, unknown]) => format!(
            "Upgrade of the protocol: {when}; {ready:.1} % of the weight is ready for it, \
             {unable:.1} % is not, {unknown:.1} % is unknown."
        ),
        None => format!("Upgrade of the protocol: {when}."),
    })
}

/// Says how much weight is missing; none if none is, or if that is unknown.
fn missing_weight(verdict: &NetworkVerdict) -> Option<String> {
    let quorum = verdict.quorum.as_ref()?;
    let missing: Vec<String> = StakeClass::ALL
        .iter()
        .zip(quorum.ratios)
        .filter(|(class, ratio)| {
            *ratio > 0.0 && matches!(class, StakeClass::Minority | StakeClass::Down)
        })
        .map(|(class, ratio)| format!("{:.1} % {}", ratio * 100.0, class.as_str()))
        .collect();
    let missing = missing.join(", ");
    (!missing.is_empty()).then(|| format!("Missing weight: {missing}."))
}
