//! What this agent and the others say about one peer or one network, side by side.

use std::time::Duration;

use askama::Template;

use crate::fleet::{
    Health, NetworkOpinion, NetworkSnapshot, OrderState, PeerConclusion, PeerOpinion, PeerRecord,
    Proof, ReceivedOpinion, Snapshot,
};

use super::format::{TimeFormat, Timestamp, number, percent};
use super::labels;

/// Shares of the stake that differ by less are as good.
const NOTABLE_SHARE: f64 = 0.01;

/// A table with a column for each agent; empty if no others are configured.
#[derive(Template)]
#[template(path = "pages/vantages.html")]
pub(super) struct VantagesSection {
    agents: Vec<Agent>,
    rows: Vec<Row>,
    /// Where the cause lies, in a word.
    place: Option<&'static str>,
    /// What follows from all opinions.
    conclusion: Option<&'static str>,
    /// Whether all agents that have an opinion say the same.
    all_agree: bool,
}

/// An agent, and when it said what it says.
struct Agent {
    name: String,
    is_own: bool,
    /// When its opinion was asked for; none if it has no recent one.
    asked: Option<Timestamp>,
    /// When the last opinion that arrived was asked for, if that is too long ago to count.
    last_asked: Option<Timestamp>,
}

struct Row {
    name: &'static str,
    cells: Vec<Cell>,
}

struct Cell {
    value: Value,
    /// Whether it is another one than this agent has.
    differs: bool,
}

enum Value {
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

    /// A row of what naturally differs a little from agent to agent.
    fn row(&self, name: &'static str, value: impl Fn(&T, Duration) -> Value) -> Row {
        self.compared_row(name, value, |_, _| false)
    }

    /// A row in which what `differs` from this agent's is marked.
    fn compared_row(
        &self,
        name: &'static str,
        value: impl Fn(&T, Duration) -> Value,
        differs: impl Fn(&T, &T) -> bool,
    ) -> Row {
        let own = self.0.first().copied().flatten();
        let cell = |opinion: &Option<(&T, Duration)>| match (opinion, own) {
            (Some((opinion, age)), Some((own, _))) => Cell {
                value: value(opinion, *age),
                differs: differs(own, opinion),
            },
            _ => Cell {
                value: Value::Unknown,
                differs: false,
            },
        };
        Row {
            name,
            cells: self.0.iter().map(cell).collect(),
        }
    }
}

impl VantagesSection {
    /// What the agents say about a peer.
    pub(super) fn on_peer(record: &PeerRecord, snapshot: &Snapshot, times: TimeFormat) -> Self {
        let own = PeerOpinion::new(record, snapshot.now);
        let received = || snapshot.opinions_on_peer(record).map(|(_, it)| it);
        let opinions = Opinions::new(&own, received(), snapshot);
        let conclusion = snapshot.conclusion_on_peer(record);
        let rows = vec![
            opinions.compared_row(
                "Health",
                |it, _| Value::Text(it.health.as_str().to_owned()),
                |own, other| own.health != other.health,
            ),
            opinions.row("Last good poll", |it, age| {
                ago(it.good_poll_age_seconds, age, times)
            }),
            opinions.compared_row(
                "Proven",
                |it, _| proofs(&it.proven),
                |own, other| own.proven != other.proven,
            ),
        ];
        let asked = received().map(|it| it.map(|(received, _)| received));
        Self {
            agents: agents(asked, snapshot, times),
            place: conclusion.map(|conclusion| conclusion.place.as_str()),
            conclusion: match conclusion {
                Some(conclusion) => Some(conclusion.meaning()),
                None if record.health == Health::Down => {
                    Some("No other agent has a recent opinion on this peer.")
                }
                None => None,
            },
            all_agree: all_agree(&rows, &opinions),
            rows,
        }
    }

    /// What the agents say about a network.
    pub(super) fn on_network(
        network: &NetworkSnapshot,
        snapshot: &Snapshot,
        times: TimeFormat,
    ) -> Self {
        let own = NetworkOpinion::new(network, snapshot);
        let received = || snapshot.opinions_on_network(network).map(|(_, it)| it);
        let opinions = Opinions::new(&own, received(), snapshot);
        let rows = vec![
            opinions.compared_row(
                "Order",
                |it, _| order_state(&it.order_state),
                |own, other| order_kind(&own.order_state) != order_kind(&other.order_state),
            ),
            opinions.row("Head", |it, _| {
                text(it.head_block.map(|block| number(block.0)))
            }),
            opinions.row("Head advanced", |it, age| {
                ago(it.head_advance_age_seconds, age, times)
            }),
            opinions.compared_row(
                "Stake reached",
                |it, _| text(it.reached_stake_ratio.map(percent)),
                |own, other| {
                    let reached = own.reached_stake_ratio.zip(other.reached_stake_ratio);
                    reached.is_some_and(|(own, other)| (own - other).abs() > NOTABLE_SHARE)
                },
            ),
            opinions.compared_row(
                "Quorum",
                |it, _| Value::Text(quorum(it).to_owned()),
                |own, other| own.quorum_at_risk != other.quorum_at_risk,
            ),
            opinions.compared_row(
                "Proven",
                |it, _| proofs(&it.proven),
                |own, other| own.proven != other.proven,
            ),
        ];
        let asked = received().map(|it| it.map(|(received, _)| received));
        Self {
            agents: agents(asked, snapshot, times),
            place: None,
            conclusion: snapshot.conclusion_on_network(network).meaning(),
            all_agree: all_agree(&rows, &opinions),
            rows,
        }
    }
}

