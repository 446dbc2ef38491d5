//! Whose beliefs were read, and when.

use askama::Template;

use crate::web::pages::format::{Timestamp, sanitize};
use crate::web::pages::peer_link::PeerLink;

use super::NetworkView;

/// Maximum number of peers shown; the API has all.
const MAX_PEERS: usize = 100;

#[derive(Template)]
#[template(path = "pages/walks.html")]
pub(super) struct WalksSection<'a> {
    prefix: &'a str,
    walks: Vec<WalkRow>,
    more: usize,
}

struct WalkRow {
    peer: PeerLink,
    read: Option<Timestamp>,
    failure: Option<String>,
}

impl<'a> WalksSection<'a> {
    pub(super) fn new(view: &NetworkView<'a>) -> Self {
        let walks = &view.network.verdict.consensus.walks;
        let mut sorted: Vec<_> = walks.iter().collect();
        // Those that failed first.
        sorted.sort_by_key(|(_, walk)| walk.failure.is_none());
        let shown = sorted.into_iter().take(MAX_PEERS);
        Self {
            prefix: view.prefix,
            more: walks.len().saturating_sub(MAX_PEERS),
            walks: shown
                .map(|(name, walk)| WalkRow {
                    peer: PeerLink::named(name, view.snapshot),
                    read: walk.read.map(|(_, wall)| view.times.at(wall)),
                    failure: walk.failure.as_deref().map(sanitize),
                })
                .collect(),
        }
    }
}
