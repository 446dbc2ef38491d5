//! The listener: takes as many connections as there is room for, over TLS where it is configured, until the agent stops.

pub(super) mod activity;
pub(super) mod connection;
pub(super) mod gate;
pub(super) mod guard;
mod passwords;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use convex_client::{Failure, FailureReason};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use connection::Routes;
use gate::Connected;

/// Connections at a time.
const CONNECTIONS: usize = 512;

/// Further ones, for who asks whether the agent lives; everybody else is told on them to come again.
const SPARE: usize = 16;

/// How long each of these lasts: who is silent on all of them keeps no health check away for longer.
const HURRY: Duration = Duration::from_secs(2);

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Descriptors kept aside for clients, for when polls have taken all others: who asks whether the agent lives is answered then as well.
const ASIDE: usize = 4;

/// After a failed accept: descriptors do not come back at once.
const PAUSE: Duration = Duration::from_secs(1);

/// The first byte of a TLS connection: that of a handshake.
const TLS_HANDSHAKE: u8 = 22;

const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 48\r\n\
    Connection: close\r\n\r\nthis listener speaks TLS: use https, not http.\r\n";

/// Serves the routes until their `stop`, then until the requests under way are answered.
pub(in crate::web) async fn serve(listener: TcpListener, routes: Routes) {
    let mut room = Room::new(CONNECTIONS, SPARE);
    let connections = TaskTracker::new();
    let aside = Arc::new(Aside::default());
    // Whether the next connection gets what was kept aside.
    let mut lack = false;
    loop {
        if !lack {
            aside.fill();
        }
        let accepted = tokio::select! {
            biased;
            () = routes.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let place = if lack {
                    room.spare_place()
                } else {
                    room.place()
                };
                lack = false;
                if let Some(place) = place {
                    let (routes, aside) = (routes.clone(), Arc::clone(&aside));
                    connections.spawn(async move {
                        take(stream, place, routes).await;
                        aside.fill();
                    });
                }
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) if is_lack(&error) && aside.give_one() => lack = true,
            Err(error) => {
                tracing::error!(%error, "a connection could not be taken");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether the client is gone before it was taken.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Whether there is no descriptor left.
fn is_lack(error: &io::Error) -> bool {
    Failure::from_io(error).reason == FailureReason::Local
}

/// The descriptors kept aside.
#[derive(Default)]
struct Aside(Mutex<Vec<OwnedFd>>);

impl Aside {
    /// Takes what is missing, as copies of one that is always open, as far as the system grants it.
    fn fill(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() < ASIDE {
            let Ok(copy) = io::stderr().as_fd().try_clone_to_owned() else {
                return;
            };
            kept.push(copy);
        }
    }

    /// Lets one go, for a connection that waits.
    fn give_one(&self) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().is_some()
    }
}

/// Places for connections.
struct Room {
    ordinary: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    /// Whether it was full at the last connection.
    full: bool,
}

/// A place for one connection.
struct Place {
    crowded: bool,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    fn new(ordinary: usize, spare: usize) -> Self {
        Self {
            ordinary: Arc::new(Semaphore::new(ordinary)),
            spare: Arc::new(Semaphore::new(spare)),
            full: false,
        }
    }

    fn place(&mut self) -> Option<Place> {
        let ordinary = Arc::clone(&self.ordinary).try_acquire_owned();
        let crowded = ordinary.is_err();
        if crowded && !self.full {
            tracing::warn!(
                CONNECTIONS,
                "the listener is full; who comes is told to come again"
            );
        }
        self.full = crowded;
        let Ok(permit) = ordinary else {
            return self.spare_place();
        };
        Some(Place {
            crowded,
            _permit: permit,
        })
    }

    fn spare_place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.spare).try_acquire_owned().ok()?;
        Some(Place {
            crowded: true,
            _permit: permit,
        })
    }
}

/// Serves one connection for as long as its place allows.
async fn take(stream: TcpStream, place: Place, routes: Routes) {
    let serving = connection(stream, place.crowded, routes);
    if !place.crowded {
        serving.await;
    } else if timeout(HURRY, serving).await.is_err() {
        tracing::debug!("a connection on a spare place is cut after {HURRY:?}");
    }
}

/// Serves one connection.
async fn connection(mut stream: TcpStream, crowded: bool, routes: Routes) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone when it was taken");
        return;
    }
    let terms = routes.gate.terms();
    let mut connected = Connected {
        certificate: false,
        crowded,
    };
    let Some(certificates) = &terms.certificates else {
        return connection::serve(stream, connected, routes, terms).await;
    };
    let shaking = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
            stream.write_all(PLAIN).await?;
            return Err(io::Error::other("the client speaks no TLS"));
        }
        let acceptor = TlsAcceptor::from(certificates.server().await);
        acceptor.accept(stream).await
    };
    match timeout(HANDSHAKE, shaking).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            connected.certificate = shown.is_some_and(|certificates| !certificates.is_empty());
            connection::serve(stream, connected, routes, terms).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a client was not let in"),
        Err(_) => tracing::debug!("a client did not complete the TLS handshake in {HANDSHAKE:?}"),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config;
    use crate::config::active::ActiveConfig;
    use crate::web::listener::gate::Gate;

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_on_a_spare_place_loses_it_soon() {
        let current = Arc::new(ActiveConfig::new(config::embedded()));
        let routes = Routes {
            app: Router::new(),
            gate: Arc::new(Gate::new(current, true, "".into())),
            stop: CancellationToken::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut room = Room::new(0, 1);
        let place = room.place().unwrap();
        let since = Instant::now();
        take(stream, place, routes).await;
        assert!(since.elapsed() <= HURRY * 2);
        assert!(room.place().is_some(), "the place is free again");
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[test]
    fn what_is_kept_aside_is_given_to_so_many_and_taken_again() {
        let aside = Aside::default();
        assert!(!aside.give_one(), "nothing is kept yet");
        aside.fill();
        aside.fill();
        assert_eq!((0..99).filter(|_| aside.give_one()).count(), ASIDE);
        aside.fill();
        assert!(aside.give_one());
        assert!(is_lack(&io::Error::from_raw_os_error(24)));
        assert!(!is_lack(&io::Error::other("a client's trouble")));
    }

    #[test]
    fn a_full_room_has_some_spare_places_and_then_none() {
        let mut room = Room::new(2, 1);
        let mut places: Vec<_> = std::iter::from_fn(|| room.place()).collect();
        let crowded: Vec<_> = places.iter().map(|place| place.crowded).collect();
        assert_eq!(crowded, [false, false, true]);
        places.remove(0);
        assert!(room.place().is_some_and(|place| !place.crowded));
    }
}
