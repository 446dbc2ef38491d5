//! What must hold after a fault: nothing is lost, stuck or leaked.

use std::collections::BTreeMap;

use convex_peer_monitor::history::EVENTS_KEPT;

use super::agent::{Agent, Resources};
use super::{DEADLINE, holds_within, until};

/// Descriptors that may be open in addition, for connections that are being made.
const MORE_DESCRIPTORS: usize = 8;

/// Memory that a young process may still allocate for pages, polls and buffers, in KiB.
const MORE_KIB: u64 = 16 << 10;

/// Memory that it may still allocate for each peer, in KiB: 2.9 KiB of polls and two transcripts of
/// at most 4 KiB (docs/history.md).
const MORE_KIB_PER_PEER: u64 = 11;

/// The state before a fault.
pub(crate) struct Before {
    peers: usize,
    resources: Resources,
    events: Vec<(u64, String)>,
}

impl Before {
    /// Waits until all `peers` are up and polled, and records the state.
    pub(crate) async fn fault(agent: &Agent, peers: usize) -> Self {
        all_polled(agent, peers).await;
        Self {
            peers,
            resources: agent.resources(),
            events: events(agent).await,
        }
    }

    /// Waits until everything is as before, and checks that a restart loses nothing.
    pub(crate) async fn restored(self, agent: &mut Agent, fault: &str) {
        until("/-/healthy answers", async || agent.is_healthy().await).await;
        all_polled(agent, self.peers).await;
        let max_descriptors = self.resources.descriptors + MORE_DESCRIPTORS;
        let more_kib = MORE_KIB + MORE_KIB_PER_PEER * self.peers as u64;
        let max_kib = self.resources.anonymous_kib + more_kib;
        let mut held = agent.resources();
        let released = async || {
            held = agent.resources();
            held.descriptors <= max_descriptors && held.anonymous_kib <= max_kib
        };
        let in_time = holds_within(DEADLINE, released).await;
        assert!(in_time, "{held:?}, before {:?}", self.resources);
        let after = events(agent).await;
        are_kept(&self.events, &after);
        let ids = after.iter().map(|event| event.0);
        assert!(ids.is_sorted_by(|one, next| one < next));
        check_restart(agent, self.peers, &after).await;
        eprintln!(
            "{fault}: descriptors {} -> {}, anonymous memory {} -> {} KiB, threads {} -> {}, events {} -> {}",
            self.resources.descriptors,
            held.descriptors,
            self.resources.anonymous_kib,
            held.anonymous_kib,
            self.resources.threads,
            held.threads,
            self.events.len(),
            after.len()
        );
    }
}

/// Waits until all peers are up and each has been polled twice more.
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

/// Restarts the agent and checks that it remembers peers and events.
async fn check_restart(agent: &mut Agent, peers: usize, events_before: &[(u64, String)]) {
    agent.end().await;
    let logged = agent.log().len();
    agent.begin().await;
    let log = agent.log().split_off(logged);
    assert!(
        log.contains(&format!("\"peers\":{peers}")) && log.contains("restored the saved state"),
        "{log}"
    );
    are_kept(events_before, &events(agent).await);
}

/// Asserts that no event has changed or is missing, except the oldest if there are too many.
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

/// Number of events in one request.
const PAGE: usize = 1000;

/// Returns ids and messages of all events.
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
