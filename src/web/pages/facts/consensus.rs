//! What orders and beliefs say about the peer: what it hears, who hears it, its history, its
//! blocks.

use crate::fleet::{ConsensusVerdict, Fork, ForkedBlock, Heard, PeerConsensus};
use crate::web::pages::format::{Markup, count, number, percent, sanitize};
use crate::web::pages::peer_link::PeerLink;
use crate::web::peer_names::PeerNames;

use super::{Entry, PeerFacts, time_of_ms};

/// Maximum number of peers that are named in an entry.
const MAX_NAMES: usize = 6;

impl PeerFacts<'_> {
    pub(super) fn consensus(&self) -> Vec<Entry> {
        let Some(network) = self.network() else {
            return Vec::new();
        };
        let verdict = &network.verdict.consensus;
        let consensus = PeerConsensus::new(self.record, verdict);
        let names = PeerNames::of(&network.name, self.snapshot);
        let mut entries = Vec::new();
        let read = consensus.walk.and_then(|walk| walk.read);
        let of_belief = Markup(read.map_or_else(
            || "its belief".to_owned(),
            |(_, wall)| format!("its belief, {}", self.times.at(wall)),
        ));
        if let Some(failure) = consensus.walk.and_then(|walk| walk.failure.as_deref()) {
            let source = Markup("the last reading of its belief".to_owned());
            entries.push(Entry::new("Belief", sanitize(failure), &source));
        }
        if let Some(hearing) = consensus.hearing {
            let mut value = hearing.heard_stake.map_or_else(
                || "not known".to_owned(),
                |share| format!("{} of the others' stake", percent(share)),
            );
            let missed = hearing.cells.iter().filter(|(_, cell)| {
                cell.is_judged && matches!(cell.heard, Heard::Older | Heard::Nothing)
            });
            let missed: Vec<String> = missed
                .map(|(key, _)| PeerLink::new(key, &names).text())
                .collect();
            if !missed.is_empty() {
                value += "; lacks the newest order of ";
                value += &listed(&missed);
            }
            entries.push(Entry::new("Hears", value, &of_belief).problem_if(hearing.is_isolated));
        }
        if let Some(vote) = consensus.vote {
            let source = Markup(match time_of_ms(vote.signed_ms) {
                Some(at) if vote.signed_ms > 0 => {
                    format!("the newest order that it signed, {}", self.times.at(at))
                }
                _ => "the newest order that it signed".to_owned(),
            });
            let points = vote.points;
            let value = format!(
                "{} blocks, {} final",
                number(points.block),
                number(points.finality)
            );
            entries.push(Entry::new("Signed order", value, &source));
            let source = Markup("the beliefs that were read".to_owned());
            let value = format!("by {} of {}", vote.held_by.0, verdict.hearing.len());
            let is_unheard = consensus.hearing.is_some_and(|it| it.is_unheard);
            entries.push(Entry::new("Held", value, &source).problem_if(is_unheard));
        }
        let name = &self.record.peer.name;
        let sharing = verdict
            .duplicate_keys
            .iter()
            .filter(|it| it.peers.contains(name));
        for other in sharing.flat_map(|it| &it.peers).filter(|it| *it != name) {
            let source = Markup("orders that only one of the two ever held".to_owned());
            let value = format!("{} signs with the same key", sanitize(other));
            entries.push(Entry::new("Shared key", value, &source).problem_if(true));
        }
        entries.extend(self.history(&consensus, verdict, &names));
        if let (Some(made), Some((last, all))) = (consensus.blocks_made, consensus.last_blocks) {
            let source = Markup("the blocks of the network's history".to_owned());
            let value = format!(
                "{last} of the last {all}; {} final ones since the agent started",
                count(made)
            );
            entries.push(Entry::new("Blocks made", value, &source));
        }
        entries
    }

    /// The peer's history compared with that of the majority.
    fn history(
        &self,
        consensus: &PeerConsensus<'_>,
        verdict: &ConsensusVerdict,
        names: &PeerNames<'_>,
    ) -> Vec<Entry> {
        let source = Markup("comparison of signed orders".to_owned());
        if let Some(block) = self.record.forked_at() {
            let value = format!("✕ differs from the majority's from block {}", count(block));
            let mut entries = vec![Entry::new("History", value, &source).problem_if(true)];
            entries.extend(
                consensus
                    .fork
                    .into_iter()
                    .flat_map(|fork| self.fork(fork, names, &source)),
            );
            return entries;
        }
        let key = self.record.own_key();
        let groups = verdict.histories.iter().flat_map(|it| &it.groups);
        let mut with_peer =
            groups.filter(|group| key.is_some_and(|key| group.peers.contains(&key)));
        let value = match with_peer.next() {
            Some(group) if group.is_majority => "✓ that of the majority".to_owned(),
            Some(group) => match group.stake {
                Some(share) => format!("that of {} of the stake", percent(share)),
                None => format!("that of {} peers", group.peers.len()),
            },
            None if consensus.vote.is_some() => "not compared".to_owned(),
            None => return Vec::new(),
        };
        vec![Entry::new("History", value, &source)]
    }

    /// The two blocks at which the histories part.
    fn fork(&self, fork: &Fork, names: &PeerNames<'_>, source: &Markup) -> [Entry; 2] {
        let [majority, own] = &fork.blocks;
        let block = |name, block: &ForkedBlock| {
            let how = block.made.map_or_else(
                || "no peer has this block any more".to_owned(),
                |(maker, ms)| {
                    let maker = PeerLink::new(&maker, names).text();
                    let at = time_of_ms(ms).map(|at| format!(", {}", self.utc(at)));
                    format!("made by {maker}{}", at.unwrap_or_default())
                },
            );
            let value = format!("{}, {how}", block.hash);
            Entry::new(name, value, source).code().problem_if(true)
        };
        [
            block("Its block there", own),
            block("The majority's", majority),
        ]
    }
}

