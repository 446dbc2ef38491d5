//! Bound sockets that accept connections: of TCP, and of a Unix socket with its file.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::config::Listen;

use super::client::Client;

/// Owner and group may connect to a Unix socket.
const SOCKET_MODE: u32 = 0o660;

/// A connection as accepted.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// A bound socket that accepts connections.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// The file of a Unix socket that this process made.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket, removed when dropped, unless another took its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl Listener {
    /// Binds a socket. The file of a Unix socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// The address is in use or not this host's, or the file cannot be made.
    pub async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(TcpListener::bind(address).await?.into()),
            Listen::Unix(path) => bind_unix(path).await,
        }
    }

    /// Returns where it listens, with the port that the system chose.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<Listen> {
        Ok(match &self.socket {
            Socket::Tcp(listener) => Listen::Tcp(listener.local_addr()?),
            Socket::Unix(listener) => {
                let address = listener.local_addr()?;
                Listen::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned())
            }
        })
    }

    /// Accepts a connection.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Client)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Either::Left(stream), address.ip().into()))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let client = Client::User(stream.peer_cred()?.uid());
                Ok((Either::Right(stream), client))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self {
            socket: Socket::Tcp(listener),
            _file: None,
        }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self {
            socket: Socket::Unix(listener),
            _file: None,
        }
    }
}

async fn bind_unix(path: &Path) -> io::Result<Listener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_abandoned(path).await?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let metadata = fs::symlink_metadata(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        device_and_inode: (metadata.dev(), metadata.ino()),
    };
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(Listener {
        socket: Socket::Unix(listener),
        _file: Some(file),
    })
}

/// Removes the file of a socket on which nobody listens.
async fn remove_abandoned(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is not a socket",
        ));
    }
    match UnixStream::connect(path).await {
        // Its queue of connections may be full.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            if error.kind() == io::ErrorKind::ConnectionRefused {
                fs::remove_file(path)
            } else {
                Err(error)
            }
        }
        _ => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens on this socket",
        )),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path)
            .is_ok_and(|it| (it.dev(), it.ino()) == self.device_and_inode);
        if own && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove the file of the Unix socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_unix_socket_is_for_owner_and_group_and_its_file_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let listen = Listen::Unix(path.clone());
        let listener = Listener::bind(&listen).await.unwrap();
        assert_eq!(listener.address().unwrap(), listen);
        assert_eq!(mode(&path), SOCKET_MODE);
        let _client = UnixStream::connect(&path).await.unwrap();
        let (_, client) = listener.accept().await.unwrap();
        let own = rustix::process::getuid().as_raw();
        assert_eq!(client, Client::User(own));
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_abandoned_socket_is_replaced_and_a_used_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let listen = Listen::Unix(path.clone());
        // Its file stays, as after a crash.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let first = Listener::bind(&listen).await.unwrap();
        let second = Listener::bind(&listen).await.unwrap_err();
        assert_eq!(second.to_string(), "another process listens on this socket");
        UnixStream::connect(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let other = Listener::bind(&listen).await.unwrap();
        drop(first);
        assert!(path.exists(), "the file is that of the other one now");
        drop(other);
    }

    #[tokio::test]
    async fn a_file_that_is_not_a_socket_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "kept").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("gone", &link).unwrap();
        for path in [&file, &link] {
            let error = Listener::bind(&Listen::Unix(path.clone()))
                .await
                .unwrap_err();
            assert_eq!(error.to_string(), "there is a file that is not a socket");
            assert!(fs::symlink_metadata(path).is_ok());
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
