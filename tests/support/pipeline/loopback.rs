//! Loopback addresses that no other test process uses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Below the ports that the kernel assigns to outgoing connections.
const PORT: u16 = 18_080;
/// Held by a process for as long as it uses a subnet.
const GUARD_PORT: u16 = 18_079;

/// 127.`high`.`low`.0/24, which belongs to this process while the guard is open.
struct Subnet {
    high: u8,
    low: u8,
    next_host: u8,
    _guard: TcpListener,
}

impl Subnet {
    /// Claims the first free subnet of 127.64.0.0/10.
    fn claim() -> io::Result<Self> {
        for high in 64..128 {
            for low in 0..=u8::MAX {
                match TcpListener::bind((Ipv4Addr::new(127, high, low, 1), GUARD_PORT)) {
                    Ok(guard) => {
                        return Ok(Self {
                            high,
                            low,
                            next_host: 1,
                            _guard: guard,
                        });
                    }
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// Returns an address on a loopback host of its own. It stays free while nothing listens there, for
/// example between two starts of a program; a free port of 127.0.0.1 could be assigned to another
/// program meanwhile.
pub(crate) fn own_address() -> io::Result<SocketAddr> {
    static SUBNETS: Mutex<Vec<Subnet>> = Mutex::new(Vec::new());
    let mut subnets = SUBNETS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(subnet) = subnets.last_mut().filter(|it| it.next_host < u8::MAX) else {
            subnets.push(Subnet::claim()?);
            continue;
        };
        let host = subnet.next_host;
        subnet.next_host += 1;
        let host = Ipv4Addr::new(127, subnet.high, subnet.low, host);
        let address = SocketAddr::from((host, PORT));
        // Programs of a test that was killed may still listen.
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
}