/// Lists the first names, and the number of the others.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES).cloned();
    let text = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Snapshot, example};
    use crate::web::pages::facts::groups;
    use crate::web::pages::relative_times;

    /// Returns names, values and whether each is a problem, of the peer `i`.
    fn facts(snapshot: &Snapshot, i: usize) -> Vec<(&'static str, String, bool)> {
        let record = &snapshot.peers[i - 1];
        let groups = groups(record, snapshot, relative_times(snapshot));
        let found = groups
            .into_iter()
            .filter(|group| group.title == "Orders and beliefs");
        let entries = found.flat_map(|group| group.entries);
        entries
            .map(|entry| (entry.name, entry.value, entry.is_problem))
            .collect()
    }

    #[test]
    fn a_sound_peer_hears_all_and_has_the_history_of_the_majority() {
        let expected = [
            ("Hears", "100\u{a0}% of the others' stake", false),
            ("Signed order", "1,001 blocks, 1,000 final", false),
            ("Held", "by 4 of 4", false),
            ("History", "✓ that of the majority", false),
            (
                "Blocks made",
                "2 of the last 4; 499 final ones since the agent started",
                false,
            ),
        ];
        let expected =
            expected.map(|(name, value, is_problem)| (name, value.to_owned(), is_problem));
        assert_eq!(facts(&example::snapshot(4, 4), 1), expected);
    }

    #[test]
    fn an_isolated_peer_shows_whose_orders_it_lacks() {
        let mut snapshot = example::snapshot(12, 2);
        example::change_consensus(&mut snapshot, |verdict| {
            let hearing = &mut verdict.hearing[0];
            (hearing.is_isolated, hearing.heard_stake) = (true, Some(0.25));
            for (i, cell) in hearing.cells.values_mut().enumerate() {
                cell.heard = Heard::Nothing;
                // The first one is itself.
                cell.is_judged = (1..9).contains(&i);
            }
        });
        let found = facts(&snapshot, 1);
        let (name, value, is_problem) = &found[0];
        assert_eq!((*name, *is_problem), ("Hears", true));
        assert_eq!(
            value,
            "25\u{a0}% of the others' stake; lacks the newest order of p2, 0x03030303…, 0x04040404…, 0x05050505…, \
             0x06060606…, 0x07070707… and 2 more"
        );
    }

    #[test]
    fn a_forked_peer_shows_both_blocks_while_they_are_known() {
        let mut snapshot = example::snapshot(4, 4);
        example::fork_last(&mut snapshot);
        let shown = |snapshot: &Snapshot, name: &str| {
            let found = facts(snapshot, 4).into_iter().find(|fact| fact.0 == name);
            found.map(|(_, value, is_problem)| {
                assert!(is_problem, "{name}");
                value
            })
        };
        let history = "✕ differs from the majority's from block 137";
        assert_eq!(shown(&snapshot, "History").as_deref(), Some(history));
        let own = format!("0x{}, no peer has this block any more", "bb".repeat(32));
        assert_eq!(shown(&snapshot, "Its block there"), Some(own));
        let theirs = format!("0x{}, made by p1, 2027-01-15 07:59:00 UTC", "aa".repeat(32));
        assert_eq!(shown(&snapshot, "The majority's"), Some(theirs));
        example::change_consensus(&mut snapshot, |verdict| verdict.histories = None);
        assert_eq!(shown(&snapshot, "History").as_deref(), Some(history));
        assert_eq!(shown(&snapshot, "Its block there"), None);
    }

    #[test]
    fn nothing_is_shown_of_a_peer_whose_orders_were_not_read() {
        let mut snapshot = example::snapshot(4, 1);
        example::change_consensus(&mut snapshot, |verdict| {
            *verdict = ConsensusVerdict::default();
        });
        assert_eq!(facts(&snapshot, 1), []);
    }
}
