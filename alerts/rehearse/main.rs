//! Rehearses an alert: injects a fault into a simulated network and prints the notifications that
//! arrive through the agent, Prometheus with our rules and Alertmanager with our example routes.
//! `make rehearse` runs it.

mod faults;
#[path = "../../tests/support/pipeline/mod.rs"]
mod pipeline;
mod rig;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use faults::{Expected, Rehearsal};
use pipeline::{Alert, DEAD_MANS_SWITCH, Notification, Pace};
use rig::{Rig, Way};

/// Injects a fault and shows the notifications that arrive through the whole alerting pipeline.
#[derive(Parser)]
#[command(name = "rehearse")]
struct Args {
    /// Kind of fault, such as fork, or a full fault: KIND[=VALUE]:PEERS[:FROM[..TO]]
    fault: String,
    /// Scrape and evaluate every second, and shorten the waits in rules and routes
    #[arg(long)]
    fast: bool,
    /// Let the agent notify Alertmanager itself, without Prometheus
    #[arg(long)]
    own: bool,
}

/// Annotations of alerts, in the order in which a notification shows them.
const ANNOTATIONS: [&str; 10] = [
    "summary",
    "since",
    "description",
    "seen_from",
    "endpoints",
    "at_risk",
    "first_step",
    "page_url",
    "dashboard_url",
    "runbook_url",
];

/// Exit code after a signal, as in shells.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|error| {
        eprintln!("the rehearsal failed: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pace = if args.fast { Pace::Fast } else { Pace::Shipped };
    let way = if args.own { Way::Own } else { Way::Prometheus };
    let rehearsal = match Rehearsal::read(&args.fault, pace) {
        Ok(rehearsal) => rehearsal,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(64));
        }
    };
    if let Expected::Nothing(why) = rehearsal.expected {
        println!("{} raises no alert, by design: {why}", args.fault);
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            arrived = rehearse(&rehearsal, pace, way) => Ok(ExitCode::from(u8::from(!arrived?))),
            _ = interrupt.recv() => Ok(ExitCode::from(INTERRUPTED)),
            _ = terminate.recv() => Ok(ExitCode::from(INTERRUPTED)),
            _ = hangup.recv() => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

/// Returns whether the expected alerts arrived.
async fn rehearse(rehearsal: &Rehearsal, pace: Pace, way: Way) -> anyhow::Result<bool> {
    let mut rig = Rig::start(rehearsal, pace, way).await?;
    println!("{rehearsal}");
    println!("{rig}");
    let begins = rig.network_started + rehearsal.begins;
    if rig.all_up_before(begins).await? {
        println!("all peers are up");
    } else {
        println!(
            "not all peers were up before the fault: some notifications may be about the start"
        );
    }
    let deadline = begins + rehearsal.timeout;
    let mut arrived = BTreeSet::new();
    while let Ok(delivery) = timeout_at(deadline, rig.receiver.next()).await {
        let after = Instant::now().checked_duration_since(begins);
        if delivery.to == DEAD_MANS_SWITCH {
            continue;
        }
        let notification = delivery.notification()?;
        print(&delivery.to, &notification, after);
        if after.is_none() {
            continue;
        }
        let firing = notification.alerts.iter().filter(|alert| alert.is_firing());
        arrived.extend(firing.map(|alert| {
            let severity = alert.labels.get("severity").cloned();
            (alert.name().to_owned(), severity.unwrap_or_default())
        }));
        if rehearsal.expected.is_met(&arrived) {
            return Ok(true);
        }
    }
    println!("{} did not arrive in time", rehearsal.expected);
    Ok(false)
}

fn print(receiver: &str, notification: &Notification, after: Option<Duration>) {
    let network = notification
        .group_labels
        .get("network")
        .map_or("none", String::as_str);
    match after {
        Some(after) => println!(
            "\n{:.1} s after the fault, to {receiver}, network {network}:",
            after.as_secs_f64()
        ),
        None => println!("\nbefore the fault, to {receiver}, network {network}:"),
    }
    notification.alerts.iter().for_each(print_alert);
}

fn print_alert(alert: &Alert) {
    let labels: Vec<_> = alert
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    println!(
        "  {} since {}: {}",
        alert.status,
        alert.starts_at,
        labels.join(" ")
    );
    for name in ANNOTATIONS {
        if let Some(text) = alert.annotations.get(name).filter(|text| !text.is_empty()) {
            println!("    {name}: {text}");
        }
    }
}
