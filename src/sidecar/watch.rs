//! Reads the host at each peer's own interval, beside its polls: a task a peer, what blocks in threads.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Peer, Sidecar};
use crate::reloadable_tasks::ReloadableTasks;

use super::process::{Host, ProcessReader};
use super::reading::{Reading, Unavailable};
use super::store;

/// Takes a reading for the peer as it was configured when it was read.
type Publish = Arc<dyn Fn(&Peer, Reading) + Send + Sync>;

/// The peers whose process runs on this host, a task each.
pub struct Sidecars {
    publish: Publish,
    tasks: ReloadableTasks,
}

impl fmt::Debug for Sidecars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sidecars")
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

impl Sidecars {
    /// Reads nothing yet; ends with `stop`. What is read goes to `publish`.
    #[must_use]
    pub fn new(
        publish: impl Fn(&Peer, Reading) + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> Self {
        Self {
            publish: Arc::new(publish),
            tasks: ReloadableTasks::new(stop),
        }
    }

    /// Makes the peers those of `config` that have a `sidecar`.
    pub fn apply(&mut self, config: &Config) {
        self.tasks.restart();
        for peer in &config.peers {
            let Some(sidecar) = peer.sidecar.clone() else {
                continue;
            };
            let reading = read(
                Arc::clone(peer),
                sidecar,
                Host::default(),
                self.publish.clone(),
            );
            self.tasks.start(reading);
        }
    }

    /// Waits until all tasks have ended; `stop` must be cancelled.
    pub async fn drained(self) {
        self.tasks.drained().await;
    }
}

/// Process and store apart: a disk that hangs must not hide the process that hangs on it.
async fn read(peer: Arc<Peer>, sidecar: Sidecar, host: Host, publish: Publish) {
    let (pids, pid) = watch::channel(None);
    let reader = ProcessReader::new(host.clone(), sidecar.process);
    let process = read_process(&peer, reader, pids, &publish);
    let store = async {
        if let Some(path) = sidecar.store {
            read_store(&peer, path, host, pid, &publish).await;
        }
    };
    tokio::join!(process, store);
}

fn ticks(peer: &Peer) -> Interval {
    let mut ticks = interval(peer.polling.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn read_process(
    peer: &Peer,
    mut reader: ProcessReader,
    pids: watch::Sender<Option<i32>>,
    publish: &Publish,
) {
    let mut ticks = ticks(peer);
    let mut told = Unavailable::new();
    loop {
        ticks.tick().await;
        let mut at_work = reader.clone();
        let read = spawn_blocking(move || {
            let reading = at_work.read();
            (at_work, reading)
        });
        let reading = match read.await {
            Ok((after, reading)) => {
                reader = after;
                reading
            }
            Err(error) => {
                tracing::error!(peer.name = %peer.name, %error, "the peer's process could not be read");
                continue;
            }
        };
        if let Some(pid) = reading.pid
            && *pids.borrow() != Some(pid)
        {
            tracing::info!(peer.name = %peer.name, process.pid = pid, "the peer's process is found");
        }
        tell(peer, &mut told, &reading.unavailable);
        pids.send_replace(reading.pid);
        publish(peer, Reading::Process(reading));
    }
}

async fn read_store(
    peer: &Peer,
    path: PathBuf,
    host: Host,
    mut pid: watch::Receiver<Option<i32>>,
    publish: &Publish,
) {
    // Whose root directory to look in is known with the first reading of the process.
    if pid.changed().await.is_err() {
        return;
    }
    let mut ticks = ticks(peer);
    let mut told = Unavailable::new();
    loop {
        ticks.tick().await;
        let root = pid.borrow().map(|pid| host.root_of(pid));
        let path = path.clone();
        let read = spawn_blocking(move || store::read(&path, root.as_deref()));
        match read.await {
            Ok(reading) => {
                tell(peer, &mut told, &reading.unavailable);
                publish(peer, Reading::Store(reading));
            }
            Err(error) => {
                tracing::error!(peer.name = %peer.name, %error, "the peer's store could not be looked at");
            }
        }
    }
}

/// Says what cannot be read, once, and what can be again.
fn tell(peer: &Peer, told: &mut Unavailable, now: &Unavailable) {
    for (what, why) in now {
        if told.get(what) != Some(why) {
            tracing::warn!(peer.name = %peer.name, what, %why, "the host does not show this of the peer");
        }
    }
    for what in told.keys().filter(|what| !now.contains_key(*what)) {
        tracing::info!(peer.name = %peer.name, what, "the host shows this of the peer again");
    }
    told.clone_from(now);
}
