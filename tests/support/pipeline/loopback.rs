//! Addresses that stay free while nobody listens at them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

/// Below those that outgoing connections are given.
const PORT: u16 = 18_080;

/// An address on a loopback host of its own. Between a program's end and its next start at 127.0.0.1, whoever asks for any
/// port may be given the one that it had.
pub(crate) fn own_address() -> io::Result<SocketAddr> {
    static GIVEN: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    loop {
        let host = GIVEN.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::new(127, 64 | high, low, host), PORT));
        match TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}
