//! Everything known of one peer, each value with when and how it was learned.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use convex_client::{LEVELS, PollAnswer, Transport};

use crate::config::Peer;
use crate::fleet::{Condition, Fact, PeerRecord, Snapshot, Stake};
use crate::sidecar::{ProcessReading, StoreReading};
use crate::web::pages::format::{
    Clock, Markup, bytes, count, cvm, number, offset, percent, push, span, visible,
};
use crate::web::pages::labels;

/// Facts that belong together.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) facts: Vec<Known>,
}

/// One value.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// Whether it is a hash or an address, and can break anywhere.
    pub(super) code: bool,
    /// Whether something is wrong with it.
    pub(super) amiss: bool,
    pub(super) learned: Markup,
}

impl Known {
    fn new(name: &'static str, value: impl Into<String>, learned: &Markup) -> Self {
        Self {
            name,
            value: value.into(),
            code: false,
            amiss: false,
            learned: learned.clone(),
        }
    }

    fn code(self) -> Self {
        Self { code: true, ..self }
    }

    fn amiss(self, amiss: bool) -> Self {
        Self { amiss, ..self }
    }
}

/// The groups that have something to tell.
pub(super) fn groups(record: &PeerRecord, snapshot: &Snapshot, clock: Clock) -> Vec<Group> {
    let told = Told {
        record,
        snapshot,
        clock,
    };
    let groups = [
        ("Who it is", told.identity()),
        ("Order", told.order()),
        ("State", told.state()),
        ("Beside the others", told.standing()),
        ("Stake on chain", told.stake()),
        ("Polls", told.polls()),
        ("Process on this host", told.process()),
        ("Store on this host", told.store()),
        ("As configured", told.configured()),
    ];
    groups
        .into_iter()
        .filter(|(_, facts)| !facts.is_empty())
        .map(|(title, facts)| Group { title, facts })
        .collect()
}

struct Told<'a> {
    record: &'a PeerRecord,
    snapshot: &'a Snapshot,
    clock: Clock,
}

