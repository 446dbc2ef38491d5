//! A scripted peer on loopback that speaks both protocols, for faults that a real peer cannot be
//! made to have.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cad3::{Cell, Hash, Limits, decode_message, encode_message, vlq};
use convex_client::{SAMPLE_QUERY, put_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

// Benchmarks include this file by its path, from which the module's place does not follow.
#[path = "fake/cells.rs"]
mod cells;
#[path = "fake/keys.rs"]
mod keys;
#[path = "fake/rest.rs"]
mod rest;

pub(crate) use cells::Beliefs;
#[allow(unused_imports, reason = "benchmarks do not need it")]
pub(crate) use keys::public_key;

/// What the peer answers, and its fault. Changes take effect with the next request.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) genesis: Hash,
    pub(crate) key: Hash,
    /// Block, proposal, consensus and finality.
    pub(crate) order: [i64; 4],
    /// Index of the last applied block.
    pub(crate) block: i64,
    pub(crate) accounts: i64,
    /// Timestamp of the state, milliseconds since the epoch.
    pub(crate) timestamp_ms: i64,
    /// Number of peers registered in the state.
    pub(crate) registered: i64,
    /// Reports a different state hash in every answer.
    pub(crate) flips: bool,
    /// Behaves like 0.8.6 (PING, REST status, `:fees`) instead of 0.8.0.
    pub(crate) new_api: bool,
    /// Seed of the key that challenges are answered with; none: they are not answered.
    pub(crate) signer: Option<u8>,
    /// How far ahead the peer's clock is.
    pub(crate) clock_ahead: Duration,
    /// Sends the binary status as a map, as planned for 0.9.
    pub(crate) map_status: bool,
    /// The `Retry-After` header of every HTTP answer.
    pub(crate) retry_after: Option<String>,
    /// The belief in its status, and the cells that it has.
    pub(crate) beliefs: Beliefs,
    pub(crate) fault: Fault,
}

/// A fault of a peer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Accepts and reads, but never answers.
    Silent,
    /// Accepts and never reads.
    NeverReads,
    /// Sends the reply slowly, one byte at a time.
    Trickle,
    /// Answers STATUS but not the query.
    QueryHangs,
    /// Closes the connection instead of answering.
    Close,
    /// Closes an HTTP connection after each answer.
    OneAnswer,
    /// Closes after half a reply.
    HalfReply,
    /// Sends exactly these bytes instead of each reply.
    Bytes(Vec<u8>),
    /// Sends frames (TCP) or a body (HTTP) without end.
    Endless,
    /// Sends an unrequested message, a reply with an unknown id, then every reply twice, with the
    /// query's before the status's.
    Noisy,
    /// Answers the query with this error code.
    QueryError(&'static str),
    /// Answers the query with an error that has this text as code and message.
    Says(String),
    /// Answers every HTTP request with this status and body.
    Http(u16, &'static str),
    /// Answers the query with this value.
    Value(&'static str),
    /// Does not answer PING.
    NoPing,
    /// Does not answer requests for cells.
    CellsHang,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            genesis: Hash::new([0x6e; 32]),
            key: Hash::new([0x4b; 32]),
            order: [7, 7, 7, 7],
            block: 6,
            accounts: 132,
            timestamp_ms: 1_795_556_102_355,
            registered: 2,
            flips: false,
            new_api: true,
            signer: None,
            clock_ahead: Duration::ZERO,
            map_status: false,
            retry_after: None,
            beliefs: Beliefs::default(),
            fault: Fault::None,
        }
    }
}

/// A running peer; stops when dropped.
#[derive(Debug)]
pub(crate) struct FakePeer {
    pub(crate) tcp: SocketAddr,
    pub(crate) http: SocketAddr,
    script: Arc<Mutex<Script>>,
    seen: Arc<Seen>,
    _listeners: JoinSet<()>,
}

/// What a peer has received so far.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    closed: watch::Sender<usize>,
    handled: watch::Sender<usize>,
    pings: AtomicUsize,
    heads: Mutex<Vec<String>>,
    hang_up: Notify,
}

impl FakePeer {
    pub(crate) async fn start(script: Script) -> Self {
        Self::with_tls(script, None).await
    }

    /// Starts a peer whose HTTP side speaks TLS.
    pub(crate) async fn with_tls(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut listeners = JoinSet::new();
        let script = Arc::new(Mutex::new(script));
        let seen = Arc::new(Seen::default());
        let addresses = (tcp.local_addr().unwrap(), http.local_addr().unwrap());
        listeners.spawn(accept(
            tcp,
            Arc::clone(&script),
            Arc::clone(&seen),
            None,
            Side::Binary,
        ));
        listeners.spawn(accept(
            http,
            Arc::clone(&script),
            Arc::clone(&seen),
            tls,
            Side::Rest,
        ));
        Self {
            tcp: addresses.0,
            http: addresses.1,
            script,
            seen,
            _listeners: listeners,
        }
    }

