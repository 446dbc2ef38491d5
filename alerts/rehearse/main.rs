//! Rehearses alerts: plays a fault in a simulated network, and compares the notifications that
//! arrive through the agent, Prometheus with our rules and Alertmanager with our example routes
//! with those that must. `make rehearse` plays one, `make rehearsals` all.

mod agent;
mod canary;
mod cases;
mod faults;
mod judge;
#[path = "../../tests/support/pipeline/mod.rs"]
#[allow(dead_code, reason = "made for tests, which use all of it")]
mod pipeline;
mod play;
mod rehearsal;
#[path = "../../tests/support/relay.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "made for tests, which use all of it and may panic"
)]
mod relay;
mod report;
mod rig;
mod service;
#[path = "../../tests/support/services/mod.rs"]
mod services;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use cases::CASES;
use faults::FAULTS;
use judge::Verdict;
use pipeline::{Pace, root};
use play::TooBusy;
use rehearsal::{Rehearsal, Way};
use report::Rows;
use service::Service;

/// Plays faults and shows the notifications that arrive through the whole alerting pipeline.
#[derive(Parser)]
#[command(name = "rehearse")]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Args {
    /// Rehearsals, or a fault of the simulator: KIND[=VALUE]:PEERS[:FROM[..TO]]. Several are played
    /// at once; none stands for all, each as in docs/rehearsals.md
    names: Vec<String>,
    /// Scrape and evaluate every second, and shorten the waits in rules and routes
    #[arg(long)]
    fast: bool,
    /// Let the agent notify Alertmanager itself, without Prometheus
    #[arg(long)]
    own: bool,
    /// Let the agent notify a stand-in of this chat or paging service too, beside a webhook that
    /// judges what arrives
    #[arg(long, conflicts_with_all = ["own", "record"])]
    receiver: Option<Service>,
    /// Play each as in docs/rehearsals.md, and write the results there
    #[arg(long)]
    record: bool,
    /// How many to play at once
    #[arg(long, default_value_t = 6)]
    jobs: usize,
    /// List all rehearsals
    #[arg(long)]
    list: bool,
}

/// A rehearsal and how it is played.
type Play = (Rehearsal, (Way, Pace));

/// How often a rehearsal is tried on a busy machine.
const MAX_ATTEMPTS: usize = 5;

