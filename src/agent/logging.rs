//! Logging to standard error: text on a terminal, JSON otherwise.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Readable text.
    Text,
    /// One JSON object per line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Plus warnings and state changes to worse.
    Warn,
    /// Plus recoveries.
    #[default]
    Info,
    /// Plus every poll.
    Debug,
    /// Everything, including the libraries.
    Trace,
}

/// Starts logging; must be called at most once.
pub fn init(format: Option<LogFormat>, level: LogLevel) {
    let filter = match level {
        LogLevel::Error => "error",
        // These libraries warn of what strangers send, as often as they do; the listener limits its
        // lines.
        LogLevel::Warn => "warn,h2=error,rustls=error",
        LogLevel::Info => "info,h2=error,rustls=error",
        LogLevel::Debug => "info,convex_peer_monitor=debug,h2=error,rustls=error",
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