    /// Changes the script.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// Number of connections accepted so far, over both protocols.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Waits until `count` connections have been closed since the start.
    pub(crate) async fn until_closed(&self, count: usize) {
        let mut closed = self.seen.closed.subscribe();
        let waiting = closed.wait_for(|closed| *closed >= count);
        let waiting = tokio::time::timeout(Duration::from_secs(300), waiting).await;
        drop(waiting.expect("the connections are closed"));
    }

    /// Number of times that all received requests were answered as scripted, which may be not at
    /// all.
    pub(crate) fn handled(&self) -> watch::Receiver<usize> {
        self.seen.handled.subscribe()
    }

    /// Number of PING requests received so far.
    pub(crate) fn pings(&self) -> usize {
        self.seen.pings.load(Ordering::Relaxed)
    }

    /// Heads of the HTTP requests received so far, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// Closes all connections that are currently open.
    pub(crate) fn hang_up(&self) {
        self.seen.hang_up.notify_waiters();
    }
}

#[derive(Clone, Copy)]
enum Side {
    Binary,
    Rest,
}

async fn accept(
    listener: TcpListener,
    script: Arc<Mutex<Script>>,
    seen: Arc<Seen>,
    tls: Option<TlsAcceptor>,
    side: Side,
) {
    let mut served = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        stream.set_nodelay(true).unwrap();
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let (script, tls, seen) = (Arc::clone(&script), tls.clone(), Arc::clone(&seen));
        served.spawn(async move {
            let serve = async {
                match (side, tls) {
                    (Side::Binary, _) => serve_binary(stream, &script, &seen).await,
                    (Side::Rest, None) => rest::serve(stream, &script, &seen).await,
                    (Side::Rest, Some(tls)) => {
                        rest::serve(tls.accept(stream).await?, &script, &seen).await
                    }
                }
            };
            // An error only means that the client hung up.
            tokio::select! {
                ended = serve => drop(ended),
                () = seen.hang_up.notified() => {}
            }
            // The stream was dropped together with `serve`.
            seen.closed.send_modify(|closed| *closed += 1);
        });
    }
}

async fn serve_binary(
    mut stream: TcpStream,
    script: &Mutex<Script>,
    seen: &Seen,
) -> std::io::Result<()> {
    // All requests of a poll fit, so that they are read and answered together.
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let fault = script.lock().unwrap().fault.clone();
        if fault == Fault::NeverReads {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut requests = Vec::new();
        while let Some(content) = take_frame(&mut buffer) {
            let request = decode_message(&content, &Limits::default())
                .expect("a well-formed request")
                .top;
            if request
                .as_elements()
                .is_some_and(|elements| elements.get(0).unwrap().as_keyword() == Some("PING"))
            {
                seen.pings.fetch_add(1, Ordering::Relaxed);
            }
            requests.push(request);
        }
        if requests.is_empty() {
            continue;
        }
        let script = script.lock().unwrap().clone();
        answer(&mut stream, &script, &requests).await?;
        seen.handled.send_modify(|handled| *handled += 1);
    }
}

