//! What this agent and the others say about one peer or one network, side by side.

use std::time::Duration;

use askama::Template;

use crate::fleet::{
    Health, NetworkOpinion, NetworkSnapshot, OrderState, PeerOpinion, PeerRecord, Proof,
    ReceivedOpinion, Snapshot,
};

use super::format::{TimeFormat, Timestamp, number, percent};
use super::labels;

/// A table with a column for each agent; empty if no others are configured.
#[derive(Template)]
#[template(path = "pages/vantages.html")]
pub(super) struct VantagesSection {
    agents: Vec<String>,
    rows: Vec<Row>,
    /// What follows from all opinions.
    conclusion: Option<&'static str>,
}

struct Row {
    name: &'static str,
    cells: Vec<Cell>,
}

enum Cell {
    Text(String),
    Time(Timestamp),
    /// The agent has no opinion, or does not know.
    Unknown,
}

/// The opinions of all agents on one thing, of this agent first, each with its age; none for those
/// that have no opinion.
struct Opinions<'a, T>(Vec<Option<(&'a T, Duration)>>);

impl<'a, T> Opinions<'a, T> {
    fn new(
        own: &'a T,
        others: impl Iterator<Item = Option<(&'a ReceivedOpinion, &'a T)>>,
        snapshot: &Snapshot,
    ) -> Self {
        let aged = |(received, opinion)| (opinion, snapshot.age_of(received, 0.0));
        let others = others.map(|opinion| opinion.map(aged));
        Self(
            std::iter::once(Some((own, Duration::ZERO)))
                .chain(others)
                .collect(),
        )
    }

    fn row(&self, name: &'static str, cell: impl Fn(&T, Duration) -> Cell) -> Row {
        let cells = self.0.iter();
        let cell = |(opinion, age): (&T, Duration)| cell(opinion, age);
        Row {
            name,
            cells: cells
                .map(|opinion| opinion.map_or(Cell::Unknown, cell))
                .collect(),
        }
    }
}

impl VantagesSection {
    /// What the agents say about a peer.
    pub(super) fn on_peer(record: &PeerRecord, snapshot: &Snapshot, times: TimeFormat) -> Self {
        let own = PeerOpinion::new(record, snapshot.now);
        let others = snapshot.opinions_on_peer(record).map(|(_, it)| it);
        let opinions = Opinions::new(&own, others, snapshot);
        let conclusion = snapshot.conclusion_on_peer(record);
        Self {
            agents: agents(snapshot),
            rows: vec![
                opinions.row("Health", |it, _| Cell::Text(it.health.as_str().to_owned())),
                opinions.row("Last good poll", |it, age| {
                    ago(it.good_poll_age_seconds, age, times)
                }),
                opinions.row("Proven", |it, _| proofs(&it.proven)),
            ],
            conclusion: match conclusion {
                Some(conclusion) => Some(conclusion.meaning()),
                None if record.health == Health::Down => {
                    Some("No other agent has a recent opinion on this peer.")
                }
                None => None,
            },
        }
    }

    /// What the agents say about a network.
    pub(super) fn on_network(
        network: &NetworkSnapshot,
        snapshot: &Snapshot,
        times: TimeFormat,
    ) -> Self {
        let own = NetworkOpinion::new(network, snapshot);
        let others = snapshot.opinions_on_network(network).map(|(_, it)| it);
        let opinions = Opinions::new(&own, others, snapshot);
        Self {
            agents: agents(snapshot),
            rows: vec![
                opinions.row("Order", |it, _| order_state(&it.order_state)),
                opinions.row("Head", |it, _| {
                    text(it.head_block.map(|block| number(block.0)))
                }),
                opinions.row("Head advanced", |it, age| {
                    ago(it.head_advance_age_seconds, age, times)
                }),
                opinions.row("Stake reached", |it, _| {
                    text(it.reached_stake_ratio.map(percent))
                }),
                opinions.row("Proven", |it, _| proofs(&it.proven)),
            ],
            conclusion: snapshot.conclusion_on_network(network).meaning(),
        }
    }
}

fn text(text: Option<String>) -> Cell {
    text.map_or(Cell::Unknown, Cell::Text)
}

/// Returns the names of the agents, this one first; none if there are no others.
fn agents(snapshot: &Snapshot) -> Vec<String> {
    let vantages = &snapshot.vantages;
    if vantages.others.is_empty() {
        return Vec::new();
    }
    let own = format!("{} (this agent)", vantages.name);
    let others = vantages.others.iter().map(|other| other.name.clone());
    std::iter::once(own).chain(others).collect()
}

/// Something that was this long ago when the opinion was formed, which is `age` old.
fn ago(seconds: Option<f64>, age: Duration, times: TimeFormat) -> Cell {
    let before = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    before.map_or(Cell::Unknown, |before| {
        Cell::Time(times.ago(before.saturating_add(age)))
    })
}

/// The state of an order by another agent's word, if it is one that this release knows.
fn order_state(word: &str) -> Cell {
    let mut known = OrderState::ALL.iter();
    let state = known.find(|state| state.as_str() == word);
    text(state.map(|state| labels::order_state(*state).to_owned()))
}

fn proofs(proven: &[Proof]) -> Cell {
    let words: Vec<&str> = proven.iter().map(|proof| proof.as_str()).collect();
    match words.as_slice() {
        [] => Cell::Text("nothing".to_owned()),
        words => Cell::Text(words.join(", ").replace('_', " ")),
    }
}
