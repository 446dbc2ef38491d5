//! Logs on standard error: text on a terminal, JSON otherwise.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// What must be looked at.
    Error,
    /// Also changes for the worse.
    Warn,
    /// Also changes for the better.
    #[default]
    Info,
    /// Also single polls.
    Debug,
    /// Everything, of the libraries too.
    Trace,
}

/// Starts logging. To be called once.
pub fn init(format: Option<LogFormat>, level: LogLevel) {
    let filter = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "info,convex_peer_monitor=debug",
        LogLevel::Trace => "trace",
    };
    let json = match format {
        Some(format) => format == LogFormat::Json,
        None => !stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    if json {
        builder.json().flatten_event(true).init();
    } else {
        builder.init();
    }
}