async fn answer(stream: &mut TcpStream, script: &Script, requests: &[Cell]) -> std::io::Result<()> {
    let mut replies: Vec<Vec<u8>> = requests
        .iter()
        .filter_map(|request| reply_frame(script, request))
        .collect();
    match &script.fault {
        Fault::Silent | Fault::NeverReads => return Ok(()),
        Fault::Close => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        Fault::Bytes(bytes) => return stream.write_all(bytes).await,
        Fault::HalfReply => {
            stream
                .write_all(&replies[0][..replies[0].len() / 2])
                .await?;
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        Fault::Trickle => {
            for byte in replies.concat() {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            return Ok(());
        }
        Fault::Endless => loop {
            stream
                .write_all(&frame(&result(
                    Cell::integer(-1),
                    Cell::Nil,
                    Cell::Nil,
                    Cell::Nil,
                )))
                .await?;
        },
        Fault::Noisy => {
            let pushed = frame(&Cell::vector([
                Cell::keyword("CH"),
                Cell::integer(1),
                Cell::Nil,
            ]));
            let unknown = frame(&result(
                Cell::integer(1 << 40),
                Cell::integer(1),
                Cell::Nil,
                Cell::Nil,
            ));
            replies.reverse();
            let twice: Vec<Vec<u8>> = replies
                .iter()
                .flat_map(|reply| [reply.clone(), reply.clone()])
                .collect();
            stream.write_all(&[pushed, unknown].concat()).await?;
            return stream.write_all(&twice.concat()).await;
        }
        _ => {}
    }
    stream.write_all(&replies.concat()).await
}

fn take_frame(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (length, used) = vlq::read(buffer).ok()?;
    let end = used + usize::try_from(length).unwrap();
    (buffer.len() >= end).then(|| buffer.drain(..end).skip(used).collect())
}

fn frame(message: &Cell) -> Vec<u8> {
    let mut frame = Vec::new();
    put_frame(&mut frame, &encode_message(message));
    frame
}

fn reply_frame(script: &Script, request: &Cell) -> Option<Vec<u8>> {
    let elements = request.as_elements()?;
    let id = elements.get(1)?.clone();
    match elements.get(0)?.as_keyword()? {
        "SR" => {
            let status = if script.map_status {
                status_map(script)
            } else {
                status_vector(script)
            };
            Some(frame(&result(id, status, Cell::Nil, Cell::Nil)))
        }
        "PING" if script.new_api && script.fault != Fault::NoPing => {
            let now = (SystemTime::now() + script.clock_ahead)
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap();
            let ms = i64::try_from(now.as_millis()).unwrap();
            Some(frame(&result(id, Cell::integer(ms), Cell::Nil, Cell::Nil)))
        }
        "CH" => {
            let answer = keys::answer(script.signer?, elements.get(2)?)?;
            Some(frame(&result(id, answer, Cell::Nil, Cell::Nil)))
        }
        "DR" if script.fault != Fault::CellsHang => {
            let cells = script.beliefs.cells(elements.iter().skip(2));
            Some(frame(&result(id, cells, Cell::Nil, Cell::Nil)))
        }
        "Q" if script.fault != Fault::QueryHangs => Some(frame(&query_result(
            script,
            id,
            elements.get(2)?,
            elements.get(3)?,
        ))),
        _ => None,
    }
}

fn result(id: Cell, value: Cell, error: Cell, info: Cell) -> Cell {
    Cell::record(0xdd, [id, value, error, Cell::Nil, info])
}

fn blob(hash: Hash) -> Cell {
    Cell::blob(hash.as_bytes())
}

fn levels(script: &Script) -> Cell {
    Cell::vector(script.order.map(Cell::integer))
}

fn state_hash(script: &Script) -> Hash {
    static ANSWERS: AtomicUsize = AtomicUsize::new(0);
    let answer = if script.flips {
        ANSWERS.fetch_add(1, Ordering::Relaxed)
    } else {
        0
    };
    Hash::of(format!("{} {answer}", script.block).as_bytes())
}

fn status_vector(script: &Script) -> Cell {
    let [block, proposal, consensus, _] = script.order.map(Cell::integer);
    let state = blob(state_hash(script));
    Cell::vector([
        blob(script.beliefs.next()),
        state.clone(),
        blob(script.genesis),
        blob(script.key),
        state,
        consensus,
        proposal,
        block,
        levels(script),
    ])
}

fn status_map(script: &Script) -> Cell {
    Cell::map([
        (Cell::keyword("genesis"), blob(script.genesis)),
        (Cell::keyword("peer"), blob(script.key)),
        (Cell::keyword("consensus"), levels(script)),
        (Cell::keyword("something-new"), Cell::integer(1)),
    ])
}

/// Answers the agent's query, or a sample. Unknown accounts get the same error as from a real peer.
fn query_result(script: &Script, id: Cell, form: &Cell, account: &Cell) -> Cell {
    if let Fault::QueryError(code) = script.fault {
        return result(
            id,
            Cell::string("as scripted"),
            Cell::keyword(code),
            Cell::Nil,
        );
    }
    if let Fault::Says(text) = &script.fault {
        return result(id, Cell::string(text), Cell::string(text), Cell::Nil);
    }
    if account
        .as_address()
        .is_some_and(|account| account >= script.accounts.cast_unsigned())
    {
        let why = Cell::string("Query for non-existant account");
        return result(id, why, Cell::keyword("NOBODY"), Cell::Nil);
    }
    let mut info = vec![(Cell::keyword("juice"), Cell::integer(12_554))];
    if script.new_api {
        info.push((Cell::keyword("fees"), Cell::integer(20_600)));
    }
    let value = match script.fault {
        Fault::Value(text) => cad3::reader::read(text).unwrap(),
        _ if form == SAMPLE_QUERY.form() => {
            Cell::vector([Cell::integer(script.block), blob(state_hash(script))])
        }
        _ => figures(script),
    };
    result(id, value, Cell::Nil, Cell::map(info))
}

fn figures(script: &Script) -> Cell {
    let globals = [
        script.timestamp_ms,
        0,
        10,
        673_200_000,
        1_000_000_000_000,
        script.block,
    ];
    Cell::vector([
        blob(state_hash(script)),
        Cell::vector(globals.map(Cell::integer)),
        Cell::integer(script.accounts),
        Cell::integer(script.registered),
        Cell::Double(1_485.442_661_913_25),
        Cell::integer(1_000_000_000_000_000),
    ])
}
