//! Ways to query a peer: a query, a transport, and a client that reads the complete answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use cad3::{Cell, Limits, encode_message, reader};
use convex_client::{
    Endpoint, FrameDecoder, HttpOptions, POLL_QUERY, Reply, TlsSettings, http_client, put_frame,
    query_request,
};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::poller::Prober;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::codec::FramedRead;

/// A query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// `1`: the cost of the transport alone.
    One,
    /// The query of a poll.
    Poll,
    /// `*state*`, as in the published operations guide: everything, to read a few values.
    State,
}

/// The transport of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// The Java client inside the process of the peer.
    Local,
    /// The binary protocol.
    Tcp,
    /// REST, answered as `application/cvx-raw`.
    HttpRaw,
    /// REST, answered as JSON.
    HttpJson,
}

/// All measured ways in the order of the table. The last one is that of the guide.
pub(crate) const WAYS: [(Query, Medium); 10] = [
    (Query::One, Medium::Local),
    (Query::One, Medium::Tcp),
    (Query::One, Medium::HttpRaw),
    (Query::One, Medium::HttpJson),
    (Query::Poll, Medium::Local),
    (Query::Poll, Medium::Tcp),
    (Query::Poll, Medium::HttpRaw),
    (Query::State, Medium::Tcp),
    (Query::State, Medium::HttpRaw),
    (Query::State, Medium::HttpJson),
];

impl Query {
    /// Returns the text of the query.
    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Poll => POLL_QUERY.source(),
            Self::State => "*state*",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "`1`",
            Self::Poll => "the agent's poll",
            Self::State => "`*state*`",
        }
    }
}

impl Medium {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Tcp => "binary",
            Self::HttpRaw => "HTTP, raw",
            Self::HttpJson => "HTTP, JSON",
        }
    }
}

/// A client with one open connection.
#[derive(Debug)]
pub(crate) enum Client {
    /// The client of the agent, which sends status and query together over TCP and the query over
    /// HTTP.
    Agent(Box<Prober>),
    Tcp(TcpAsker),
    Http(HttpAsker),
}

/// Sends one query at a time over the binary protocol.
#[derive(Debug)]
pub(crate) struct TcpAsker {
    frames: FramedRead<TcpStream, FrameDecoder>,
    form: Cell,
    next_id: i64,
}

/// Sends one query at a time over REST.
#[derive(Debug)]
pub(crate) struct HttpAsker {
    client: reqwest::Client,
    url: String,
    accept: &'static str,
    body: Bytes,
}

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl Client {
    /// Connects a client to a peer; returns `None` for queries inside the process of the peer.
    pub(crate) async fn connect(
        question: Query,
        medium: Medium,
        binary: SocketAddr,
        rest: SocketAddr,
    ) -> anyhow::Result<Option<Self>> {
        let accept = match medium {
            Medium::Local => return Ok(None),
            Medium::Tcp if question == Query::Poll => {
                return Ok(Some(Self::agent(&format!("tcp://{binary}"))?));
            }
            Medium::Tcp => {
                return Ok(Some(Self::Tcp(TcpAsker::connect(question, binary).await?)));
            }
            _ if question == Query::Poll => {
                return Ok(Some(Self::agent(&format!("http://{rest}"))?));
            }
            Medium::HttpRaw => "application/cvx-raw",
            Medium::HttpJson => "application/json",
        };
        let body = serde_json::json!({ "source": question.source() }).to_string();
        Ok(Some(Self::Http(HttpAsker {
            client: http_client(&HttpOptions::default(), ANSWER_TIMEOUT)?,
            url: format!("http://{rest}/api/v1/query"),
            accept,
            body: body.into(),
        })))
    }

    fn agent(url: &str) -> anyhow::Result<Self> {
        let peer = Arc::new(Peer::from_endpoint(Endpoint::parse(url)?));
        let usual_limit = 1 << 20;
        Ok(Self::Agent(Box::new(Prober::new(
            peer,
            usual_limit,
            &TlsSettings::default(),
        ))))
    }

    /// Sends the query once and decodes the answer.
    pub(crate) async fn ask(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Agent(prober) => {
                let observation = prober.poll().await;
                let answered = &observation.endpoints[0];
                if let Some(failure) = &answered.failure {
                    anyhow::bail!("a poll failed: {failure:?}");
                }
                ensure!(answered.retries == 0, "a poll was retried");
                let answer = answered.attempt.query.as_ref().map(|query| &query.value);
                ensure!(
                    matches!(answer, Some(Ok(_))),
                    "the query is answered with {answer:?}"
                );
                Ok(())
            }
            Self::Tcp(asker) => asker.ask().await,
            Self::Http(asker) => asker.ask().await,
        }
    }
}

impl TcpAsker {
    async fn connect(question: Query, peer: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(peer).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            frames: FramedRead::new(stream, FrameDecoder::new(Limits::default().max_bytes)),
            form: reader::read(question.source())?,
            next_id: 1,
        })
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = Vec::new();
        put_frame(
            &mut request,
            &encode_message(&query_request(id, &self.form, None)),
        );
        self.frames.get_mut().write_all(&request).await?;
        let content = tokio::time::timeout(ANSWER_TIMEOUT, self.frames.next())
            .await
            .context("no answer in time")?
            .context("the peer closed the connection")??;
        let reply = Reply::decode(&content, &Limits::default())?.context("a reply to the query")?;
        ensure!(reply.id == Some(id), "a reply to {:?}, not {id}", reply.id);
        succeeded(reply)
    }
}

impl HttpAsker {
    async fn ask(&mut self) -> anyhow::Result<()> {
        let request = self
            .client
            .post(&self.url)
            .header("accept", self.accept)
            .header("content-type", "application/json")
            .body(self.body.clone());
        let response = request.send().await?.error_for_status()?;
        let body = response.bytes().await?;
        if self.accept == "application/json" {
            let answer: serde_json::Value = serde_json::from_slice(&body)?;
            ensure!(answer.get("value").is_some(), "an answer without a value");
            Ok(())
        } else {
            let reply =
                Reply::decode(&body, &Limits::default())?.context("a reply to the query")?;
            succeeded(reply)
        }
    }
}

fn succeeded(reply: Reply) -> anyhow::Result<()> {
    match reply.outcome {
        Ok(_) => Ok(()),
        Err(error) => anyhow::bail!("the query is answered with {error:?}"),
    }
}
