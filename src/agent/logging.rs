//! Logging to standard error. Nothing waits for it, and its failures are only counted.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::panic;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::supervisor::panic_message;

use super::log_writer::LogWriter;

/// Longest time that the end of the process waits for its last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Readable text. In the journal of systemd each line has its priority.
    #[default]
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
pub fn init(format: LogFormat, level: LogLevel) {
    let filter = match level {
        LogLevel::Error => "error",
        // These libraries warn of what strangers send, as often as they do; the listener limits its
        // lines.
        LogLevel::Warn => "warn,h2=error,rustls=error",
        LogLevel::Info => "info,h2=error,rustls=error",
        LogLevel::Debug => "info,convex_peer_monitor=debug,h2=error,rustls=error",
        LogLevel::Trace => "trace",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(WRITER.get_or_init(|| LogWriter::start(stderr())).clone())
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal());
    match format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text if is_journal() => {
            let text = Format::default().without_time().with_ansi(false);
            builder.event_format(WithPriority(text)).init();
        }
        LogFormat::Text => builder.init(),
    }
    panic::set_hook(Box::new(|panic| {
        let message = panic_message(panic.payload());
        let location = panic.location().map(ToString::to_string);
        tracing::error!(message, location, "the program panicked");
    }));
}

/// Waits until everything logged so far is written, at most for a second.
pub async fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(FLUSH_TIMEOUT).await;
    }
}

/// Whether standard error goes to the journal, as `systemd.exec(5)` describes.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    fstat(stderr()).is_ok_and(|file| named == format!("{}:{}", file.st_dev, file.st_ino))
}

/// Begins each line with its priority, as in `sd-daemon(3)`. The journal has the time itself.
struct WithPriority(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for WithPriority
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}
