//! Connects to the first address of a host that accepts. The addresses are tried as RFC 8305 says:
//! both families in turn, each a short while after the one before, and none waits for an earlier
//! one to fail.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::failure::{Failure, FailureReason};

/// Time after which the next address is tried beside those that have not answered ("Connection
/// Attempt Delay", RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of these addresses that accepts, by `deadline`. Returns the connection and
/// its address.
///
/// # Errors
/// No address accepts. The failure is the most specific one of all addresses.
pub(crate) async fn connect(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let several = addresses.len() > 1;
    let mut waiting = in_turns(addresses);
    let mut attempts = FuturesUnordered::new();
    let mut failure: Option<Failure> = None;
    loop {
        if let Some(address) = waiting.pop_front() {
            attempts.push(async move { (address, TcpStream::connect(address).await) });
        }
        let until = if waiting.is_empty() {
            deadline
        } else {
            deadline.min(Instant::now() + ATTEMPT_DELAY)
        };
        match timeout_at(until, attempts.next()).await {
            Ok(Some((address, Ok(stream)))) => return Ok((stream, address)),
            Ok(Some((address, Err(error)))) => {
                let found = failed(several.then_some(address), &error);
                failure = Some(found.or_more_specific(failure));
            }
            Err(_) if Instant::now() < deadline => {}
            Ok(None) | Err(_) => {
                let timed_out = "the peer did not accept the connection in time";
                return Err(failure
                    .unwrap_or_else(|| Failure::new(FailureReason::ConnectTimeout, timed_out)));
            }
        }
    }
}

fn failed(address: Option<SocketAddr>, error: &io::Error) -> Failure {
    let Failure { reason, message } = Failure::from_io(error);
    match address {
        Some(address) => Failure::new(reason, format!("{address}: {message}")),
        None => Failure { reason, message },
    }
}

/// Returns the addresses with the families in turns, that of the first address first.
fn in_turns(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = VecDeque::with_capacity(first.len() + second.len());
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_the_resolvers_order_is_kept_within_each() {
        let order = |texts: &[&str]| -> Vec<String> {
            let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
            let ordered = in_turns(addresses);
            ordered.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            order(&[
                "[::1]:1",
                "[::2]:1",
                "[::3]:1",
                "127.0.0.1:1",
                "127.0.0.2:1"
            ]),
            [
                "[::1]:1",
                "127.0.0.1:1",
                "[::2]:1",
                "127.0.0.2:1",
                "[::3]:1"
            ]
        );
        assert_eq!(
            order(&["127.0.0.1:1", "127.0.0.2:1", "[::1]:1"]),
            ["127.0.0.1:1", "[::1]:1", "127.0.0.2:1"]
        );
        assert_eq!(order(&[]), Vec::<String>::new());
    }
}
