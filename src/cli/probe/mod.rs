//! `probe`: polls each peer once or repeatedly, and compares the states of those of one network. A
//! peer's health is that of its last poll alone.

mod canary;
mod compare;
mod comparison;
mod progress;
mod selection;
mod table;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use convex_client::TlsSettings;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::config::{Limits, Peer};
use crate::fleet::peer_json::PeerJson;
use crate::fleet::{Health, Observation, PeerRecord};
use crate::poller::Prober;
use crate::self_check::{Checks, Plan, check_once};

use super::args::ProbeArgs;
use super::terminal::{self, Screen};
use super::{BAD_CONFIG, USAGE, runtime};
use compare::compare_all;
use comparison::Comparison;
use progress::{Progress, REDRAW_INTERVAL, SHOW_AFTER};
use selection::{Refused, Selection};

/// Exit code if no round is complete.
const UNKNOWN: u8 = 3;

/// The peers that are polled at once.
struct Round {
    targets: Vec<Target>,
    limits: Limits,
    /// How to find out whether this host is the cause of failures.
    plan: Plan,
}

/// A peer to poll, and its last poll.
struct Target {
    prober: Prober,
    last: PollResult,
}

/// The last poll of a peer.
struct PollResult {
    record: PeerRecord,
    observation: Observation,
    /// When it was complete.
    times: (Instant, SystemTime),
}

/// A peer in JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    peer: PeerJson<'a>,
    /// How the peers of its network compare; absent if there is no other peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    network_comparison: Option<&'a Comparison>,
}

/// Format of the results.
#[derive(Clone, Copy)]
enum Format {
    Table { colored: bool },
    Json,
}

pub(super) fn probe(args: ProbeArgs) -> anyhow::Result<ExitCode> {
    if args.canary {
        return canary::run(args.config);
    }
    let format = if args.json {
        Format::Json
    } else {
        Format::Table {
            colored: terminal::use_color(args.color),
        }
    };
    let Selection {
        mut peers,
        limits,
        self_check,
    } = match selection::select(&args.peers, args.config) {
        Ok(selection) => selection,
        Err(refused) => {
            writeln!(io::stderr(), "{refused}")?;
            return Ok(ExitCode::from(match refused {
                Refused::Usage(_) => USAGE,
                Refused::Config(_) => BAD_CONFIG,
            }));
        }
    };
    for peer in &mut peers {
        let polling = &mut Arc::make_mut(peer).polling;
        polling.timeout = args.timeout.unwrap_or(polling.timeout);
        polling.down_after = 1;
        polling.up_after = 1;
        // The results of a poll stay valid until the next one is complete.
        polling.interval = args.watch.unwrap_or_default().max(polling.timeout);
    }
    let tls = TlsSettings::default();
    let plan = Plan::for_peers(peers.iter().map(|peer| &**peer), &self_check);
    let targets = peers
        .into_iter()
        .map(|peer| Target::new(peer, &limits, &tls));
    let mut round = Round {
        targets: targets.collect(),
        limits,
        plan,
    };
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        if let Some(every) = args.watch {
            return watch(&mut round, format, every).await;
        }
        let comparisons = round.play().await;
        print(&format.format(&round.targets, &comparisons, None)?)?;
        Ok(exit_code(&round.targets))
    });
    // A resolver that hangs must not delay the exit.
    runtime.shutdown_background();
    code.map(ExitCode::from)
}

impl Target {
    fn new(peer: Arc<Peer>, limits: &Limits, tls: &TlsSettings) -> Self {
        Self {
            prober: Prober::new(Arc::clone(&peer), limits.max_response_bytes, tls),
            last: PollResult {
                record: PeerRecord::new(peer),
                observation: Observation {
                    asked: Instant::now(),
                    endpoints: Vec::new(),
                },
                times: (Instant::now(), SystemTime::now()),
            },
        }
    }

    /// Polls the peer. What that says about it is recorded later.
    async fn poll(&mut self) {
        self.last.observation = self.prober.poll().await;
        self.last.times = (Instant::now(), SystemTime::now());
    }

    /// Records the last poll. What `checks` of this host explain does not count against the peer.
    fn record(&mut self, checks: &Checks) {
        let PollResult {
            record,
            observation,
            times: (now, wall),
        } = &mut self.last;
        record.record_checked_poll(observation, checks, *now, *wall);
    }

    fn has_failed(&self) -> bool {
        let mut endpoints = self.last.observation.endpoints.iter();
        endpoints.any(|endpoint| endpoint.failure.is_some())
    }
}