/// What the other agents say about a peer, in a few words.
pub(super) struct VantageCell {
    /// Agents that find it in another health than this one.
    pub(super) differing: Vec<(String, &'static str)>,
    /// Number of other agents that find the same.
    pub(super) agreeing: usize,
    /// Number of other agents without a recent opinion on it.
    pub(super) silent: usize,
    /// Where the cause lies, and what that means.
    pub(super) conclusion: Option<(&'static str, &'static str)>,
}

impl VantageCell {
    /// None if no other agents are configured.
    pub(super) fn of(record: &PeerRecord, snapshot: &Snapshot) -> Option<Self> {
        if snapshot.vantages.others.is_empty() {
            return None;
        }
        let mut cell = Self {
            differing: Vec::new(),
            agreeing: 0,
            silent: 0,
            conclusion: snapshot
                .conclusion_on_peer(record)
                .map(|it: PeerConclusion| (it.place.as_str(), it.meaning())),
        };
        for (name, opinion) in snapshot.opinions_on_peer(record) {
            match opinion {
                None => cell.silent += 1,
                Some((_, it)) if it.health == record.health => cell.agreeing += 1,
                Some((_, it)) => cell.differing.push((name.to_owned(), it.health.as_str())),
            }
        }
        Some(cell)
    }
}

fn text(text: Option<String>) -> Value {
    text.map_or(Value::Unknown, Value::Text)
}

/// Whether another agent has an opinion, and nothing in these rows is marked.
fn all_agree<T>(rows: &[Row], opinions: &Opinions<'_, T>) -> bool {
    let cells = rows.iter().flat_map(|row| &row.cells);
    opinions.0.iter().flatten().count() > 1 && !cells.into_iter().any(|cell| cell.differs)
}

/// Returns the agents, this one first, with the opinions of the others that count; none if there
/// are no others.
fn agents<'a>(
    opinions: impl Iterator<Item = Option<&'a ReceivedOpinion>>,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> Vec<Agent> {
    let vantages = &snapshot.vantages;
    if vantages.others.is_empty() {
        return Vec::new();
    }
    let own = Agent {
        name: vantages.name.clone(),
        is_own: true,
        asked: None,
        last_asked: None,
    };
    let others = vantages.others.iter().zip(opinions);
    let others = others.map(|(other, opinion)| Agent {
        name: other.name.clone(),
        is_own: false,
        asked: opinion.map(|it| times.at(snapshot.time_of(it.asked))),
        last_asked: other.last_asked.map(|at| times.at(snapshot.time_of(at))),
    });
    std::iter::once(own).chain(others).collect()
}

/// Something that was this long ago when the opinion was formed, which is `age` old.
fn ago(seconds: Option<f64>, age: Duration, times: TimeFormat) -> Value {
    let before = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    before.map_or(Value::Unknown, |before| {
        Value::Time(times.ago(before.saturating_add(age)))
    })
}

/// Returns the state of an order by another agent's word, if it is one that this release knows.
fn known_order_state(word: &str) -> Option<OrderState> {
    let mut known = OrderState::ALL.iter().copied();
    known.find(|state| state.as_str() == word)
}

fn order_state(word: &str) -> Value {
    text(known_order_state(word).map(|state| labels::order_state(state).to_owned()))
}

/// Returns what agents have to agree on. They see a network wake up and fall asleep at different
/// moments, which is no difference.
fn order_kind(word: &str) -> Option<OrderState> {
    known_order_state(word).map(|state| match state {
        OrderState::Idle => OrderState::Advancing,
        state => state,
    })
}

const fn quorum(opinion: &NetworkOpinion) -> &'static str {
    if opinion.quorum_at_risk {
        "at risk"
    } else {
        "not at risk"
    }
}

fn proofs(proven: &[Proof]) -> Value {
    let words: Vec<&str> = proven.iter().map(|proof| proof.as_str()).collect();
    match words.as_slice() {
        [] => Value::Text("nothing".to_owned()),
        words => Value::Text(words.join(", ").replace('_', " ")),
    }
}

#[cfg(test)]
mod tests;
