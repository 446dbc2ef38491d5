//! Faults of the network, each over every transport and for every sender of notifications: what
//! polls and requests on new and on kept connections find, and in which words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{HttpOptions, http_client_for, request_failure, set_addresses};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::fleet::{Condition, EndpointObservation, Health, PeerRecord};
use convex_peer_monitor::poller::Prober;
use futures_util::future::join_all;
use rcgen::Certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::support::agent::Agent;
use crate::support::contract::{peer, prober};
use crate::support::fake::{self, FakePeer, Script};
use crate::support::relay::{Blackhole, Mode, Relay};
use crate::support::tls::{acceptor, acceptor_with_intermediate};
use crate::support::{DEADLINE, until};

/// Time for a poll and for a request where one of them has to run out of time; otherwise it is
/// [`PATIENCE`].
const TIMEOUT: Duration = Duration::from_secs(4);

/// Longer than a poll or a request takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The other peer, which answers where a name leads later.
const OTHER_KEY: [u8; 32] = [0x77; 32];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Tcp,
    Http,
    Https,
}

impl Way {
    const ALL: [Self; 3] = [Self::Tcp, Self::Http, Self::Https];
}

/// A fault of the network between the agent and a peer.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Nothing listens.
    Refused,
    /// Nothing answers to a connect.
    Blackhole,
    /// The first address of the name is a blackhole.
    FirstAddressDead,
    /// Nothing listens at the first address of the name.
    FirstAddressRefuses,
    /// The port speaks another protocol.
    PlainPort,
    /// The certificate is for another name.
    WrongCertificate,
    /// The certificate was issued by an authority whose own certificate has expired.
    ExpiredIntermediate,
    /// From the first connection on.
    Always(Mode),
    /// Starts when there is a kept connection.
    Later(Mode),
    /// The name leads to another peer once there is a kept connection.
    MovedName,
    /// New handshakes get a certificate for another name once there is a kept connection.
    NewCertificate,
}

/// What one poll finds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Found {
    Answer,
    /// The poll fails; the message contains this text.
    Failure(&'static str, &'static str),
    /// The poll is good, but its connection cannot be replaced.
    NoNewConnection(&'static str, &'static str),
}

use Found::{Answer, Failure, NoNewConnection};

/// Returns how much time polls and requests with these results get.
fn time_for(expected: [Found; 2]) -> Duration {
    let runs_out = |found| matches!(found, Failure("timeout" | "connect_timeout", _));
    if expected.into_iter().any(runs_out) {
        TIMEOUT
    } else {
        PATIENCE
    }
}

impl Found {
    fn is(self, kind: &str, failure: Option<&(&str, String)>) -> bool {
        let (expected, reason, words) = match self {
            Answer => ("answer", "", ""),
            Failure(reason, words) => ("failure", reason, words),
            NoNewConnection(reason, words) => ("no new connection", reason, words),
        };
        kind == expected
            && failure.is_none_or(|(found, message)| *found == reason && message.contains(words))
    }
}

/// What is expected of two polls over each transport, none if there is no such fault over it; and
/// of two requests to a receiver of notifications over HTTP and HTTPS.
type Row = (Fault, [Option<[Found; 2]>; 3], [Option<[Found; 2]>; 2]);

const fn all(found: [Found; 2]) -> [Option<[Found; 2]>; 3] {
    [Some(found); 3]
}

const fn both(found: [Found; 2]) -> [Option<[Found; 2]>; 2] {
    [Some(found); 2]
}

