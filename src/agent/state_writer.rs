//! Restores the saved state at startup and saves it when it changes. A disk that fails never stops
//! the monitoring.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::alerting::SaveRequest;
use crate::alerting::delivery::{Outbox, PersistedOutbox};
use crate::fleet::{Fleet, Rename};

use super::state_file::{FILE_NAME, Found, Quarantined, State, StateError, StateFile};

/// How often the writer looks for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);

/// How often the state is saved if only timestamps in it have changed.
const TIMESTAMPS_INTERVAL: Duration = Duration::from_secs(30);

/// How long a save waits for verdicts that include everything recorded before it.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the startup waits for the disk.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The owners of the state.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The fleet.
    pub fleet: Arc<Fleet>,
    /// The outbox of notifications.
    pub outbox: Arc<Outbox>,
}

/// Saves the state to a directory.
#[derive(Debug)]
pub struct StateWriter {
    dir: PathBuf,
    opening: JoinHandle<(Result<StateFile, StateError>, Found)>,
    opened: Option<Result<StateFile, StateError>>,
}

impl StateWriter {
    /// Opens the directory and restores the saved state into `parts`. Waits for the disk for at
    /// most 5 s. Also returns which peers had other names when the state was saved.
    pub async fn start(dir: PathBuf, parts: &Parts) -> (Self, Vec<Rename>) {
        let to_open = dir.clone();
        let mut opening = tokio::task::spawn_blocking(move || match StateFile::open(&to_open) {
            Ok(file) => {
                let found = file.read();
                (Ok(file), found)
            }
            Err(error) => (Err(error), Found::default()),
        });
        let (mut opened, mut renames) = (None, Vec::new());
        match timeout(OPEN_TIMEOUT, &mut opening).await {
            Ok(Ok((file, found))) => {
                log_found(&dir, &found);
                if let Some(state) = found.state {
                    let State {
                        fleet,
                        notifications,
                    } = state;
                    parts.outbox.restore(notifications);
                    renames = parts.outbox.rename_with(|| parts.fleet.restore(fleet));
                }
                opened = Some(file);
            }
            Ok(Err(error)) => tracing::error!(%error, "reading the state file failed"),
            Err(_) => tracing::warn!(
                state_dir = %dir.display(),
                "the disk did not respond within {OPEN_TIMEOUT:?}; starting without the saved state"
            ),
        }
        let writer = Self {
            dir,
            opening,
            opened,
        };
        (writer, renames)
    }

    /// Saves the state of `parts` when it has changed, immediately on a request, and once more
    /// after `stop`.
    pub async fn run(
        self,
        parts: Parts,
        mut requests: mpsc::Receiver<SaveRequest>,
        stop: CancellationToken,
    ) {
        let file = match self.opened {
            Some(opened) => opened,
            None => match self.opening.await {
                Ok((file, _)) => file,
                Err(_) => StateFile::open(&self.dir),
            },
        };
        let mut writer = WriterState::new(self.dir);
        match file {
            Ok(file) => writer.file = Some(file),
            Err(error) => writer.log_failure(&error),
        }
        let mut request: Option<SaveRequest> = None;
        loop {
            let last = stop.is_cancelled();
            if !last {
                let judged = timeout(VERDICT_TIMEOUT, parts.fleet.all_judged());
                stop.run_until_cancelled(judged).await;
            }
            let parts = parts.clone();
            let dir = writer.dir.clone();
            let saved = tokio::task::spawn_blocking(move || {
                if last {
                    // Those who judge end with the stop.
                    parts.fleet.judge_all();
                }
                writer.save(&parts, last);
                writer
            });
            writer = saved.await.unwrap_or_else(|error| {
                tracing::error!(%error, "saving the state panicked; it is tried again");
                WriterState::new(dir)
            });
            if let Some(request) = request.take()
                && request.send(()).is_err()
            {
                tracing::debug!("the requester of a save no longer waits for it");
            }
            if last {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(CHECK_INTERVAL) => {}
                Some(next) = requests.recv() => request = Some(next),
            }
        }
    }
}

/// What the writing task keeps from one save to the next.
struct WriterState {
    dir: PathBuf,
    file: Option<StateFile>,
    saved: Option<Saved>,
    failing: bool,
}

/// A summary of what the file holds, to see whether it is out of date.
struct Saved {
    /// Changes with everything but timestamps.
    substance: u64,
    /// Changes with timestamps too.
    fleet: u64,
    notifications: PersistedOutbox,
    at: Instant,
}

impl WriterState {
    const fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            file: None,
            saved: None,
            failing: false,
        }
    }

    /// Saves the state of `parts` if it is due; with `last`, if anything has changed. Blocks.
    fn save(&mut self, parts: &Parts, last: bool) {
        let (substance, notifications) =
            (parts.fleet.significant_fingerprint(), parts.outbox.export());
        let same = self
            .saved
            .as_ref()
            .filter(|saved| saved.substance == substance && saved.notifications == notifications);
        if same.is_some_and(|saved| !last && saved.at.elapsed() < TIMESTAMPS_INTERVAL) {
            return;
        }
        let state = State {
            fleet: parts.fleet.export(),
            notifications,
        };
        let fleet = state.fleet.fingerprint();
        if same.is_some_and(|saved| saved.fleet == fleet) {
            return;
        }
        let opened = match self.file.take() {
            Some(file) => Ok(file),
            None => StateFile::open(&self.dir),
        };
        let outcome = opened.and_then(|file| self.file.insert(file).write(&state));
        match outcome {
            Ok(()) => {
                if self.failing {
                    tracing::info!(state_dir = %self.dir.display(), "the state is saved again");
                }
                self.failing = false;
                self.saved = Some(Saved {
                    substance,
                    fleet,
                    notifications: state.notifications,
                    at: Instant::now(),
                });
            }
            Err(error) => {
                // The directory may have been replaced by another one.
                self.file = None;
                self.log_failure(&error);
            }
        }
    }

    /// Logs that the state cannot be saved, once until it can be again.
    fn log_failure(&mut self, error: &StateError) {
        if !self.failing {
            tracing::warn!(
                %error,
                "cannot save the state; monitoring continues, but a restart loses what was \
                 learned since"
            );
        }
        self.failing = true;
    }
}

fn log_found(dir: &Path, found: &Found) {
    if let Some(Quarantined { why, to }) = &found.quarantined {
        let kept_as = to.as_ref().map(|to| to.display().to_string());
        tracing::warn!(
            file = %dir.join(FILE_NAME).display(), %why, kept_as,
            "the state file is unusable and was set aside; starting without the saved state"
        );
    }
    if let Some(state) = &found.state {
        tracing::info!(
            state_dir = %dir.display(),
            peers = state.fleet.peers.len(),
            "restored the saved state"
        );
    }
}
