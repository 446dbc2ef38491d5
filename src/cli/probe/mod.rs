//! `probe`: polls each peer, once or again and again; the last poll alone is the verdict.

mod progress;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use convex_client::HttpClients;
use futures_util::{StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::agent::Source;
use crate::config::{self, Config, Limits, Peer};
use crate::fleet::Observation;
use crate::fleet::report::PeerReport;
use crate::fleet::{Health, PeerRecord};
use crate::poller::Prober;

use super::terminal::{self, Screen};
use super::{BAD_CONFIG, ProbeArgs, runtime};
use progress::{PATIENCE, Progress};

/// Nothing was seen.
const UNKNOWN: u8 = 3;

/// A peer, and how it is asked.
struct Subject {
    prober: Prober,
    seen: Seen,
}

/// A peer with what its last poll saw.
struct Seen {
    record: PeerRecord,
    observation: Observation,
}

/// How what was seen is told.
#[derive(Clone, Copy)]
enum Form {
    Table { colored: bool },
    Json,
}

pub(super) fn probe(args: ProbeArgs) -> anyhow::Result<ExitCode> {
    let form = if args.json {
        Form::Json
    } else {
        Form::Table {
            colored: terminal::colored(args.color),
        }
    };
    let (mut peers, limits) = if args.endpoints.is_empty() {
        let source = Source {
            file: args.config.or_else(config::find),
            ..Source::default()
        };
        match source.load() {
            Ok(Config { peers, limits, .. }) => (peers, limits),
            Err(errors) => {
                writeln!(io::stderr(), "{errors}")?;
                return Ok(ExitCode::from(BAD_CONFIG));
            }
        }
    } else {
        (
            args.endpoints
                .into_iter()
                .map(Peer::at)
                .map(Arc::new)
                .collect(),
            Limits::default(),
        )
    };
    for peer in &mut peers {
        let cadence = &mut Arc::make_mut(peer).cadence;
        cadence.timeout = args.timeout.unwrap_or(cadence.timeout);
        cadence.down_after = 1;
        cadence.up_after = 1;
        // What one poll has measured is shown until the next one is done.
        cadence.interval = args.watch.unwrap_or_default().max(cadence.timeout);
    }
    let clients = Arc::default();
    let mut subjects: Vec<Subject> = peers
        .into_iter()
        .map(|peer| Subject::new(peer, &limits, &clients))
        .collect();
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        if let Some(every) = args.watch {
            return watch(&mut subjects, &limits, form, every).await;
        }
        round(&mut subjects, &limits).await;
        show(&form.tell(&subjects, None)?)?;
        Ok(worst(&subjects))
    });
    // A resolver that hangs must not keep the process.
    runtime.shutdown_background();
    code.map(ExitCode::from)
}

impl Subject {
    fn new(peer: Arc<Peer>, limits: &Limits, clients: &Arc<HttpClients>) -> Self {
        Self {
            prober: Prober::new(Arc::clone(&peer), limits.max_response_bytes, clients),
            seen: Seen {
                record: PeerRecord::new(peer),
                observation: Observation {
                    endpoints: Vec::new(),
                },
            },
        }
    }

    async fn poll(&mut self) {
        let observation = self.prober.poll().await;
        let (now, wall) = (Instant::now(), SystemTime::now());
        self.seen.record.observe(&observation, None, now, wall);
        self.seen.observation = observation;
    }
}

/// Polls everybody once, telling who is waited for.
async fn round(subjects: &mut [Subject], limits: &Limits) {
    let name = |subject: &Subject| subject.seen.record.peer.name.clone();
    let mut progress = Progress::of(subjects.iter().map(name).collect());
    let polls = subjects
        .iter_mut()
        .enumerate()
        .map(|(index, subject)| async move {
            subject.poll().await;
            index
        });
    let mut polls = stream::iter(polls).buffer_unordered(limits.max_inflight);
    let patience = Instant::now() + PATIENCE;
    loop {
        tokio::select! {
            polled = polls.next() => match polled {
                Some(index) => progress.answered(index),
                None => return,
            },
            () = sleep_until(patience), if !progress.is_told() => progress.tell(),
        }
    }
}

/// Polls start to start until a signal ends it, or until nobody reads any longer. Gives the code of the last whole round.
async fn watch(
    subjects: &mut [Subject],
    limits: &Limits,
    form: Form,
    every: Duration,
) -> anyhow::Result<u8> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(stop);
    let screen = match form {
        Form::Table { .. } if terminal::is_drawable() => {
            Some(Screen::open().context("cannot draw on the terminal")?)
        }
        _ => None,
    };
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut code = UNKNOWN;
    let mut last = None;
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = async { rounds.tick().await; round(subjects, limits).await } => {}
        }
        code = worst(subjects);
        let text = form.tell(subjects, Some(every))?;
        if let Some(screen) = &screen {
            screen.draw(&text)?;
            last = Some(text);
        } else if !show(&text)? {
            break;
        }
    }
    drop(screen);
    if let Some(text) = last {
        show(&text)?;
    }
    Ok(code)
}

impl Form {
    /// What is told of one round; of one of many, in a form that tells where one ends.
    fn tell(self, subjects: &[Subject], every: Option<Duration>) -> anyhow::Result<String> {
        let now = Instant::now();
        match self {
            Self::Table { colored } => {
                let seen: Vec<&Seen> = subjects.iter().map(|subject| &subject.seen).collect();
                let width = terminal::size().map(|(width, _)| usize::from(width));
                let table = table::table(&seen, width, colored, now);
                Ok(match every {
                    Some(every) => format!("{}\n{table}\n", heading(every)),
                    None => table,
                })
            }
            Self::Json => {
                let reports: Vec<PeerReport<'_>> = subjects
                    .iter()
                    .map(|subject| PeerReport::new(&subject.seen.record, now))
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
    let at = humantime::format_rfc3339_seconds(SystemTime::now());
    let every = humantime::format_duration(every);
    format!("{at}, polled every {every}; Ctrl-C ends")
}

/// Prints a text. False: nobody reads any longer.
fn show(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// The exit code of the worst health: down is worse than unknown, unknown than degraded.
fn worst(subjects: &[Subject]) -> u8 {
    let severity = |health| match health {
        Health::Up => (0, 0),
        Health::Degraded => (1, 1),
        Health::Unknown => (2, UNKNOWN),
        Health::Down => (3, 2),
    };
    subjects
        .iter()
        .map(|subject| severity(subject.seen.record.health))
        .max()
        .map_or(0, |(_, code)| code)
}
