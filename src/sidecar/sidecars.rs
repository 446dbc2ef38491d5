//! Runs one task per peer, which reads the host at the peer's interval, independently of its polls.
//! Blocking reads run in threads.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::{Config, Peer};
use crate::supervisor::{Supervisor, TaskSet};

#[cfg(target_os = "linux")]
use super::host::HostDirs;
#[cfg(not(target_os = "linux"))]
use super::not_linux::{HostDirs, ProcessReader};
#[cfg(target_os = "linux")]
use super::process::ProcessReader;
use super::reading::{Reading, Unavailable};
use super::store;

/// Receives each reading, with the configuration that the peer had at the time.
type Publish = Arc<dyn Fn(&Peer, Reading) + Send + Sync>;

/// The tasks of all peers that run on this host.
pub struct Sidecars {
    publish: Publish,
    tasks: TaskSet<Arc<Peer>>,
}

impl fmt::Debug for Sidecars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sidecars")
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

impl Sidecars {
    /// Creates an empty set. Readings go to `publish`.
    #[must_use]
    pub fn new(
        publish: impl Fn(&Peer, Reading) + Send + Sync + 'static,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            publish: Arc::new(publish),
            tasks: TaskSet::new(supervisor),
        }
    }

    /// Replaces the tasks by those of the peers of `config` with a `sidecar`.
    pub fn apply(&mut self, config: &Config) {
        let peers = config.peers.iter().filter(|peer| peer.sidecar.is_some());
        let wanted = peers.map(|peer| (peer.name.clone(), Arc::clone(peer)));
        let publish = &self.publish;
        self.tasks.apply(wanted, |name, peer, supervisor| {
            let (peer, publish) = (Arc::clone(peer), Arc::clone(publish));
            supervisor.start(format!("sidecar of {name}"), move || {
                measure(Arc::clone(&peer), HostDirs::default(), Arc::clone(&publish))
            });
        });
    }
}

/// Measures the process and the store separately, so that a disk that hangs does not hide the
/// process that waits for it.
async fn measure(peer: Arc<Peer>, host: HostDirs, publish: Publish) {
    let Some(sidecar) = peer.sidecar.clone() else {
        return std::future::pending().await;
    };
    let (pids, pid) = watch::channel(None);
    let reader = ProcessReader::new(host.clone(), sidecar.process);
    let process = measure_process(&peer, reader, pids, &publish);
    let store = async {
        if let Some(path) = sidecar.store {
            measure_store(&peer, path, host, pid, &publish).await;
        }
    };
    tokio::join!(process, store);
}

fn ticks(peer: &Peer) -> Interval {
    let mut ticks = interval(peer.polling.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn measure_process(
    peer: &Peer,
    mut reader: ProcessReader,
    pids: watch::Sender<Option<i32>>,
    publish: &Publish,
) {
    let mut ticks = ticks(peer);
    let mut logged = Unavailable::new();
    loop {
        ticks.tick().await;
        let mut moved = reader.clone();
        let read = spawn_blocking(move || {
            let reading = moved.read();
            (moved, reading)
        });
        let reading = match read.await {
            Ok((returned, reading)) => {
                reader = returned;
                reading
            }
            Err(error) => {
                tracing::error!(peer.name = %peer.name, %error, "reading the peer's process panicked");
                continue;
            }
        };
        if let Some(pid) = reading.pid
            && *pids.borrow() != Some(pid)
        {
            tracing::info!(peer.name = %peer.name, process.pid = pid, "found the peer's process");
        }
        log_changes(peer, &mut logged, &reading.unavailable);
        pids.send_replace(reading.pid);
        publish(peer, Reading::Process(Box::new(reading)));
    }
}

async fn measure_store(
    peer: &Peer,
    path: PathBuf,
    host: HostDirs,
    mut pid: watch::Receiver<Option<i32>>,
    publish: &Publish,
) {
    // The first reading of the process shows whose root directory to look in.
    if pid.changed().await.is_err() {
        return;
    }
    let mut ticks = ticks(peer);
    let mut logged = Unavailable::new();
    loop {
        ticks.tick().await;
        let root = pid.borrow().map(|pid| host.root_of(pid));
        let path = path.clone();
        let read = spawn_blocking(move || store::read(&path, root.as_deref()));
        match read.await {
            Ok(reading) => {
                log_changes(peer, &mut logged, &reading.unavailable);
                publish(peer, Reading::Store(reading));
            }
            Err(error) => {
                tracing::error!(peer.name = %peer.name, %error, "reading the peer's store panicked");
            }
        }
    }
}

/// Logs which fields became unavailable and which are available again, compared with those logged
/// before.
fn log_changes(peer: &Peer, logged: &mut Unavailable, now: &Unavailable) {
    for (what, why) in now {
        if logged.get(what) != Some(why) {
            tracing::warn!(peer.name = %peer.name, what, %why, "cannot read this of the peer from the host");
        }
    }
    for what in logged.keys().filter(|what| !now.contains_key(*what)) {
        tracing::info!(peer.name = %peer.name, what, "can read this of the peer from the host again");
    }
    logged.clone_from(now);
}
