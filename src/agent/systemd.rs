//! Notifies a service manager as in `sd_notify(3)`, and takes the sockets that it passes; does
//! nothing when there is none.

use std::env;
use std::io;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::supervisor::liveness::Liveness;
use crate::web::Listener;

/// `FileDescriptorName` of the socket of the status page.
const STATUS_SOCKET: &str = "status";

/// Sockets that a service manager passed, as in `sd_listen_fds(3)`.
#[derive(Default)]
pub struct PassedSockets {
    /// For the agent's own pages, metrics and API.
    pub own: Option<PassedSocket>,
    /// For the status page.
    pub status: Option<PassedSocket>,
}

/// A listening socket that a service manager passed.
#[derive(Debug)]
pub enum PassedSocket {
    /// A TCP socket.
    Tcp(std::net::TcpListener),
    /// A Unix socket, whose file belongs to the service manager.
    Unix(std::os::unix::net::UnixListener),
}

impl PassedSockets {
    /// Takes the sockets. Changes the environment, so no other thread may run yet.
    ///
    /// # Errors
    /// A descriptor is not a listening stream socket, or there are more sockets than uses.
    pub fn take() -> io::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let (place, purpose) = if name == STATUS_SOCKET {
                (&mut sockets.status, "the status page")
            } else {
                (&mut sockets.own, "the agent")
            };
            if place.is_some() {
                return Err(io::Error::other(format!(
                    "the service manager passed two sockets for {purpose}; pass one, and one with \
                     `FileDescriptorName={STATUS_SOCKET}` for the status page"
                )));
            }
            *place = match passed.take_unix_listener(index) {
                Ok(socket) => socket.map(PassedSocket::Unix),
                Err(_) => passed.take_tcp_listener(index)?.map(PassedSocket::Tcp),
            };
        }
        Ok(sockets)
    }
}

impl PassedSocket {
    /// Makes it a listener of the runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn into_listener(self) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(socket)?.into()
            }
            Self::Unix(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(socket)?.into()
            }
        })
    }
}

/// Notifies that the agent serves, or serves again after a reload; `systemctl status` shows
/// `status`.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Notifies that a reload has begun; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::warn!(%error, "cannot notify the service manager of the reload");
        }
    }
}

/// Notifies that the agent is stopping.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the service manager's watchdog as long as the event loop runs and no part of the agent is
/// stuck; never returns.
pub async fn feed_watchdog(liveness: Liveness) {
    let feed = || {
        if liveness.stuck().is_empty() {
            notify(&[NotifyState::Watchdog]);
        }
    };
    match sd_notify::watchdog_enabled() {
        Some(limit) => notify_every(limit / 2, feed).await,
        None => std::future::pending().await,
    }
}

/// Runs as a task rather than a thread: only what runs on the event loop proves that it is alive.
async fn notify_every(period: Duration, notify: impl Fn()) {
    // `interval` panics on a period of zero.
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        notify();
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

    use tokio::time::timeout;

    use super::*;

    /// Lets the event loop run until a notification arrives.
    async fn next(received: &Receiver<()>) {
        let receiving = async {
            while received.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), receiving).await.unwrap();
    }

    #[tokio::test]
    async fn the_watchdog_is_fed_while_the_event_loop_runs_and_not_while_it_hangs() {
        let period = Duration::from_millis(10);
        let (sent, received) = channel();
        let feeding = tokio::spawn(notify_every(period, move || sent.send(()).unwrap()));
        for _ in 0..3 {
            next(&received).await;
        }
        while received.try_recv().is_ok() {}
        // Blocking without `await` hangs the event loop of this test.
        let hung = received.recv_timeout(20 * period);
        assert_eq!(hung, Err(RecvTimeoutError::Timeout));
        next(&received).await;
        feeding.abort();
    }
}
