//! The versions of the protocol: what the network has, what it will have, and what the peer can
//! execute.

use crate::fleet::Condition;
use crate::web::pages::format::Markup;

use super::{Entry, PeerFacts};

impl PeerFacts<'_> {
    pub(super) fn protocol(&self) -> Vec<Entry> {
        let protocol = self.network().and_then(|it| it.verdict.protocol.as_ref());
        let supported = self.record.supported_protocol(self.snapshot.now);
        let has = |condition| self.record.conditions.contains(&condition);
        let mut entries = Vec::new();
        if let Some(supported) = supported {
            let needed = protocol.map(|it| it.pending.first().map_or(it.version, |it| it.version));
            let is_unable = needed.is_some_and(|needed| supported < needed);
            let value = match (supported, is_unable) {
                (0, true) => "✕ no upgrade".to_owned(),
                (_, true) => format!("✕ up to version {supported} only"),
                (_, false) => format!("up to version {supported}"),
            };
            let entry = Entry::new("Can execute", value, &self.status_source());
            entries.push(entry.problem_if(is_unable || has(Condition::UpgradeRequired)));
        }
        let Some(protocol) = protocol else {
            return entries;
        };
        let source = Markup("the newest state that another peer confirms".to_owned());
        let value = format!("version {}", protocol.version);
        entries.push(Entry::new("The network has", value, &source));
        if let Some(next) = protocol.pending.first() {
            let at = self.times.at(next.takes_effect());
            let value = format!("version {}, {}", next.version, at.utc());
            let countdown = match next.due_in(self.snapshot.wall) {
                Some(_) => at.to_string(),
                None => "due with the next block".to_owned(),
            };
            entries.push(Entry::new("Next upgrade", value, &Markup(countdown)));
        }
        if has(Condition::StakeWithdrawn) {
            let value = "withdrawn shortly before an upgrade";
            let entry = Entry::new("Own stake", value, &self.chain_source());
            entries.push(entry.problem_if(true));
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::fleet::{Snapshot, example};
    use crate::web::pages::facts::groups;
    use crate::web::pages::relative_times;

    /// Returns names, values, sources and whether each is a problem, of the first peer.
    fn facts(snapshot: &Snapshot) -> Vec<(&'static str, String, String, bool)> {
        let groups = groups(&snapshot.peers[0], snapshot, relative_times(snapshot));
        let found = groups.into_iter().filter(|group| group.title == "Protocol");
        let entries = found.flat_map(|group| group.entries);
        entries
            .map(|it| (it.name, it.value, it.source.to_string(), it.is_problem))
            .collect()
    }

    #[test]
    fn a_peer_that_cannot_follow_shows_what_it_can_execute_and_when_the_next_upgrade_is() {
        let mut snapshot = example::snapshot(4, 1);
        example::schedule_upgrade(&mut snapshot, 3 * 86_400);
        let found = facts(&snapshot);
        let values: Vec<_> = found
            .iter()
            .map(|(name, value, _, is_problem)| (*name, value.as_str(), *is_problem))
            .collect();
        assert_eq!(
            values,
            [
                ("The network has", "version 0", false),
                ("Next upgrade", "version 1, 2027-01-18 08:00:00 UTC", false),
            ],
            "it does not say what it can execute"
        );
        assert!(found[1].2.ends_with(">in 3 d</time>"), "{}", found[1].2);
        for (supported, expected, is_problem) in
            [(1, "up to version 1", false), (0, "✕ no upgrade", true)]
        {
            example::support(
                Arc::make_mut(&mut snapshot.peers[0]),
                supported,
                snapshot.now,
            );
            let (name, value, _, problem) = facts(&snapshot).remove(0);
            assert_eq!(
                (name, value.as_str(), problem),
                ("Can execute", expected, is_problem)
            );
        }
        example::schedule_upgrade(&mut snapshot, -5);
        assert_eq!(facts(&snapshot)[2].2, "due with the next block");
    }

    #[test]
    fn nothing_is_shown_while_nothing_is_known() {
        assert_eq!(facts(&example::snapshot(4, 1)), []);
    }
}
