//! The configuration of the peer.

use crate::web::pages::format::Markup;

use super::{Entry, PeerFacts};

impl PeerFacts<'_> {
    pub(super) fn configuration(&self) -> Vec<Entry> {
        let peer = &self.record.peer;
        let source = Markup("configuration of the agent, or discovery".to_owned());
        let polling = &peer.polling;
        let mut entries = vec![
            Entry::new("Role", peer.role.as_str(), &source),
            Entry::new(
                "Polled",
                format!(
                    "every {}, within {}",
                    humantime::format_duration(polling.interval),
                    humantime::format_duration(polling.timeout)
                ),
                &source,
            ),
            Entry::new(
                "Down and up",
                format!(
                    "after {} failed, {} good polls in a row",
                    polling.down_after, polling.up_after
                ),
                &source,
            ),
        ];
        let labels: Vec<String> = peer
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !labels.is_empty() {
            entries.push(Entry::new("Labels", labels.join(", "), &source));
        }
        let current_time = self.snapshot.wall;
        let windows = self.record.maintenance_windows();
        for window in windows.filter(|it| it.to > current_time) {
            let comment = window
                .comment
                .as_deref()
                .map(|comment| format!(": {comment}"))
                .unwrap_or_default();
            let (from, to) = (self.utc(window.from), self.utc(window.to));
            let value = format!("{from} to {to}{comment}");
            entries.push(Entry::new("Maintenance", value, &source));
        }
        entries
    }
}