impl Told<'_> {
    /// How and when `fact` was learned: by `http` or by `tcp`.
    fn by(&self, fact: Fact, http: &str, tcp: &str) -> Markup {
        let Some(learned) = self.record.learned(fact, self.snapshot.now) else {
            return Markup("earlier".to_owned());
        };
        let how = match learned.via {
            Some(Transport::Http) => http,
            Some(Transport::Tcp) => tcp,
            None => "this monitor",
        };
        Markup(format!("{how}, {}", self.clock.ago(learned.age)))
    }

    fn by_status(&self) -> Markup {
        self.by(Fact::Order, "status over http", "STATUS over tcp")
    }

    fn identity(&self) -> Vec<Known> {
        let identity = &self.record.identity;
        let by_status = self.by_status();
        let mut facts = Vec::new();
        let fits = |matches: Option<bool>| match matches {
            Some(true) => " ✓ as pinned",
            Some(false) => " ✕ not the pinned one",
            None => "",
        };
        if let Some(genesis) = identity.genesis {
            let value = format!("{genesis}{}", fits(identity.genesis_match));
            let amiss = identity.genesis_match == Some(false);
            facts.push(Known::new("Genesis", value, &by_status).code().amiss(amiss));
        }
        if let Some(key) = identity.key {
            let pinned = self.record.peer.key.is_some();
            let note = match identity.key_match {
                matches if pinned => fits(matches),
                Some(false) => " ✕ changed within the last hour",
                _ => " as learned",
            };
            let amiss = identity.key_match == Some(false);
            facts.push(
                Known::new("Peer key", format!("{key}{note}"), &by_status)
                    .code()
                    .amiss(amiss),
            );
        }
        if identity.key_changes > 0 {
            facts.push(Known::new(
                "Key changes",
                count(identity.key_changes),
                &counted(),
            ));
        }
        if let Some(agree) = identity.transports_agree {
            let value = if agree { "yes" } else { "no" };
            let how = Markup("both endpoints compared".to_owned());
            facts.push(Known::new("Endpoints are one peer", value, &how).amiss(!agree));
        }
        if let Some(api) = self.record.api {
            let how = Markup("the form of its answers".to_owned());
            facts.push(Known::new(
                "Interface",
                format!("as of {}", api.as_str()),
                &how,
            ));
        }
        if let Some(stake) = &self.record.stake
            && let Some(url) = &stake.registered.url
        {
            let note = match identity.advertised_match {
                Some(true) => " ✓ is there",
                Some(false) => " ✕ another peer is there",
                None => "",
            };
            let amiss = identity.advertised_match == Some(false);
            facts.push(
                Known::new("Advertised URL", visible(url) + note, &self.by_chain())
                    .code()
                    .amiss(amiss),
            );
        }
        facts
    }

    fn order(&self) -> Vec<Known> {
        let now = self.snapshot.now;
        let Some(order) = self.record.order(now) else {
            return Vec::new();
        };
        let by_status = self.by_status();
        let mut facts = Vec::new();
        for (i, points) in order.by_level().into_iter().enumerate() {
            let name = ["Blocks", "Proposed", "In consensus", "Final"][i];
            let mut learned = by_status.clone();
            if let Some(at) = self.record.advanced[i] {
                push(
                    &mut learned.0,
                    format_args!("; last seen to grow {}", self.clock.when(at)),
                );
            }
            debug_assert_eq!(LEVELS.len(), 4, "each level has a name");
            facts.push(Known::new(name, number(points), &learned));
        }
        facts.push(Known::new(
            "Not final yet",
            number(order.pending()),
            &by_status,
        ));
        let state = self.record.order_state(now);
        let stuck = [Condition::Stalled, Condition::Receding]
            .iter()
            .any(|it| self.record.conditions.contains(it));
        let how = Markup("the last polls compared".to_owned());
        facts.push(Known::new("It is", labels::of_order(state), &how).amiss(stuck));
        facts
    }

    fn state(&self) -> Vec<Known> {
        let by_query = self.by(Fact::PollAnswer, "query over http", "query over tcp");
        let mut facts = Vec::new();
        if let Some(figures) = self.record.figures(self.snapshot.now) {
            facts = of_state(figures, &by_query, self.clock);
        }
        if let Some(error) = &self.record.query_error {
            let value = format!(":{} {}", visible(&error.code), visible(&error.message));
            let how = Markup("the last answer to the query".to_owned());
            facts.push(Known::new("Error", value, &how).amiss(true));
        }
        if let Some(clock) = self.record.clock(self.snapshot.now) {
            let by = self.by(Fact::Clock, "Date header over http", "PING over tcp");
            let uncertainty = offset(clock.uncertainty).replace('+', "±");
            let value = format!("{} {uncertainty} against this host's", offset(clock.skew));
            let amiss = self.record.conditions.contains(&Condition::ClockSkew);
            facts.push(Known::new("Clock", value, &by).amiss(amiss));
        }
        facts
    }

    fn standing(&self) -> Vec<Known> {
        let mut facts = Vec::new();
        let compared = self.by(Fact::Lag, "", "");
        if let Some(lag) = self.record.lag(self.snapshot.now) {
            let amiss = self.record.conditions.contains(&Condition::Lagging);
            let value = if lag.blocks <= 0 {
                "level with the head".to_owned()
            } else {
                format!("{} blocks, {}", number(lag.blocks), span(lag.time))
            };
            facts.push(Known::new("Behind the head", value, &compared).amiss(amiss));
        }
        let by_hash = Markup("hashes at a common block compared".to_owned());
        match (self.record.diverged, self.record.first_divergent_block) {
            (Some(false), _) => facts.push(Known::new("State", "✓ the majority's", &by_hash)),
            (Some(true), Some(block)) => {
                let value = format!(
                    "✕ another one than the majority's, from block {} or before",
                    number(block)
                );
                facts.push(Known::new("State", value, &by_hash).amiss(true));
            }
            (Some(true), None) => facts.push(
                Known::new("State", "✕ another one than the majority's", &by_hash).amiss(true),
            ),
            (None, _) => {}
        }
        facts
    }

    fn by_chain(&self) -> Markup {
        let network = self
            .snapshot
            .networks
            .iter()
            .find(|it| it.name == self.record.peer.network);
        let told = network.and_then(|network| network.verdict.stake_told);
        let when = told
            .map(|at| format!(", {}", self.clock.when(at)))
            .unwrap_or_default();
        Markup(format!("the majority's chain state{when}"))
    }

    fn stake(&self) -> Vec<Known> {
        let Some(stake) = &self.record.stake else {
            return Vec::new();
        };
        of_stake(stake, self.record, &self.by_chain(), self.clock)
    }

    fn polls(&self) -> Vec<Known> {
        let record = self.record;
        let mut facts = vec![
            Known::new("Polls", count(record.polls), &counted()),
            Known::new("Failed", count(record.poll_failures), &counted()),
        ];
        if record.restarts > 0 {
            let how = Markup(
                "connections that were lost and came again, since the agent started".to_owned(),
            );
            facts.push(Known::new("Restarts", count(record.restarts), &how));
        }
        facts
    }

    fn process(&self) -> Vec<Known> {
        let Some(process) = self.record.process(self.snapshot.now) else {
            return Vec::new();
        };
        let by_host = self
            .by(Fact::Process, "", "")
            .0
            .replace("this monitor", "this host");
        of_process(process, &Markup(by_host), self.clock)
    }

    fn store(&self) -> Vec<Known> {
        let Some(store) = self.record.store(self.snapshot.now) else {
            return Vec::new();
        };
        let by_host = self
            .by(Fact::Store, "", "")
            .0
            .replace("this monitor", "this host");
        of_store(store, &Markup(by_host))
    }

    fn configured(&self) -> Vec<Known> {
        of_configuration(&self.record.peer, self.snapshot.wall, self.clock)
    }
}

