//! Writes log lines in a thread of its own: a log that nobody reads, a full disk or a lost reader
//! costs lines and nothing else. (`tracing-appender` counts no failed writes, and its last flush
//! can block on standard output.)

use std::io::{self, Write};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing_subscriber::fmt::MakeWriter;

/// Most lines that wait to be written; further ones are dropped.
const MAX_QUEUED: usize = 4096;

/// Pause before a flush looks again whether there is room in the queue.
const FLUSH_RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Lines that were not written, by all writers of the process.
static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let name = "convex_monitor_log_lines_dropped_total";
    let help = "Log lines that could not be written, or were dropped because too many waited.";
    IntCounter::new(name, help).expect("the name and the text are valid")
});

/// Returns the counter of lines that were not written.
#[must_use]
pub(super) fn dropped_lines() -> IntCounter {
    DROPPED.clone()
}

/// Queues lines for the thread that writes them. Never blocks and never fails.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(SyncSender<Message>);

enum Message {
    Line(Vec<u8>),
    /// Answered once everything queued before is written.
    Flush(oneshot::Sender<()>),
}

impl LogWriter {
    /// Starts the thread, which writes to `output`.
    pub(super) fn start(output: impl Write + Send + 'static) -> Self {
        let (queue, messages) = sync_channel(MAX_QUEUED);
        thread::spawn(move || write_all(&messages, output));
        Self(queue)
    }

    /// Waits until everything is written, at most for `limit`.
    pub(super) async fn flush(&self, limit: Duration) {
        let flushed = async {
            loop {
                let (done, flushed) = oneshot::channel();
                if self.0.try_send(Message::Flush(done)).is_ok() {
                    return flushed.await.unwrap_or_default();
                }
                sleep(FLUSH_RETRY_PAUSE).await;
            }
        };
        timeout(limit, flushed).await.unwrap_or_default();
    }
}

fn write_all(messages: &Receiver<Message>, mut output: impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => {
                if output
                    .write_all(&line)
                    .and_then(|()| output.flush())
                    .is_err()
                {
                    DROPPED.inc();
                }
            }
            // Fails if the caller no longer waits.
            Message::Flush(done) => done.send(()).unwrap_or_default(),
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Message::Line(line.to_vec())).is_err() {
            DROPPED.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// An output that sends what is written, once it is allowed to.
    struct Gate {
        open: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // Stays open once the other end is dropped.
            self.open.recv().unwrap_or_default();
            let text = String::from_utf8(line.to_vec()).unwrap();
            if text.contains("fails") {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.send(text).unwrap();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_output_that_hangs_or_fails_costs_lines_and_nothing_else() {
        let (gate, open) = channel();
        let (written, lines) = channel();
        let mut writer = LogWriter::start(Gate { open, written });
        let before = DROPPED.get();
        // The thread holds at most one more line.
        for line in 0..MAX_QUEUED + 10 {
            writer.write_all(format!("{line}").as_bytes()).unwrap();
        }
        let dropped = DROPPED.get() - before;
        assert!((9..=10).contains(&dropped), "{dropped}");
        writer.flush(Duration::from_millis(1)).await;
        drop(gate);
        writer.flush(Duration::from_secs(20)).await;
        let kept = MAX_QUEUED + 10 - usize::try_from(dropped).unwrap();
        let expected: Vec<String> = (0..kept).map(|line| line.to_string()).collect();
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), expected);

        for line in ["fails", "works"] {
            writer.write_all(line.as_bytes()).unwrap();
        }
        writer.flush(Duration::from_secs(20)).await;
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["works"]);
        assert_eq!(DROPPED.get() - before, dropped + 1);
    }
}