const TABLE: [Row; 16] = {
    let silent = Failure("timeout", "no answer arrived");
    let no_handshake = Failure("connect_timeout", "TLS handshake");
    let closed = Failure("closed", "");
    let refused = Failure("refused", "refused");
    let unreached = Failure("connect_timeout", "did not accept");
    let lost = Failure("timeout", "kept connection");
    let not_renewed = NoNewConnection("refused", "refused");
    let unanswered = Failure("timeout", "no answer in time");
    [
        (Fault::Refused, all([refused; 2]), both([refused; 2])),
        (Fault::Blackhole, all([unreached; 2]), both([unanswered; 2])),
        (Fault::FirstAddressDead, all([Answer; 2]), both([Answer; 2])),
        (
            Fault::FirstAddressRefuses,
            all([Answer; 2]),
            both([Answer; 2]),
        ),
        (
            Fault::PlainPort,
            [
                Some([Failure("malformed", "this port speaks plain HTTP"); 2]),
                Some([Failure("malformed", "this port speaks TLS"); 2]),
                Some([Failure("tls", "this port speaks plain HTTP"); 2]),
            ],
            [
                Some([Failure("malformed", "the answer is not HTTP"); 2]),
                Some([Failure("tls", "this port does not speak TLS"); 2]),
            ],
        ),
        (
            Fault::WrongCertificate,
            [None, None, Some([Failure("tls", "not valid for name"); 2])],
            [None, Some([Failure("tls", "not valid for name"); 2])],
        ),
        (
            Fault::ExpiredIntermediate,
            [None, None, Some([Failure("tls_expired", "expired"); 2])],
            [None, Some([Failure("tls_expired", "expired"); 2])],
        ),
        (
            Fault::Always(Mode::SilentAfter(0)),
            [
                Some([silent; 2]),
                Some([silent; 2]),
                Some([no_handshake; 2]),
            ],
            both([unanswered; 2]),
        ),
        (
            Fault::Always(Mode::SilentAfter(20)),
            [
                Some([silent; 2]),
                Some([silent; 2]),
                Some([no_handshake; 2]),
            ],
            both([unanswered; 2]),
        ),
        (
            Fault::Always(Mode::HalfCloses),
            all([closed; 2]),
            both([closed; 2]),
        ),
        (
            Fault::Always(Mode::Resets),
            all([closed; 2]),
            both([closed; 2]),
        ),
        (
            Fault::Always(Mode::Slow),
            all([Answer; 2]),
            both([Answer; 2]),
        ),
        // One lost poll, then a new connection.
        (
            Fault::Later(Mode::ForgetsOld),
            all([lost, Answer]),
            both([unanswered, Answer]),
        ),
        (
            Fault::Later(Mode::RefusesNew),
            all([not_renewed; 2]),
            both([Answer; 2]),
        ),
        (
            Fault::MovedName,
            all([Answer, Failure("wrong_peer", "pinned")]),
            both([Answer; 2]),
        ),
        (
            Fault::NewCertificate,
            [
                None,
                None,
                Some([NoNewConnection("tls", "not valid for name"); 2]),
            ],
            both([Answer; 2]),
        ),
    ]
};

#[tokio::test]
async fn each_fault_is_found_over_every_transport() {
    let cases = TABLE.into_iter().flat_map(|(fault, expected, _)| {
        let each = Way::ALL.into_iter().zip(expected);
        each.filter_map(move |(way, expected)| Some((fault, way, expected?)))
    });
    let mut checks = Vec::new();
    for (fault, way, expected) in cases {
        let place = Place::new(way, Script::default(), fault).await;
        checks.push(check(place, fault, expected));
    }
    // All at once, because some of them wait for the timeout.
    join_all(checks).await;
}