fn counted() -> Markup {
    Markup("counted since the agent started or the peer's configuration changed".to_owned())
}

fn of_state(figures: &PollAnswer, learned: &Markup, clock: Clock) -> Vec<Known> {
    let mut facts = Vec::new();
    let mut add = |name, value: Option<String>| {
        facts.extend(value.map(|value| Known::new(name, value, learned)));
    };
    add("Block", figures.state_block.map(number));
    add(
        "Its time",
        figures
            .timestamp_ms
            .and_then(moment)
            .map(|at| utc(at, clock)),
    );
    add("Accounts", figures.accounts.map(number));
    add("Registered peers", figures.registered_peers.map(number));
    add("Coin supply", figures.coin_supply_copper.map(cvm));
    add("Fees to be distributed", figures.fees_copper.map(cvm));
    add(
        "Price of a unit of juice",
        figures
            .juice_price_copper
            .map(|it| format!("{} copper", number(it))),
    );
    add(
        "Memory pool",
        figures
            .memory_pool_bytes
            .map(|it| format!("{} bytes", number(it))),
    );
    add(
        "Coin in the memory pool",
        figures.memory_pool_copper.map(cvm),
    );
    add(
        "Price of a byte of memory",
        figures
            .memory_price_copper
            .map(|it| format!("{it:.1} copper")),
    );
    if let Some(hash) = figures.state_hash {
        facts.insert(
            facts.len().min(1),
            Known::new("Hash", hash.to_string(), learned).code(),
        );
    }
    facts
}

fn of_stake(stake: &Stake, record: &PeerRecord, learned: &Markup, clock: Clock) -> Vec<Known> {
    let registered = &stake.registered;
    let has = |condition| record.conditions.contains(&condition);
    let mut facts = vec![
        Known::new("Excused", cvm(registered.own_copper), learned)
            .amiss(has(Condition::OwnStakeLow)),
        Known::new(
            "Above what evicts",
            cvm(registered.eviction_margin()),
            learned,
        )
        .amiss(has(Condition::OwnStakeLow)),
        Known::new("Delegated", cvm(registered.delegated_copper), learned),
        Known::new("Decay", percent(stake.decay), learned).amiss(has(Condition::WeightDecayed)),
    ];
    if let Some(weight) = stake.weight {
        facts.push(Known::new(
            "Part of the network's weight",
            percent(weight),
            learned,
        ));
    }
    let last = match registered.last_block_ms {
        None => "none yet".to_owned(),
        Some(ms) => moment(ms).map_or_else(|| number(ms), |at| utc(at, clock)),
    };
    facts.push(Known::new("Last block of its own", last, learned));
    if let Some(controller) = registered.controller {
        let balance = stake
            .controller_balance
            .map(|it| format!(", has {}", cvm(it)))
            .unwrap_or_default();
        let low = has(Condition::ControllerBalanceLow);
        facts.push(Known::new("Controller", format!("#{controller}{balance}"), learned).amiss(low));
    }
    facts
}

