//! The command line: parses it and runs a command.

mod agent_url;
mod args;
pub mod check_config;
pub mod decode;
mod evidence;
mod healthcheck;
mod notify_test;
mod operate;
mod probe;
mod run;
mod runtime;
mod shell;
mod simulate;
mod terminal;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, Parser};
use rustix::fs::OFlags;
use rustix::io::Errno;
use signal_hook::consts::SIGHUP;
use signal_hook::flag::register_conditional_default;

use crate::agent::AgentMetrics;
use crate::config::{self, Config};
use crate::metrics;

use args::{CheckArgs, Cli, Command, DecodeArgs};
use runtime::runtime;

/// Exit code for an invalid configuration.
const BAD_CONFIG: u8 = 2;

/// Exit code of `probe` for an invalid command line (`sysexits.h`); its other codes are the health
/// of peers.
const USAGE: u8 = 64;

/// Parses the command line, runs the command and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // A service manager may ask for a reload at any time. Until `run` handles that, there is
    // nothing to reload, and the default is to end the process.
    let hangup_ends = Arc::new(AtomicBool::new(false));
    let handled = register_conditional_default(SIGHUP, Arc::clone(&hangup_ends));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let runs = matches!(cli.command, None | Some(Command::Run(_)));
    hangup_ends.store(!runs, Ordering::Relaxed);
    if let Err(error) = handled {
        drop(writeln!(io::stderr(), "cannot handle SIGHUP: {error}"));
    }
    let result = match cli.command {
        None => run::run(cli.run),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::CheckConfig(args)) => check_config(&args),
        Some(Command::Probe(args)) => probe::probe(args),
        Some(Command::Decode(args)) => decode(&args),
        Some(Command::Evidence(args)) => evidence::evidence(args),
        Some(Command::Ack(args)) => operate::ack(&args),
        Some(Command::Silence(args)) => operate::silence(&args),
        Some(Command::Maintenance(args)) => operate::maintenance(args),
        Some(Command::Actions(args)) => operate::actions(&args),
        Some(Command::Status(args)) => operate::status(args),
        Some(Command::Incident(args)) => operate::incident(args),
        Some(Command::Simulate(args)) => simulate::simulate(&args),
        Some(Command::NotifyTest(args)) => notify_test::notify_test(args),
        Some(Command::Healthcheck(args)) => healthcheck::healthcheck(&args),
        Some(Command::MetricsReference) => print(&metrics::reference()),
        Some(Command::Completions(args)) => shell::completions(args.shell),
        Some(Command::Man(args)) => shell::man(args.dir.as_deref()),
    };
    result.unwrap_or_else(|error| {
        // `#` prints the whole chain of causes on one line.
        drop(writeln!(io::stderr(), "convex-peer-monitor: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Returns the definition of the command line, to generate completions and manual pages.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Prints help, version or a usage error, and returns the exit code. `probe` must not report a typo
/// as the health of a peer.
fn usage(error: &clap::Error) -> ExitCode {
    // If this cannot be printed, neither can an error about it.
    drop(error.print());
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if std::env::args_os()
            .nth(1)
            .is_some_and(|first| first == "probe") =>
        {
            ExitCode::from(USAGE)
        }
        _ => ExitCode::from(BAD_CONFIG),
    }
}

fn check_config(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    if args.schema {
        return print(&format!("{:#}\n", config::schema()));
    }
    let options = check_config::Options {
        print: args.print,
        json: args.json,
        shard: args.shard.unwrap_or_default(),
    };
    let agent_metrics = AgentMetrics::new()?;
    let series = |config: &Config| {
        agent_metrics
            .delivery
            .set_receivers(config.notify.receivers());
        metrics::estimate_series(config, &agent_metrics.registry)
    };
    let valid = check_config::run(
        &args.files,
        options,
        &series,
        &mut UntilClosed::new(io::stdout().lock()),
        &mut io::stderr().lock(),
    )?;
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BAD_CONFIG)
    })
}

fn decode(args: &DecodeArgs) -> anyhow::Result<ExitCode> {
    let options = decode::Options {
        frame: args.frame,
        json: args.json,
    };
    let input = (args.input != "-").then_some(args.input.as_str());
    let all_decoded = decode::run(input, io::stdin().lock(), io::stdout().lock(), options)?;
    Ok(if all_decoded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints a text. A reader that closes its end early (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    UntilClosed::new(io::stdout().lock()).write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// An output that its reader may close early; what is written after that is dropped.
struct UntilClosed<W> {
    output: W,
    is_closed: bool,
}

impl<W: Write> UntilClosed<W> {
    const fn new(output: W) -> Self {
        Self {
            output,
            is_closed: false,
        }
    }

    fn unless_closed(&mut self, result: io::Result<usize>, otherwise: usize) -> io::Result<usize> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(otherwise)
            }
            result => result,
        }
    }
}

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Ok(bytes.len());
        }
        let written = self.output.write(bytes);
        self.unless_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.output.flush().map(|()| 0);
        self.unless_closed(flushed, 0).map(drop)
    }
}

/// Writes a file, but not through a symbolic link, which another user may have put there.
fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    let opened = options.custom_flags(no_follow).open(path);
    let mut file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => io::Error::other("it is a symbolic link; name the file itself"),
        _ => error,
    })?;
    file.write_all(content)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::shard::Shard;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, page) = (dir.path().join("victim"), "convex-peer-monitor-run.1");
        for link in ["sim.yml", page] {
            symlink(&victim, dir.path().join(link)).unwrap();
        }
        let error = write_file(&dir.path().join("sim.yml"), b"x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "it is a symbolic link; name the file itself"
        );
        assert!(shell::man(Some(dir.path())).is_err());
        assert!(!victim.exists());
        for _ in 0..2 {
            write_file(&victim, b"new").unwrap();
        }
        assert_eq!(fs::read(victim).unwrap(), b"new");
    }

    #[test]
    fn run_is_the_default_command() {
        let cli =
            Cli::try_parse_from(["convex-peer-monitor", "--config", "x.yml", "--shard", "2/3"])
                .unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.shard.map(Shard::numbers), Some((2, 3)));
    }
}