async fn check(mut place: Place, fault: Fault, expected: [Found; 2]) {
    let way = place.way;
    let peer = place.peer(time_for(expected));
    let mut record = PeerRecord::new(Arc::new(peer.clone()));
    let mut prober = prober(&peer);
    if place.starts_later {
        let before = poll(&mut prober, &mut record).await;
        assert_eq!(
            found(&before),
            ("answer", None),
            "{way:?}, before {fault:?}"
        );
        place.go_on(fault).await;
    }
    for (i, expected) in expected.into_iter().enumerate() {
        let observed = poll(&mut prober, &mut record).await;
        let (kind, failure) = found(&observed);
        let failure = failure.map(|failure| (failure.reason.as_str(), failure.message));
        assert!(
            expected.is(kind, failure.as_ref()),
            "{way:?}, {fault:?}, poll {i}: {kind} {failure:?} is not {expected:?}"
        );
        let no_new = matches!(expected, NoNewConnection(..));
        assert_eq!(
            record.conditions.contains(&Condition::NewConnectionsFail),
            no_new && i > 0,
            "{way:?}, {fault:?}, poll {i}: in force after two in a row"
        );
        if no_new && i > 0 {
            assert_eq!(record.health, Health::Degraded, "{way:?}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn each_fault_is_found_by_every_sender() {
    let cases = TABLE.into_iter().flat_map(|(fault, _, expected)| {
        let each = [Way::Http, Way::Https].into_iter().zip(expected);
        each.filter_map(move |(way, expected)| Some((fault, way, expected?)))
    });
    let (mut requests, mut agents) = (Vec::new(), Vec::new());
    for (fault, way, expected) in cases {
        let place = Place::new(way, receiver(), fault).await;
        requests.push(send(place, fault, expected));
        let place = Place::new(way, receiver(), fault).await;
        agents.push(notify(place, fault, expected));
    }
    // All at once, because some of them wait for the timeout.
    join_all(requests).await;
    join_all(agents).await;
}

/// A receiver of notifications.
fn receiver() -> Script {
    Script {
        fault: fake::Fault::Http(200, ""),
        ..Script::default()
    }
}

/// Sends what a sender does, and checks in which words it fails.
async fn send(mut place: Place, fault: Fault, expected: [Found; 2]) {
    let way = place.way;
    let url = place.url().parse().unwrap();
    let options = HttpOptions {
        ca: Some(place.ca.clone()),
        ..HttpOptions::default()
    };
    let client = http_client_for(&url, &options, time_for(expected)).unwrap();
    if place.starts_later {
        client.post(url.clone()).send().await.unwrap();
        place.go_on(fault).await;
    }
    for (i, expected) in expected.into_iter().enumerate() {
        let failure = client.post(url.clone()).send().await.err();
        let failure = failure.map(|error| request_failure(&error));
        let failure = failure.map(|failure| (failure.reason.as_str(), failure.message));
        let kind = failure.as_ref().map_or("answer", |_| "failure");
        assert!(
            expected.is(kind, failure.as_ref()),
            "{way:?}, {fault:?}, request {i}: {kind} {failure:?} is not {expected:?}"
        );
    }
}

/// Lets an agent notify a webhook, an Alertmanager and a dead man's switch through a fault.
async fn notify(mut place: Place, fault: Fault, expected: [Found; 2]) {
    let way = place.way;
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), &place.ca_pem).unwrap();
    let target = format!(
        "{{ name: NAME, url: '{}', ca_file: {} }}",
        place.url(),
        ca.path().display()
    );
    let watched = FakePeer::start(Script::default()).await;
    // A peer of another network is an alert at once.
    let agent = Agent::start(&format!(
        "defaults: {{ interval: 1s, timeout: 900ms }}\n\
         networks: [{{ name: n, genesis: '{}' }}]\n\
         peers: [{{ name: p, network: n, endpoints: ['tcp://{}'] }}]\n\
         notify:\n  webhooks: [{}]\n  alertmanagers: [{}]\n  heartbeat: {}\n",
        Hash::new(OTHER_KEY),
        watched.tcp,
        target.replace("NAME", "webhook"),
        target.replace("NAME", "alertmanager"),
        target.replace("name: NAME", "interval: 1s"),
    ))
    .await;
    let count = |what: &str, receiver: &str| {
        format!("convex_monitor_{what}_total{{receiver=\"{receiver}\"}}")
    };
    // Only the switch is called often enough to have a kept connection.
    let mut receivers = vec!["heartbeat"];
    if place.starts_later {
        let series = count("notifications", "heartbeat");
        agent.wait_for(&series, |calls| calls >= 1.0).await;
        place.go_on(fault).await;
    } else {
        receivers.extend(["webhook", "alertmanager"]);
    }
    for receiver in receivers {
        if expected.iter().any(|found| *found != Answer) {
            let failures = count("notification_failures", receiver);
            agent.wait_for(&failures, |failed| failed >= 1.0).await;
        }
        if expected[1] == Answer {
            // One before the fault began, and one that was answered in spite of it.
            let answered = if place.starts_later { 2.0 } else { 1.0 };
            until("the receiver answers", async || {
                let [sent, failed] =
                    ["notifications", "notification_failures"].map(|what| count(what, receiver));
                let failed = agent.metric(&failed).await.unwrap();
                agent.metric(&sent).await.unwrap() - failed >= answered
            })
            .await;
        }
        if expected == [Answer; 2] {
            let failures = count("notification_failures", receiver);
            assert_eq!(
                agent.metric(&failures).await,
                Some(0.0),
                "{way:?}, {fault:?}"
            );
        }
    }
    agent.stop().await;
}

async fn poll(prober: &mut Prober, record: &mut PeerRecord) -> EndpointObservation {
    let observation = timeout(DEADLINE, prober.poll()).await;
    let mut observation = observation.expect("a poll has a timeout");
    record.record_poll(&observation, Instant::now(), SystemTime::now());
    observation.endpoints.remove(0)
}

fn found(
    observed: &EndpointObservation,
) -> (&'static str, Option<convex_peer_monitor::failure::Failure>) {
    match (&observed.failure, observed.renewal_failure()) {
        (Some(failure), _) => ("failure", Some(failure.clone())),
        (None, Some(failure)) => ("no new connection", Some(failure)),
        (None, None) => ("answer", None),
    }
}

/// A peer, the network before it, and a name for both.
struct Place {
    way: Way,
    name: String,
    other: FakePeer,
    relay: Relay,
    /// TLS with a certificate that is trusted, but for another name.
    mistaken: TlsAcceptor,
    blackhole: Option<Blackhole>,
    _peer: FakePeer,
    moved_from: Option<Relay>,
    /// What the client trusts, in DER and in PEM.
    ca: Vec<Vec<u8>>,
    ca_pem: String,
    port: u16,
    /// The fault starts when there is a kept connection.
    starts_later: bool,
}

impl Place {
    /// Lets `fault` begin, unless it starts later.
    async fn new(way: Way, script: Script, fault: Fault) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("faulty-{}.test", NEXT.fetch_add(1, Ordering::Relaxed));
        let (tls, certificate) = acceptor(&name, 2150, &[]);
        let peer = FakePeer::with_tls(script.clone(), (way == Way::Https).then_some(tls)).await;
        let (tls, other_certificate) = acceptor(&name, 2150, &[]);
        let script = Script {
            key: Hash::new(OTHER_KEY),
            ..script
        };
        let other = FakePeer::with_tls(script, (way == Way::Https).then_some(tls)).await;
        let relay = Relay::to(address(&peer, way));
        set_addresses(&name, vec![relay.address.ip()]);
        let (mistaken, mistaken_certificate) = acceptor("elsewhere.test", 2150, &[]);
        let ca = [certificate, other_certificate, mistaken_certificate];
        let mut place = Self {
            way,
            name,
            port: relay.address.port(),
            _peer: peer,
            moved_from: None,
            other,
            relay,
            mistaken,
            blackhole: None,
            ca: ca.iter().map(|ca| ca.der().to_vec()).collect(),
            ca_pem: ca.iter().map(Certificate::pem).collect(),
            starts_later: false,
        };
        place.begin(fault).await;
        place
    }

    /// The peer as it is configured: its connection is renewed in every poll.
    fn peer(&self, timeout: Duration) -> Peer {
        let mut peer = peer(&[&self.url()]);
        peer.http.ca = Some(self.ca.clone());
        peer.key = Some(Script::default().key);
        peer.polling.timeout = timeout;
        peer.polling.retries = 0;
        peer.polling.down_after = 2;
        peer.polling.connection_max_age = Duration::from_nanos(1);
        peer
    }

    fn url(&self) -> String {
        let scheme = match self.way {
            Way::Tcp => "tcp",
            Way::Http => "http",
            Way::Https => "https",
        };
        format!("{scheme}://{}:{}", self.name, self.port)
    }

    /// Starts a fault that is there from the first connection on.
    async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Refused => self.relay.set(Mode::RefusesNew).await,
            Fault::Blackhole => self.add_blackhole("127.0.0.1:0", false).await,
            Fault::FirstAddressDead => {
                let address = format!("127.0.0.2:{}", self.port);
                self.add_blackhole(&address, true).await;
            }
            Fault::FirstAddressRefuses => {
                let addresses = [[127, 0, 0, 4].into(), self.relay.address.ip()];
                set_addresses(&self.name, addresses.to_vec());
            }
            Fault::PlainPort if self.way == Way::Http => {
                let (tls, _) = acceptor(&self.name, 2150, &[]);
                self.replace(tls).await;
            }
            Fault::PlainPort => {
                let address = plain_http().await;
                self.relay.set(Mode::LeadsTo(address)).await;
            }
            Fault::WrongCertificate => self.replace(self.mistaken.clone()).await,
            Fault::ExpiredIntermediate => {
                let (tls, root, pem) = acceptor_with_intermediate(&self.name, 2022);
                (self.ca, self.ca_pem) = (vec![root], pem);
                self.replace(tls).await;
            }
            Fault::Always(mode) => self.relay.set(mode).await,
            Fault::Later(_) | Fault::MovedName | Fault::NewCertificate => self.starts_later = true,
        }
    }

    /// Starts a fault when there is a kept connection.
    async fn go_on(&mut self, fault: Fault) {
        match fault {
            Fault::Later(mode) => self.relay.set(mode).await,
            Fault::MovedName => {
                let elsewhere = format!("127.0.0.3:{}", self.port);
                let relay = Relay::at(&elsewhere, address(&self.other, self.way));
                self.moved_from = Some(std::mem::replace(&mut self.relay, relay));
                set_addresses(&self.name, vec![self.relay.address.ip()]);
            }
            Fault::NewCertificate => self.replace(self.mistaken.clone()).await,
            _ => unreachable!("{fault:?} is there from the start"),
        }
    }

    /// Lets new connections lead to a peer with this TLS.
    async fn replace(&mut self, tls: TlsAcceptor) {
        self.other = FakePeer::with_tls(Script::default(), Some(tls)).await;
        self.relay.set(Mode::LeadsTo(self.other.http)).await;
    }

    /// Makes an address of the name, the only one or the first one, a blackhole.
    async fn add_blackhole(&mut self, at: &str, is_first: bool) {
        let blackhole = Blackhole::at(at.parse().unwrap()).await;
        let mut addresses = vec![blackhole.address.ip()];
        if is_first {
            addresses.push(self.relay.address.ip());
        }
        set_addresses(&self.name, addresses);
        self.port = blackhole.address.port();
        self.blackhole = Some(blackhole);
    }
}

fn address(peer: &FakePeer, way: Way) -> SocketAddr {
    match way {
        Way::Tcp => peer.tcp,
        Way::Http | Way::Https => peer.http,
    }
}

/// A web server that answers whatever it gets as servers answer what is not HTTP.
async fn plain_http() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            drop(stream.read(&mut request).await);
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    });
    address
}