fn of_process(process: &ProcessReading, learned: &Markup, clock: Clock) -> Vec<Known> {
    let mut facts = Vec::new();
    if let Some(up) = process.process_up {
        let value = match (up, process.pid) {
            (true, Some(pid)) => format!("yes, id {pid}"),
            (true, None) => "yes".to_owned(),
            (false, _) => "no".to_owned(),
        };
        facts.push(Known::new("Runs", value, learned).amiss(!up));
    }
    let mut add = |name, value: Option<String>| {
        facts.extend(value.map(|value| Known::new(name, value, learned)));
    };
    let started = process
        .start_time_seconds
        .and_then(|it| Duration::try_from_secs_f64(it).ok());
    add(
        "Started",
        started
            .and_then(|it| SystemTime::UNIX_EPOCH.checked_add(it))
            .map(|at| utc(at, clock)),
    );
    add(
        "Memory",
        process
            .resident_memory_bytes
            .map(|it| format!("{}, mapped files included", bytes(it))),
    );
    add(
        "Memory of its own",
        process.anonymous_memory_bytes.map(bytes),
    );
    add("Memory limit", process.memory_limit_bytes.map(bytes));
    add(
        "Processor time",
        process.cpu_seconds.map(|it| format!("{it:.1} s")),
    );
    add("Threads", process.threads.map(count));
    let descriptors = process.open_fds.map(|open| match process.max_fds {
        Some(max) => format!("{} of {}", count(open), count(max)),
        None => count(open),
    });
    add("File descriptors", descriptors);
    add("Killed for want of memory", process.oom_kills.map(count));
    facts.extend(unavailable(&process.unavailable, learned));
    facts
}

fn of_store(store: &StoreReading, learned: &Markup) -> Vec<Known> {
    let mut facts = Vec::new();
    facts.extend(
        store
            .store_bytes
            .map(|it| Known::new("Occupies", bytes(it), learned)),
    );
    if let Some(free) = store.store_filesystem_available_bytes {
        let of = store
            .store_filesystem_size_bytes
            .map(|it| format!(" of {}", bytes(it)));
        facts.push(Known::new(
            "Free on its disk",
            bytes(free) + &of.unwrap_or_default(),
            learned,
        ));
    }
    facts.extend(unavailable(&store.unavailable, learned));
    facts
}

/// What the host does not show, with the reason.
fn unavailable(why: &BTreeMap<&'static str, String>, learned: &Markup) -> Vec<Known> {
    let known = |(what, why): (&&'static str, &String)| {
        Known::new("Not known", format!("{what}: {}", visible(why)), learned)
    };
    why.iter().map(known).collect()
}

fn of_configuration(peer: &Peer, wall: SystemTime, clock: Clock) -> Vec<Known> {
    let here = Markup("the agent's configuration, or discovery".to_owned());
    let cadence = &peer.cadence;
    let mut facts = vec![
        Known::new("Role", peer.role.as_str(), &here),
        Known::new(
            "Polled",
            format!(
                "every {}, within {}",
                humantime::format_duration(cadence.interval),
                humantime::format_duration(cadence.timeout)
            ),
            &here,
        ),
        Known::new(
            "Down, up",
            format!(
                "after {} failed, {} good polls running",
                cadence.down_after, cadence.up_after
            ),
            &here,
        ),
    ];
    let labels: Vec<String> = peer
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !labels.is_empty() {
        facts.push(Known::new("Labels", labels.join(", "), &here));
    }
    for window in peer.maintenance.iter().filter(|window| window.to > wall) {
        let comment = window
            .comment
            .as_deref()
            .map(|it| format!(": {it}"))
            .unwrap_or_default();
        let value = format!(
            "{} to {}{comment}",
            utc(window.from, clock),
            utc(window.to, clock)
        );
        facts.push(Known::new("Maintenance", value, &here));
    }
    facts
}

fn moment(ms: i64) -> Option<SystemTime> {
    let since = Duration::from_millis(u64::try_from(ms).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

fn utc(at: SystemTime, clock: Clock) -> String {
    clock.when(at).utc()
}
