//! `probe --canary`: one round of the canary of each network, with the checks that the agent makes.
//! It uses the ledger of the agent, so that it never spends anything twice.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use convex_client::chain::economics::cvm;
use prometheus::Registry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::Source;
use crate::config::{self, Config, Network};
use crate::fleet::{CanaryRecord, Fleet, Seen};
use crate::history::History;
use crate::poller::{PeerCommands, ScheduleMetrics, Scheduler};
use crate::supervisor::Supervisor;
use crate::supervisor::liveness::Part;
use crate::survey::{CanarySurvey, CanaryTurn, NetworkSurvey, Surveyor};

use super::{BAD_CONFIG, UNKNOWN, print, runtime};

/// Exit code if a transaction was not executed.
const FAILED: u8 = 2;

/// Plays one round in each network with a canary, and prints what came of it.
pub(super) fn run(file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let source = Source {
        file: file.or_else(config::find),
        ..Source::default()
    };
    let config = match source.load() {
        Ok(config) => config,
        Err(errors) => {
            writeln!(io::stderr(), "{errors}")?;
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    let has_canary = |network: &Network| network.canary.is_some();
    if !config.networks.iter().any(has_canary) {
        writeln!(
            io::stderr(),
            "no network of the configuration has a `canary`; see docs/canary.md"
        )?;
        return Ok(ExitCode::from(BAD_CONFIG));
    }
    let runtime = runtime()?;
    let code = runtime.block_on(rounds(config));
    // A resolver that hangs must not delay the exit.
    runtime.shutdown_background();
    code.map(ExitCode::from)
}

/// Watches the networks as the agent does until the rounds are over.
async fn rounds(mut config: Config) -> anyhow::Result<u8> {
    config.networks.retain(|network| network.canary.is_some());
    let names: Vec<String> = config.networks.iter().map(|it| it.name.clone()).collect();
    config.peers.retain(|peer| names.contains(&peer.network));
    config.queries.clear();
    let fleet = Arc::new(Fleet::default());
    fleet.apply(&config);
    let supervisor = Supervisor::new(CancellationToken::new());
    let _stop = supervisor.stop().clone().drop_guard();
    let commands = Arc::new(PeerCommands::default());
    let metrics = ScheduleMetrics::register(&Registry::new())?;
    let polled = (Arc::clone(&fleet), Arc::clone(&commands));
    let mut scheduler = Scheduler::new(polled.0, polled.1, metrics, supervisor.clone());
    scheduler.apply(&config);
    for network in &names {
        let (judged, network) = (Arc::clone(&fleet), network.clone());
        let name = format!("verdict on {network}");
        let pulse = supervisor.liveness().pulse(Part::Verdicts, name.clone());
        supervisor.start(name, move || {
            Arc::clone(&judged).keep_judging(network.clone(), pulse.clone())
        });
    }
    let (scans, _) = mpsc::channel(1);
    let surveyor = Surveyor {
        fleet: Arc::clone(&fleet),
        commands: Arc::clone(&commands),
        scans,
        others_walked: Arc::default(),
        history: History::start(None, config.history.max_bytes).await,
    };
    let mut survey = NetworkSurvey::new(surveyor, supervisor.clone());
    survey.apply(&without_canaries(&config));

    let mut code = 0;
    for network in config.networks {
        let state_dir = config.state_dir.clone();
        let (Some(canary), Some(state_dir)) = (network.canary, state_dir) else {
            continue;
        };
        let (fleet, commands) = (Arc::clone(&fleet), Arc::clone(&commands));
        print(&format!("{}, account #{}\n", network.name, canary.account))?;
        let survey = CanarySurvey::new(fleet, network.name, canary, commands, state_dir);
        let mut printed = Ok(true);
        let record = survey
            .run_once(|turn| {
                code = code.max(code_of(&turn));
                if printed.is_ok() {
                    printed = print(&line(&turn));
                }
            })
            .await;
        printed?;
        if let Some(record) = record {
            print(&funds(&record))?;
        }
    }
    Ok(code)
}

/// The surveys that the canary needs, and not the canary itself: it makes a single round.
fn without_canaries(config: &Config) -> Config {
    let mut config = config.clone();
    for network in &mut config.networks {
        network.canary = None;
        network.discovery = None;
    }
    config
}

const fn code_of(turn: &CanaryTurn) -> u8 {
    match &turn.result {
        Some(result) if result.outcome.is_ok() => 0,
        Some(_) => FAILED,
        None => UNKNOWN,
    }
}

/// Formats what came of one turn: the stages, or why there are none.
fn line(turn: &CanaryTurn) -> String {
    let what = match turn.result.as_ref().map(|result| &result.outcome) {
        Some(Ok(executed)) => {
            let seen = match &executed.seen {
                None => "no other peer to see it at".to_owned(),
                Some(Seen {
                    peer,
                    after: Some(after),
                }) => format!("seen at {peer} after {:.3} s", after.as_secs_f64()),
                Some(Seen { peer, after: None }) => format!("not seen at {peer}"),
            };
            let result = executed.result.as_secs_f64();
            format!("executed, result after {result:.3} s, {seen}")
        }
        Some(Err((failure, text))) => format!("not executed, {failure}: {text}"),
        None => match (turn.refusal, turn.skip) {
            (Some(problem), _) => format!("refused, {}: {}", problem.as_str(), problem.meaning()),
            (None, Some(skip)) => format!("skipped, {}: {}", skip.as_str(), skip.meaning()),
            (None, None) => "nothing was sent".to_owned(),
        },
    };
    format!("  {}: {what}\n", turn.peer)
}

fn funds(record: &CanaryRecord) -> String {
    let Some(funds) = record.funds else {
        return String::new();
    };
    let coins = |copper: u64| cvm(copper.cast_signed());
    let (balance, spent) = (coins(funds.balance_copper), coins(funds.spent_today_copper));
    let budget = coins(record.daily_budget_copper);
    format!("  balance {balance} CVM; spent today {spent} of {budget} CVM\n")
}

#[cfg(test)]
mod tests {
    use convex_client::transaction::TransactionFailure;

    use crate::fleet::canary_example::{executed, failed};
    use crate::fleet::{CanaryProblem, CanarySkip};

    use super::*;

    #[test]
    fn a_turn_is_printed_with_its_stages_or_the_reason_and_decides_the_exit_code() {
        let turn = |result, skip, refusal| CanaryTurn {
            peer: "p".to_owned(),
            result,
            skip,
            refusal,
        };
        for (turn, text, code) in [
            (
                turn(Some(executed(2)), None, None),
                "  p: executed, result after 2.000 s, no other peer to see it at\n",
                0,
            ),
            (
                turn(Some(failed(TransactionFailure::Timeout)), None, None),
                "  p: not executed, timeout: as scripted\n",
                FAILED,
            ),
            (
                turn(None, Some(CanarySkip::Maintenance), None),
                "  p: skipped, maintenance: The peer is in maintenance.\n",
                UNKNOWN,
            ),
            (
                turn(
                    None,
                    Some(CanarySkip::Refused),
                    Some(CanaryProblem::NoAccount),
                ),
                "  p: refused, no_account: The account does not exist.\n",
                UNKNOWN,
            ),
        ] {
            assert_eq!((line(&turn).as_str(), code_of(&turn)), (text, code));
        }
    }
}