/// Exit code after a signal, as in shells.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|error| {
        eprintln!("the rehearsal failed: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list {
        for rehearsal in all() {
            println!("{:<24} {}", rehearsal.name, rehearsal.story());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let plays = match chosen(args) {
        Ok(plays) => plays,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(64));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let playing = async {
            match &plays[..] {
                [play] if !args.record => play_one(play, args.receiver).await,
                plays => play_all(plays, args).await,
            }
        };
        tokio::select! {
            passed = playing => Ok(ExitCode::from(u8::from(!passed?))),
            _ = interrupt.recv() => Ok(ExitCode::from(INTERRUPTED)),
            _ = terminate.recv() => Ok(ExitCode::from(INTERRUPTED)),
            _ = hangup.recv() => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

/// Returns all rehearsals.
fn all() -> impl Iterator<Item = &'static Rehearsal> {
    CASES.iter().chain(FAULTS)
}

/// Returns what to play, or what is wrong with the names.
fn chosen(args: &Args) -> Result<Vec<Play>, String> {
    let as_recorded = args.record || args.names.is_empty();
    let mut plays = Vec::new();
    for name in &args.names {
        let known = all().find(|rehearsal| rehearsal.name == name);
        let rehearsal = known.map_or_else(|| faults::read(name), |known| Ok(*known))?;
        if as_recorded {
            plays.extend(rehearsal.plays.iter().map(|play| (rehearsal, *play)));
        } else {
            plays.push((rehearsal, as_asked(&rehearsal, args)));
        }
    }
    if args.names.is_empty() {
        plays.extend(recorded());
    }
    // The longest first.
    plays.sort_by_key(|(rehearsal, play)| {
        std::cmp::Reverse((play.1 == Pace::Shipped, rehearsal.lasts(*play)))
    });
    Ok(plays)
}

/// Returns all rehearsals in all ways in which they are recorded.
fn recorded() -> impl Iterator<Item = Play> {
    all().flat_map(|rehearsal| rehearsal.plays.iter().map(|play| (*rehearsal, *play)))
}

/// Returns how to play a rehearsal, if it can be played as `args` say.
fn as_asked(rehearsal: &Rehearsal, args: &Args) -> (Way, Pace) {
    let way = match rehearsal.plays {
        [(Way::Webhook, _)] => Way::Webhook,
        _ if args.receiver.is_some() => Way::Webhook,
        _ if args.own => Way::Own,
        _ => Way::Prometheus,
    };
    (way, if args.fast { Pace::Fast } else { Pace::Shipped })
}

/// Plays one rehearsal and prints what arrives when it does. Returns whether it passed.
async fn play_one((rehearsal, play): &Play, receiver: Option<Service>) -> anyhow::Result<bool> {
    let mut print = |line| println!("{line}\n");
    let verdict = play::play(rehearsal, *play, receiver, &mut print).await?;
    println!("{verdict}");
    Ok(verdict.problems.is_empty())
}

/// Plays several at once and prints a line for each, with what arrived if it failed. Returns
/// whether all passed.
async fn play_all(plays: &[Play], args: &Args) -> anyhow::Result<bool> {
    let (jobs, started) = (Arc::new(Semaphore::new(args.jobs)), Instant::now());
    let mut playing = JoinSet::new();
    let receiver = args.receiver;
    for (rehearsal, play) in plays.iter().copied() {
        let jobs = Arc::clone(&jobs);
        playing.spawn(async move {
            let _job = jobs.acquire().await;
            let (mut said, mut attempts) = (Vec::new(), 0);
            let verdict = loop {
                attempts += 1;
                let played =
                    play::play(&rehearsal, play, receiver, &mut |line| said.push(line)).await;
                match played {
                    Err(error) if error.is::<TooBusy>() && attempts < MAX_ATTEMPTS => said.clear(),
                    played => break played,
                }
            };
            let verdict = verdict.unwrap_or_else(|error| Verdict::failed(format!("{error:#}")));
            (rehearsal, play, verdict, said)
        });
    }
    let (mut done, mut failed) = (0, 0);
    while let Some(played) = playing.join_next().await {
        let (rehearsal, play, verdict, said) = played?;
        let (name, way, pace) = report::key(&rehearsal, play);
        let minutes = started.elapsed().as_secs() / 60;
        done += 1;
        println!(
            "{done}/{} after {minutes} min, {name} by {way}, times {pace}: {verdict}",
            plays.len()
        );
        if !verdict.problems.is_empty() {
            failed += 1;
            for line in said {
                println!("    {}", line.replace('\n', "\n    "));
            }
        }
        if args.record {
            let row = report::row(&rehearsal, play, &verdict);
            record(&Rows::from([((name, way, pace), row)]))?;
        }
    }
    println!("{} of {} passed", plays.len() - failed, plays.len());
    Ok(failed == 0)
}

/// Writes rows into the table of all rehearsals.
fn record(rows: &Rows) -> anyhow::Result<()> {
    let file = root().join("docs/rehearsals.md");
    let order: Vec<_> = recorded()
        .map(|(rehearsal, play)| report::key(&rehearsal, play))
        .collect();
    let document = fs::read_to_string(&file)?;
    Ok(fs::write(file, report::update(&document, &order, rows)?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rehearsal::End;

    #[test]
    fn the_document_has_one_row_for_each_rehearsal() {
        let document = fs::read_to_string(root().join("docs/rehearsals.md")).unwrap();
        let expected: Vec<_> = recorded()
            .map(|(rehearsal, play)| report::key(&rehearsal, play))
            .collect();
        let rows = report::rows(&document).unwrap();
        assert_eq!(rows, expected, "run 'make rehearsals'");
    }

    #[test]
    fn all_recorded_rehearsals_passed() {
        let document = fs::read_to_string(root().join("docs/rehearsals.md")).unwrap();
        assert_eq!(document.matches("FAIL").count(), 0);
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<&str> = all().map(|rehearsal| rehearsal.name).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn faults_are_those_of_the_simulator_and_alerts_those_of_the_rules() {
        let rules = root().join("alerts/convex-peer-monitor.rules.yml");
        let rules = fs::read_to_string(rules).unwrap();
        for (rehearsal, play) in recorded() {
            let name = rehearsal.name;
            let faults = rehearsal.faults.iter();
            let faults: Vec<_> = faults
                .map(|it| it.script(rig::lead(play.1), play))
                .collect();
            let faults = faults.iter().map(String::as_str);
            convex_simulator::Script::parse(faults, rehearsal.setup.peers).expect(name);
            for wanted in [rehearsal.must, rehearsal.may].concat() {
                for alert in wanted.alert.split('|') {
                    let rule = format!("- alert: {alert}\n");
                    assert!(rules.contains(&rule), "{name}: {wanted}");
                }
            }
            if let End::Resolved(at) = rehearsal.end {
                assert!(at.at(play) <= rehearsal.lasts(play), "{name}");
            }
        }
    }
}
