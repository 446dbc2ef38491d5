//! Ports on which nothing listens.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// A port on loopback that is taken and refuses connections: no other program can listen on it.
pub(crate) struct ClosedPort {
    socket: TcpSocket,
    pub(crate) address: SocketAddr,
}

impl ClosedPort {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    /// Starts to listen on it.
    pub(crate) fn listen(self) -> TcpListener {
        self.socket.listen(1024).unwrap()
    }
}
