//! Established connections on the ports on which the peer's process listens.

use std::collections::{BTreeMap, HashSet};

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};

use super::host::explain;

/// Most ports that are counted. A peer listens on two.
const MAX_PORTS: usize = 16;

/// Returns the number of established connections by the port on which the process listens.
///
/// # Errors
/// This agent may not see the sockets of the process.
pub(super) fn read(process: &Process) -> Result<BTreeMap<u16, u64>, String> {
    let descriptors = process.fd().map_err(|error| explain(&error))?;
    let sockets: HashSet<u64> = descriptors
        .filter_map(|descriptor| match descriptor.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let mut entries = process.tcp().map_err(|error| explain(&error))?;
    // Absent on hosts without IPv6.
    entries.extend(process.tcp6().unwrap_or_default());
    let own = || {
        entries
            .iter()
            .filter(|entry| sockets.contains(&entry.inode))
    };
    let listening = own().filter(|entry| entry.state == TcpState::Listen);
    let ports = listening.map(|entry| (entry.local_address.port(), 0));
    let mut connections: BTreeMap<u16, u64> = ports.take(MAX_PORTS).collect();
    for entry in own().filter(|entry| entry.state == TcpState::Established) {
        if let Some(count) = connections.get_mut(&entry.local_address.port()) {
            *count += 1;
        }
    }
    Ok(connections)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_are_counted_by_the_port_that_was_connected_to() {
        let listeners = ["127.0.0.1:0", "127.0.0.1:0"].map(|it| TcpListener::bind(it).unwrap());
        let address = listeners[0].local_addr().unwrap();
        let clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        let accepted = [(); 3].map(|()| listeners[0].accept().unwrap());
        let count = || {
            let connections = read(&Process::myself().unwrap()).unwrap();
            let ports = listeners
                .each_ref()
                .map(|it| it.local_addr().unwrap().port());
            ports.map(|port| connections.get(&port).copied())
        };
        assert_eq!(count(), [Some(3), Some(0)]);
        drop((clients, accepted));
        assert_eq!(count(), [Some(0), Some(0)]);
    }
}
