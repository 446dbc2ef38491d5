//! What must be true when a trouble is over: nothing is lost, stuck or leaked.

use std::collections::BTreeMap;

use convex_peer_monitor::history::EVENTS_KEPT;

use super::agent::{Agent, Held};
use super::{PATIENCE, holds_within, until};

/// Descriptors that may be open besides those that were before: a connection that is being made.
const MORE_DESCRIPTORS: usize = 8;

/// Memory that may be held besides: what pages, polls and buffers of a young process still grow to.
const MORE_KIB: u64 = 16 << 10;

/// And what a young process has not filled yet of each peer: 2.9 KiB of polls and two transcripts of at most 4 KiB (docs/history.md).
const MORE_KIB_A_PEER: u64 = 11;

/// What was before the trouble.
pub(crate) struct Before {
    peers: usize,
    held: Held,
    events: Vec<(u64, String)>,
}

impl Before {
    /// Waits until all `peers` are up and polled, and keeps what is then.
    pub(crate) async fn trouble(agent: &Agent, peers: usize) -> Self {
        all_polled(agent, peers).await;
        Self {
            peers,
            held: agent.held(),
            events: events(agent).await,
        }
    }

    /// Waits until everything is as before, and then that a restart finds everything.
    pub(crate) async fn restored(self, agent: &mut Agent, trouble: &str) {
        until("/-/healthy answers", async || agent.is_healthy().await).await;
        all_polled(agent, self.peers).await;
        let most = self.held.descriptors + MORE_DESCRIPTORS;
        let more_kib = MORE_KIB + MORE_KIB_A_PEER * self.peers as u64;
        let most_kib = self.held.anonymous_kib + more_kib;
        let mut held = agent.held();
        let released = async || {
            held = agent.held();
            held.descriptors <= most && held.anonymous_kib <= most_kib
        };
        let in_time = holds_within(PATIENCE, released).await;
        assert!(in_time, "{held:?}, before {:?}", self.held);
        let after = events(agent).await;
        are_kept(&self.events, &after);
        let ids = after.iter().map(|event| event.0);
        assert!(ids.is_sorted_by(|one, next| one < next));
        remembers(agent, self.peers, &after).await;
        eprintln!(
            "{trouble}: descriptors {} -> {}, anonymous memory {} -> {} KiB, threads {} -> {}, events {} -> {}",
            self.held.descriptors,
            held.descriptors,
            self.held.anonymous_kib,
            held.anonymous_kib,
            self.held.threads,
            held.threads,
            self.events.len(),
            after.len()
        );
    }
}

/// Waits until all peers are up and each was polled twice more.
pub(crate) async fn all_polled(agent: &Agent, peers: usize) {
    until(&format!("{peers} peers are up"), async || {
        agent.peers_up().await == peers
    })
    .await;
    let before = agent.series(POLLS).await;
    assert_eq!(before.len(), peers);
    until("each peer is polled twice more", async || {
        let now: BTreeMap<_, _> = agent.series(POLLS).await;
        before.iter().all(|(peer, polls)| now[peer] >= *polls + 2.0)
    })
    .await;
}

const POLLS: &str = "convex_peer_polls_total";

/// Ends the agent, starts it again, and sees that it remembers its peers and what happened.
async fn remembers(agent: &mut Agent, peers: usize, events_before: &[(u64, String)]) {
    agent.end().await;
    let told = agent.log().len();
    agent.begin().await;
    let log = agent.log().split_off(told);
    assert!(
        log.contains(&format!("\"peers\":{peers}")) && log.contains("restored the saved state"),
        "{log}"
    );
    are_kept(events_before, &events(agent).await);
}

/// Sees that events are there unchanged, but for the oldest where there are too many.
fn are_kept(before: &[(u64, String)], after: &[(u64, String)]) {
    let full = after.len() >= EVENTS_KEPT;
    let oldest = if full { after[0].0 } else { 0 };
    let last = before.last().unwrap().0;
    let expected = before.iter().filter(|event| event.0 >= oldest);
    let found = after.iter().filter(|event| event.0 <= last);
    assert!(
        found.clone().eq(expected),
        "{} of {} events are kept as they were",
        found.count(),
        before.len()
    );
}

/// Events that are asked for at once.
const PAGE: usize = 1000;

/// Ids and words of all events.
pub(crate) async fn events(agent: &Agent) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |(id, _)| *id);
        let page = agent
            .json(&format!("/api/v1/events?limit={PAGE}&after={after}"))
            .await;
        let page = page.as_array().unwrap();
        let is_last = page.len() < PAGE;
        all.extend(page.iter().map(|event| {
            let message = event["message"].as_str().unwrap();
            (event["id"].as_u64().unwrap(), message.to_owned())
        }));
        if is_last {
            return all;
        }
    }
}