impl Round {
    /// Polls every peer once and compares them. Returns the comparisons by network.
    async fn play(&mut self) -> BTreeMap<String, Comparison> {
        poll_all(&mut self.targets, &self.limits).await;
        let checks = if self.targets.iter().any(Target::has_failed) {
            check_once(&self.plan).await
        } else {
            Checks::default()
        };
        for target in &mut self.targets {
            target.record(&checks);
        }
        compare_all(&mut self.targets, &self.limits).await
    }
}

/// Polls every peer once and shows the progress.
async fn poll_all(targets: &mut [Target], limits: &Limits) {
    let name = |target: &Target| target.last.record.peer.name.clone();
    let mut progress = Progress::start(targets.iter().map(name).collect());
    let polls = targets
        .iter_mut()
        .enumerate()
        .map(|(index, target)| async move {
            target.poll().await;
            index
        });
    let mut polls = stream::iter(polls).buffer_unordered(limits.max_inflight);
    let visible = Progress::is_visible();
    let mut redraws = interval_at(Instant::now() + SHOW_AFTER, REDRAW_INTERVAL);
    redraws.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            polled = polls.next() => match polled {
                Some(index) => progress.answered(index),
                None => return,
            },
            _ = redraws.tick(), if visible => progress.draw(),
        }
    }
}

/// Polls at each start of an interval until a signal, or until the output is closed. Returns the
/// exit code of the last complete round.
async fn watch(round: &mut Round, format: Format, every: Duration) -> anyhow::Result<u8> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(stop);
    let screen = match format {
        Format::Table { .. } if terminal::is_drawable(&io::stdout()) => {
            Some(Screen::open().context("cannot draw on the terminal")?)
        }
        _ => None,
    };
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut code = UNKNOWN;
    let mut last = None;
    loop {
        let comparisons = tokio::select! {
            () = &mut stop => break,
            comparisons = async { rounds.tick().await; round.play().await } => comparisons,
        };
        code = exit_code(&round.targets);
        let text = format.format(&round.targets, &comparisons, Some(every))?;
        if let Some(screen) = &screen {
            screen.draw(&text)?;
            last = Some(text);
        } else if !print(&text)? {
            break;
        }
    }
    drop(screen);
    if let Some(text) = last {
        print(&text)?;
    }
    Ok(code)
}

impl Format {
    /// Formats the results of a round. With `every`, it is one of many: a table gets a heading and
    /// an empty line at its end, JSON is a single line.
    fn format(
        self,
        targets: &[Target],
        comparisons: &BTreeMap<String, Comparison>,
        every: Option<Duration>,
    ) -> anyhow::Result<String> {
        let now = Instant::now();
        match self {
            Self::Table { colored } => {
                let results: Vec<&PollResult> = targets.iter().map(|target| &target.last).collect();
                let width = terminal::size(&io::stdout()).map(|(columns, _)| columns);
                let mut table = table::table(&results, width, colored, now);
                for comparison in comparisons.values() {
                    table += &table::comparison(comparison, width, colored);
                }
                Ok(match every {
                    Some(every) => format!("{}\n{table}\n", heading(every)),
                    None => table,
                })
            }
            Self::Json => {
                let records = targets.iter().map(|target| &target.last.record);
                let reports: Vec<Report<'_>> = records
                    .map(|record| Report {
                        peer: PeerJson::new(record, now, SystemTime::now()),
                        network_comparison: comparisons.get(&record.peer.network),
                    })
                    .collect();
                let text = if every.is_some() {
                    serde_json::to_string(&reports)?
                } else {
                    serde_json::to_string_pretty(&reports)?
                };
                Ok(text + "\n")
            }
        }
    }
}

fn heading(every: Duration) -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    let every = humantime::format_duration(every);
    format!("{now}, polled every {every}; press Ctrl-C to stop")
}

/// Prints a text. Returns false if the reader has closed the output.
fn print(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the exit code of the worst health: down is worse than unknown, unknown than degraded.
fn exit_code(targets: &[Target]) -> u8 {
    let severity_and_code = |health| match health {
        Health::Up => (0, 0),
        Health::Degraded => (1, 1),
        Health::Unknown => (2, UNKNOWN),
        Health::Down => (3, 2),
    };
    targets
        .iter()
        .map(|target| severity_and_code(target.last.record.health))
        .max()
        .map_or(0, |(_, code)| code)
}
