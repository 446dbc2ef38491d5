//! A connection as bytes: a socket, or TLS on top of one. Counts what is received on the wire, and
//! ends a connection on which more than the budget is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::failure::{Failure, FailureReason};

/// An idle connection is probed after this time. Networks forget the state of a connection that is
/// silent for longer, some after two minutes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// Pause between two probes of an idle connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Number of bytes, from the first one received, from which the protocol of the other side is
/// recognised.
const PREFIX_BYTES: usize = 5;

/// A connection to a peer.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Without TLS.
    Plain(Wire),
    /// With TLS, which may itself be inside the TLS of a proxy.
    Tls(Box<TlsStream<Stream>>),
}

/// A socket that counts what is received.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    budget: usize,
    left: usize,
    prefix: [u8; PREFIX_BYTES],
    prefix_length: u8,
}

impl Stream {
    /// Takes over a new connection on which `budget` bytes may be received before the first call of
    /// [`Self::allow`].
    ///
    /// # Errors
    /// The socket cannot be configured.
    pub(super) fn new(socket: TcpStream, budget: usize) -> io::Result<Self> {
        // Requests are small and complete, so waiting for more data to send would only add latency.
        socket.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_INTERVAL);
        SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
        Ok(Self::Plain(Wire {
            socket,
            budget,
            left: budget,
            prefix: [0; PREFIX_BYTES],
            prefix_length: 0,
        }))
    }

    fn wire_mut(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(tls) => tls.get_mut().0.wire_mut(),
        }
    }

    fn wire(&self) -> &Wire {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(tls) => tls.get_ref().0.wire(),
        }
    }

    /// Allows as many bytes as at the start to be received from now on, framing, headers and TLS
    /// included.
    pub(crate) fn renew_budget(&mut self) {
        let wire = self.wire_mut();
        wire.left = wire.budget;
    }

    /// Whether anything was received since the budget was renewed.
    pub(crate) fn has_received(&self) -> bool {
        let wire = self.wire();
        wire.left < wire.budget
    }

    /// Returns what the other side speaks, if that is known and is not what it should speak.
    pub(crate) fn spoken_instead(&self, expected: Spoken) -> Option<Spoken> {
        let wire = self.wire();
        let prefix = &wire.prefix[..usize::from(wire.prefix_length)];
        Spoken::recognise(prefix).filter(|spoken| *spoken != expected)
    }

    /// Whether an idle connection is still open: nothing was received on it, neither data nor its
    /// end. Does not wait.
    pub(crate) fn is_open_and_idle(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(std::task::Waker::noop());
        Pin::new(self)
            .poll_read(&mut context, &mut buffer)
            .is_pending()
    }
}

/// A protocol that is recognised by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.
    Http,
    /// TLS.
    Tls,
    /// Neither of them, as far as is known.
    Other,
}

impl Spoken {
    fn recognise(prefix: &[u8]) -> Option<Self> {
        // The start of a status line; a handshake or alert record of TLS 1.x.
        match prefix {
            b"HTTP/" => Some(Self::Http),
            [0x15 | 0x16, 3, ..] => Some(Self::Tls),
            _ => None,
        }
    }

    /// Returns a sentence that says so.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Http => "this port speaks plain HTTP",
            Self::Tls => "this port speaks TLS",
            Self::Other => "this port speaks another protocol",
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        let received = &buffer.filled()[before..];
        let known = usize::from(self.prefix_length);
        let more = received.len().min(PREFIX_BYTES - known);
        self.prefix[known..known + more].copy_from_slice(&received[..more]);
        self.prefix_length += u8::try_from(more).unwrap_or_default();
        match self.left.checked_sub(received.len()) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(io::Error::other(Failure::new(
                FailureReason::TooLarge,
                format!("more than {} bytes received in one poll", self.budget),
            )))),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_write_vectored(context, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(wire) => wire.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
