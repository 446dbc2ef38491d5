//! Rehearses a page: a simulated network, the agent, Prometheus with our rules, Alertmanager with our example of routes and a
//! receiver; a fault; and what arrives, and when. `make rehearse` runs it.

mod faults;
#[path = "../../tests/support/pipeline/mod.rs"]
mod pipeline;
mod rig;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use faults::{Expected, Rehearsal};
use pipeline::{Alert, DEAD_MANS_SWITCH, Notification, Pace};
use rig::{Rig, Way};

/// Plays a fault to the whole alerting pipeline and shows the notifications that arrive.
#[derive(Parser)]
#[command(name = "rehearse")]
struct Args {
    /// A kind of fault, such as fork, or a full one: KIND[=VALUE]:PEERS[:FROM[..TO]]
    fault: String,
    /// Scrape and evaluate each second and shorten what is waited for; the rules are the same
    #[arg(long)]
    fast: bool,
    /// By the agent's own notifications, without a Prometheus
    #[arg(long)]
    own: bool,
}

/// When a signal ended it, as shells say it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|error| {
        eprintln!("the rehearsal has failed: {error:#}");
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

/// Whether the page arrived.
async fn rehearse(rehearsal: &Rehearsal, pace: Pace, way: Way) -> anyhow::Result<bool> {
    let mut rig = Rig::start(rehearsal, pace, way).await?;
    println!("{rehearsal}");
    println!("{rig}");
    let begins = rig.network_started + rehearsal.begins;
    if rig.is_well_by(begins).await? {
        println!("all peers are seen up");
    } else {
        println!("not all peers were seen up before the fault: what arrives may be of the start");
    }
    let deadline = begins + faults::patience(pace);
    while let Ok(delivery) = timeout_at(deadline, rig.receiver.next()).await {
        let after = Instant::now().checked_duration_since(begins);
        if delivery.to == DEAD_MANS_SWITCH {
            continue;
        }
        let notification = delivery.notification()?;
        told(&delivery.to, &notification, after);
        let mut firing = notification.alerts.iter().filter(|alert| alert.is_firing());
        if after.is_some() && firing.any(|alert| rehearsal.expected.is(alert.name())) {
            return Ok(true);
        }
    }
    println!("{} did not arrive in time", rehearsal.expected);
    Ok(false)
}

fn told(receiver: &str, notification: &Notification, after: Option<Duration>) {
    let of = notification
        .group_labels
        .get("network")
        .map_or("none", String::as_str);
    match after {
        Some(after) => println!(
            "\n{:.1} s after the fault, to {receiver}, of network {of}:",
            after.as_secs_f64()
        ),
        None => println!("\nbefore the fault, to {receiver}, of network {of}:"),
    }
    notification.alerts.iter().for_each(show);
}

fn show(alert: &Alert) {
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
    for name in ["summary", "description", "runbook_url"] {
        if let Some(text) = alert.annotations.get(name) {
            println!("    {text}");
        }
    }
}
