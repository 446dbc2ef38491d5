//! What polls have shown of the peer: identity, order, state, and how they compare with the
//! network.

use convex_client::PollAnswer;

use crate::fleet::{Comparison, Condition, Evidence, HeadBasis, Measurement};
use crate::web::pages::format::{
    Markup, count, cvm, latency, number, offset, percent, push_fmt, sanitize, short_duration,
};
use crate::web::pages::labels;
use crate::web::pages::network_card::describe_difference;

use super::{Entry, PeerFacts, counter_source, time_of_ms};

impl PeerFacts<'_> {
    pub(super) fn identity(&self) -> Vec<Entry> {
        let identity = &self.record.identity;
        let source = self.status_source();
        let mut entries = Vec::new();
        let pin_note = |matches: Evidence| match matches {
            Evidence::Proven => " ✓ as pinned",
            Evidence::Disproven => " ✕ not the pinned one",
            Evidence::None => "",
        };
        if let Some(genesis) = identity.genesis {
            let value = format!("{genesis}{}", pin_note(identity.genesis_match));
            let is_problem = identity.genesis_match == Evidence::Disproven;
            entries.push(
                Entry::new("Genesis", value, &source)
                    .code()
                    .problem_if(is_problem),
            );
        }
        if let Some(key) = identity.key {
            let is_pinned = self.record.peer.key.is_some();
            let note = match identity.key_match {
                matches if is_pinned => pin_note(matches),
                Evidence::Disproven => " ✕ changed within the last hour",
                _ => " as learned",
            };
            let is_problem = identity.key_match == Evidence::Disproven;
            entries.push(
                Entry::new("Peer key", format!("{key}{note}"), &source)
                    .code()
                    .problem_if(is_problem),
            );
        }
        if identity.key.is_some() {
            let value = match identity.key_proof() {
                Evidence::Proven => "yes".to_owned(),
                Evidence::Disproven => "no, it answers with another key".to_owned(),
                Evidence::None => identity.proof_problem.as_ref().map_or_else(
                    || "not proven".to_owned(),
                    |problem| format!("not proven: {problem}"),
                ),
            };
            let source =
                Markup("a challenge over tcp, which releases from 0.8.3 on answer".to_owned());
            let is_problem = identity.key_proof() == Evidence::Disproven;
            entries.push(Entry::new("Holds its key", value, &source).problem_if(is_problem));
        }
        if identity.key_changes > 0 {
            entries.push(Entry::new(
                "Key changes",
                count(identity.key_changes),
                &counter_source(),
            ));
        }
        if let Some(agree) = identity.transports_agree.to_bool() {
            let value = if agree { "yes" } else { "no" };
            let source = Markup("comparison of both endpoints".to_owned());
            entries.push(Entry::new("Endpoints are one peer", value, &source).problem_if(!agree));
        }
        if let Some(release) = self.record.release(self.snapshot.now) {
            let source = Markup("asked over http once an hour".to_owned());
            entries.push(Entry::new("Release", release, &source));
        }
        if let Some(api) = self.record.api {
            let source = Markup("the format of its answers".to_owned());
            entries.push(Entry::new(
                "Interface",
                format!("as of {}", api.as_str()),
                &source,
            ));
        }
        if let Some(stake) = &self.record.stake
            && let Some(url) = &stake.registered.url
        {
            let note = match identity.advertised_match {
                Evidence::Proven => " ✓ is there",
                Evidence::Disproven => " ✕ another peer is there",
                Evidence::None => "",
            };
            let is_problem = identity.advertised_match == Evidence::Disproven;
            let value = sanitize(url) + note;
            entries.push(
                Entry::new("Advertised URL", value, &self.chain_source())
                    .code()
                    .problem_if(is_problem),
            );
        }
        entries
    }

    /// The latency of each endpoint, or why it fails.
    pub(super) fn latencies(&self) -> Vec<Entry> {
        let names = ["Latency over http", "Latency over tcp"];
        let endpoints = self.record.endpoints.iter();
        let entries = endpoints.filter_map(|endpoint| {
            let name = names[endpoint.transport as usize];
            let source = Markup("the last poll".to_owned());
            if let Some(failure) = &endpoint.last_failure {
                let value = format!("✕ {}", labels::reason(failure.reason));
                return Some(Entry::new(name, value, &source).problem_if(true));
            }
            let timings = self.record.timings(endpoint, self.snapshot.now)?;
            Some(Entry::new(name, latency(timings.took), &source))
        });
        entries.collect()
    }

    pub(super) fn order(&self) -> Vec<Entry> {
        let now = self.snapshot.now;
        let Some(order) = self.record.order(now) else {
            return Vec::new();
        };
        let source = self.status_source();
        let mut entries = Vec::new();
        for (i, points) in order.by_level().into_iter().enumerate() {
            let mut level_source = source.clone();
            if let Some(at) = self.record.advanced[i] {
                push_fmt(
                    &mut level_source.0,
                    format_args!("; last seen to grow {}", self.times.at(at)),
                );
            }
            entries.push(Entry::new(
                labels::ORDER_LEVELS[i],
                number(points),
                &level_source,
            ));
        }
        entries.push(Entry::new(
            "Not final yet",
            number(order.pending()),
            &source,
        ));
        let state = self.record.order_state(now);
        let is_stuck = [Condition::Stalled, Condition::Receding]
            .iter()
            .any(|it| self.record.conditions.contains(it));
        let source = Markup("comparison of the last polls".to_owned());
        entries
            .push(Entry::new("Activity", labels::order_state(state), &source).problem_if(is_stuck));
        entries
    }

    pub(super) fn state(&self) -> Vec<Entry> {
        let source = self.source(Measurement::PollAnswer, "query over http", "query over tcp");
        let mut entries = Vec::new();
        if let Some(answer) = self.record.poll_answer(self.snapshot.now) {
            entries = self.poll_answer(answer, &source);
        }
        if let Some(error) = &self.record.query_error {
            let value = format!(":{} {}", sanitize(&error.code), sanitize(&error.message));
            let source = Markup("the last answer to the query".to_owned());
            entries.push(Entry::new("Error", value, &source).problem_if(true));
        }
        if let Some(clock) = self.record.clock(self.snapshot.now) {
            let source = self.source(Measurement::Clock, "Date header over http", "PING over tcp");
            let uncertainty = offset(clock.uncertainty).replace('+', "±");
            let value = format!("{} {uncertainty} against this host's", offset(clock.skew));
            let is_problem = self.record.conditions.contains(&Condition::ClockSkew);
            entries.push(Entry::new("Clock", value, &source).problem_if(is_problem));
        }
        entries
    }

    fn poll_answer(&self, answer: &PollAnswer, source: &Markup) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut add = |name, value: Option<String>| {
            entries.extend(value.map(|value| Entry::new(name, value, source)));
        };
        add("Block", answer.state_block.map(number));
        let time = answer.timestamp_ms.and_then(time_of_ms);
        add("Block time", time.map(|at| self.utc(at)));
        add("Accounts", answer.accounts.map(number));
        add("Registered peers", answer.registered_peers.map(number));
        add("Coin supply", answer.coin_supply_copper.map(cvm));
        add("Fees to be distributed", answer.fees_copper.map(cvm));
        let juice_price = answer.juice_price_copper;
        add(
            "Price of a unit of juice",
            juice_price.map(|copper| format!("{} copper", number(copper))),
        );
        let pool_bytes = answer.memory_pool_bytes;
        add(
            "Memory pool",
            pool_bytes.map(|bytes| format!("{} bytes", number(bytes))),
        );
        add(
            "Coin in the memory pool",
            answer.memory_pool_copper.map(cvm),
        );
        let memory_price = answer.memory_price_copper;
        add(
            "Price of a byte of memory",
            memory_price.map(|copper| format!("{copper:.1} copper")),
        );
        if let Some(hash) = answer.state_hash {
            entries.insert(
                entries.len().min(1),
                Entry::new("Hash", hash.to_string(), source).code(),
            );
        }
        entries
    }

    /// Lag and state, compared with the network.
    pub(super) fn comparison(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some(lag) = self.record.lag(self.snapshot.now) {
            let is_problem = self.record.conditions.contains(&Condition::Lagging);
            let value = if lag.blocks <= 0 {
                "level with the head".to_owned()
            } else {
                format!(
                    "{} blocks, {}",
                    number(lag.blocks),
                    short_duration(lag.time)
                )
            };
            let source = self.source(Measurement::Lag, "", "");
            entries.push(Entry::new("Behind the head", value, &source).problem_if(is_problem));
        }
        if let Some(network) = self.network()
            && network.verdict.head_basis == Some(HeadBasis::Configured)
        {
            let source = Markup("less than a third of the registered stake answers".to_owned());
            let value = "of the configured peers only".to_owned();
            entries.push(Entry::new("Head", value, &source));
        }
        let how = "state hashes at a block that another peer has shown too";
        let source = Markup(match self.record.compared {
            Some(at) => {
                let age = self.snapshot.now.saturating_duration_since(at);
                format!("{how}, {}", self.times.ago(age))
            }
            None => how.to_owned(),
        });
        let state = match self.record.comparison {
            Comparison::Agrees => "✓ agrees: equal to another peer's".to_owned(),
            Comparison::Differs => {
                "✕ differs from another peer's; it is not known which is right".to_owned()
            }
            Comparison::Diverged { first_block } => format!(
                "✕ diverged: most of the stake has another state, at the latest from block {} on",
                number(first_block)
            ),
            Comparison::NotCompared => {
                "not compared: no other peer has shown the same block recently".to_owned()
            }
        };
        let is_problem = !matches!(
            self.record.comparison,
            Comparison::Agrees | Comparison::NotCompared
        );
        entries.push(Entry::new("State", state, &source).problem_if(is_problem));
        if let Some(network) = self.network().filter(|_| is_problem)
            && let Some(difference) = &network.verdict.difference
        {
            let source = Markup("the newest block at which peers differ".to_owned());
            let value = describe_difference(difference);
            entries.push(Entry::new("Different states", value, &source).problem_if(true));
        }
        if let Some(network) = self.network() {
            let compared = &network.verdict.compared;
            let value = match compared.stake {
                Some(share) => format!(
                    "{} of {} answering peers, {} of the stake",
                    compared.peers,
                    compared.answering,
                    percent(share)
                ),
                None => format!(
                    "{} of {} answering peers; the stake is not known",
                    compared.peers, compared.answering
                ),
            };
            let source = Markup("all peers of the network, within three intervals".to_owned());
            entries.push(Entry::new("Compared", value, &source));
        }
        entries
    }

    pub(super) fn polls(&self) -> Vec<Entry> {
        let record = self.record;
        let mut entries = vec![
            Entry::new("Polls", count(record.polls), &counter_source()),
            Entry::new("Failed", count(record.poll_failures), &counter_source()),
        ];
        if record.restarts > 0 {
            let source =
                Markup("inferred from lost connections since the agent started".to_owned());
            entries.push(Entry::new("Restarts", count(record.restarts), &source));
        }
        entries
    }
}
