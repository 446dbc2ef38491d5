//! A network without sockets and without a clock: what its peers answer at a given time.

mod cells;
mod transactions;

use std::time::{Duration, SystemTime};

use cad3::{Cell, Hash, encode_message};
use convex_client::{
    Answer, Attempt, ClockSample, ErrorReply, Failure, FailureReason, OrderPoints, Outcome,
    POLL_QUERY, PollAnswer, Query, QueryError, Reply, SAMPLE_QUERY, StatePair, Status, Timed,
    ping_request, query_request, status_request,
};

use super::network::{MAX_PEERS, Options, StartError};
use super::reply::{Response, respond};
use super::script::Wire;
use super::world::{View, World};

pub use cells::SimulatedCells;

/// Time that every answer takes, besides that of the fault `slow`.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// A simulated network that is asked directly. Peers are counted from 1, and every question names
/// its time since the start, so that tests with paused time decide how fast time passes. Times need
/// not be in order; blocks that were made stay.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use convex_simulator::{Options, Script, Simulation, Traffic};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = Options {
///     peers: 4,
///     script: Script::parse(["fork:2:10s"], 4)?,
///     traffic: Some(Traffic::parse("random:1s", 4)?),
///     ..Options::default()
/// };
/// let mut simulation = Simulation::new(options, SystemTime::now())?;
/// let at = Duration::from_secs(60);
/// let states = [1, 2, 3].map(|peer| simulation.state_pair(peer, at));
/// assert_eq!(states[0].block, states[1].block);
/// assert_ne!(states[0].hash, states[1].hash);
/// assert_eq!(states[0].hash, states[2].hash);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Simulation {
    world: World,
    start: SystemTime,
    peers: usize,
}

impl Simulation {
    /// Creates a network that starts at `start`, any time since 2024, by the clocks of its peers.
    /// Ignores the ports of `options`; the peers advertise no URLs.
    ///
    /// # Errors
    /// The number of peers is out of range.
    pub fn new(options: Options, start: SystemTime) -> Result<Self, StartError> {
        let peers = options.peers;
        if !(1..=MAX_PEERS).contains(&peers) {
            return Err(StartError::Peers(peers));
        }
        let since_epoch = start.duration_since(SystemTime::UNIX_EPOCH);
        let start_ms = i64::try_from(since_epoch.unwrap_or_default().as_millis());
        Ok(Self {
            world: World::new(options, start_ms.unwrap_or(i64::MAX)),
            start,
            peers,
        })
    }

    /// Returns the genesis hash, which identifies the network.
    pub fn genesis(&mut self) -> Hash {
        self.world.genesis()
    }

    /// Returns the number of peers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.peers
    }

    /// Always false: a network has at least one peer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.peers == 0
    }

    /// Returns the key of `peer`.
    ///
    /// # Panics
    /// There is no such peer.
    #[must_use]
    pub fn key(&self, peer: usize) -> Hash {
        self.world.key(peer - 1)
    }

    /// Lets `peer` make a block at `at`.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn make_block(&mut self, peer: usize, at: Duration) {
        self.world.make_block(peer - 1, at);
    }

    /// Returns the last executed block of `peer` and the hash of the state after it, whatever
    /// prevents it from answering.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn state_pair(&mut self, peer: usize, at: Duration) -> StatePair {
        self.view(peer, at).state_pair()
    }

    /// Returns the order of `peer`, whatever prevents it from answering.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn order(&mut self, peer: usize, at: Duration) -> OrderPoints {
        let [block, proposal, consensus, finality] = self.view(peer, at).levels;
        OrderPoints {
            block,
            proposal,
            consensus,
            finality,
        }
    }

    /// Returns the reply of `peer` to a request of the binary protocol, such as
    /// [`status_request`], or the failure of a client that waits for `timeout`. Transactions have
    /// [`Self::submit`].
    ///
    /// # Errors
    /// A fault prevents the reply, or delays it beyond the timeout.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn answer(
        &mut self,
        peer: usize,
        at: Duration,
        timeout: Duration,
        request: &Cell,
    ) -> Result<Timed<Reply>, Failure> {
        reply(&self.view(peer, at), timeout, request)
    }

    /// Polls `peer` as [`TcpClient::poll`](convex_client::TcpClient::poll) does.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn poll(&mut self, peer: usize, at: Duration, timeout: Duration) -> (Attempt, Outcome) {
        let view = self.view(peer, at);
        let mut attempt = Attempt::default();
        let outcome = self.poll_view(&view, at, timeout, &mut attempt);
        (attempt, outcome)
    }

    /// Samples the state of `peer` as
    /// [`TcpClient::sample_state`](convex_client::TcpClient::sample_state) does.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn sample_state(
        &mut self,
        peer: usize,
        at: Duration,
        timeout: Duration,
    ) -> (Attempt<StatePair>, Outcome) {
        let view = self.view(peer, at);
        let mut attempt = Attempt::default();
        let outcome = ask(&view, timeout, &SAMPLE_QUERY).and_then(|reply| {
            let took = reply.took;
            attempt.query = Some(read(reply, |cell| StatePair::from_cell(&cell))?);
            Ok(took)
        });
        (attempt, outcome)
    }

    /// Sends a query to `peer` as [`TcpClient::query`](convex_client::TcpClient::query) does, such
    /// as those of a [`RegistryReader`](convex_client::chain::RegistryReader).
    ///
    /// # Errors
    /// The peer reports an error, or a fault prevents its answer.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn query(
        &mut self,
        peer: usize,
        at: Duration,
        timeout: Duration,
        query: &Query,
    ) -> Result<Cell, QueryError> {
        let reply = ask(&self.view(peer, at), timeout, query)?;
        read(reply, Ok)?.value.map_err(QueryError::Refused)
    }

    /// Returns the cells that `peer` has at `at`, such as its belief, as
    /// [`TcpClient::cells`](convex_client::TcpClient::cells) does.
    ///
    /// # Panics
    /// The first request panics if there is no such peer.
    pub const fn cells(
        &mut self,
        peer: usize,
        at: Duration,
        timeout: Duration,
    ) -> SimulatedCells<'_> {
        SimulatedCells {
            simulation: self,
            peer,
            at,
            timeout,
        }
    }

    fn view(&mut self, peer: usize, at: Duration) -> View {
        self.world.view(peer - 1, at)
    }

    fn poll_view(
        &self,
        view: &View,
        at: Duration,
        timeout: Duration,
        attempt: &mut Attempt,
    ) -> Outcome {
        let status = reply(view, timeout, &status_request(1))?;
        let value = status.value.outcome.map_err(|error| peer_error(&error))?;
        let value = Status::from_cell(&value)?;
        let took = status.took;
        attempt.status = Some(Timed { value, took });
        if let Ok(Timed { value, took }) = reply(view, timeout, &ping_request(2))
            && let Some(peer_ms) = value.outcome.ok().and_then(|value| value.as_i64())
        {
            let value = ClockSample::new(peer_ms, self.start + at, took);
            attempt.clock = Some(Timed { value, took });
        }
        let reply = ask(view, timeout, &POLL_QUERY).map_err(|failure| match failure.reason {
            FailureReason::Timeout => Failure::new(
                FailureReason::QueryHangs,
                "the peer answered the status request but not the query",
            ),
            _ => failure,
        })?;
        attempt.api = Some(reply.value.api);
        attempt.query = Some(read(reply, |cell| PollAnswer::from_cell(&cell))?);
        Ok(took)
    }
}

/// How a peer responds, and when.
type Responded = (Response, Duration);

fn ask(view: &View, timeout: Duration, query: &Query) -> Result<Timed<Reply>, Failure> {
    reply(view, timeout, &query_request(3, query.form(), None))
}

/// Returns how a view's peer responds, or what a client sees of the fault that prevents it.
fn response(view: &View, timeout: Duration, request: &Cell) -> Result<Responded, Failure> {
    let simulated = |reason, message: &str| Err(Failure::new(reason, message));
    match view.faults.wire {
        Wire::Normal => {}
        Wire::Tarpit => return Err(late()),
        Wire::Refuse => return simulated(FailureReason::Refused, "connection refused"),
        Wire::Reset | Wire::HalfReply => {
            return simulated(FailureReason::Closed, "the peer closed the connection");
        }
        Wire::Garbage => return simulated(FailureReason::Malformed, "the reply is not a cell"),
        Wire::HugeFrame => return simulated(FailureReason::TooLarge, "a reply of 50 MB"),
    }
    let took = ROUND_TRIP + view.faults.slow;
    if took > timeout {
        return Err(late());
    }
    match respond(view, &encode_message(request)) {
        Response::Ignore => Err(late()),
        Response::Disconnect => simulated(FailureReason::Closed, "the peer closed the connection"),
        response => Ok((response, took)),
    }
}

fn late() -> Failure {
    Failure::new(FailureReason::Timeout, "connected, but no answer arrived")
}

/// Returns the reply of a view's peer, or what a client sees of the fault that prevents it.
fn reply(view: &View, timeout: Duration, request: &Cell) -> Result<Timed<Reply>, Failure> {
    match response(view, timeout, request)? {
        (
            Response::Immediate(cell) | Response::Challenged(cell, _) | Response::Queued(cell),
            took,
        ) => {
            let value = read_reply(&cell)?;
            Ok(Timed { value, took })
        }
        // The result of a transaction follows later: see Simulation::submit.
        _ => Err(late()),
    }
}

fn read_reply(cell: &Cell) -> Result<Reply, Failure> {
    let malformed = || Failure::new(FailureReason::Malformed, "the reply is not a Result");
    Reply::from_cell(cell).ok_or_else(malformed)
}

/// Reads the reply to a query. Errors which say that the query was not evaluated are failures.
fn read<V>(
    reply: Timed<Reply>,
    read: impl FnOnce(Cell) -> Result<V, Failure>,
) -> Result<Timed<Answer<V>>, Failure> {
    let took = reply.took;
    let value = match reply.value.outcome {
        Ok(cell) => Ok(read(cell)?),
        Err(error) if error.code == "LOAD" => {
            return Err(Failure::new(FailureReason::Overloaded, error.message));
        }
        Err(error) => Err(error),
    };
    Ok(Timed { value, took })
}

fn peer_error(error: &ErrorReply) -> Failure {
    let message = format!("the status request failed with :{}", error.code);
    Failure::new(FailureReason::PeerError, message)
}

#[cfg(test)]
mod tests {
    use convex_client::chain::RegistryReader;

    use super::*;
    use crate::registered::Registered;
    use crate::script::Script;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn simulation(faults: &[&str]) -> Simulation {
        let options = Options {
            peers: 4,
            script: Script::parse(faults.iter().copied(), 4).unwrap(),
            registered: Registered {
                count: 6,
                stake_copper: 1,
            },
            ..Options::default()
        };
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Simulation::new(options, start).unwrap()
    }

    #[test]
    fn each_fault_is_the_failure_that_a_client_sees() {
        for (fault, expected) in [
            ("lag=5:2", None),
            ("slow=1s:2", None),
            ("slow=6s:2", Some(FailureReason::Timeout)),
            ("tarpit:2", Some(FailureReason::Timeout)),
            ("refuse:2", Some(FailureReason::Refused)),
            ("reset:2", Some(FailureReason::Closed)),
            ("half-reply:2", Some(FailureReason::Closed)),
            ("garbage:2", Some(FailureReason::Malformed)),
            ("huge-frame:2", Some(FailureReason::TooLarge)),
            ("half-dead:2", Some(FailureReason::QueryHangs)),
            ("query-error=LOAD:2", Some(FailureReason::Overloaded)),
            ("query-error=JUICE:2", None),
        ] {
            let mut simulation = simulation(&[fault]);
            let (_, outcome) = simulation.poll(2, Duration::ZERO, TIMEOUT);
            assert_eq!(
                outcome.err().map(|failure| failure.reason),
                expected,
                "{fault}"
            );
            let (_, outcome) = simulation.sample_state(2, Duration::ZERO, TIMEOUT);
            assert_eq!(outcome.is_ok(), expected.is_none(), "{fault}");
            let (attempt, outcome) = simulation.poll(1, Duration::ZERO, TIMEOUT);
            assert!(outcome.is_ok(), "{fault}");
            assert_eq!(
                attempt.state_pair(),
                Some(simulation.state_pair(1, Duration::ZERO))
            );
        }
    }

    #[test]
    fn polls_samples_and_queries_show_the_same_network() {
        let mut simulation = simulation(&["skew=-2s:1"]);
        let at = Duration::from_secs(3);
        let (attempt, _) = simulation.poll(1, at, TIMEOUT);
        let status = attempt.status.as_ref().unwrap().value;
        assert_eq!(
            (status.genesis, status.peer_key),
            (simulation.genesis(), simulation.key(1))
        );
        assert_eq!(status.order, simulation.order(1, at));
        let skew = attempt.clock.as_ref().unwrap().value.skew;
        assert!((skew + 2.0).abs() < 0.1, "{skew}");
        let (sample, _) = simulation.sample_state(1, at, TIMEOUT);
        assert_eq!(sample.query.unwrap().value.ok(), attempt.state_pair());
        let mut reader = RegistryReader::default();
        while let Some(query) = reader.next_query() {
            reader
                .handle_answer(simulation.query(1, at, TIMEOUT, &query))
                .unwrap();
        }
        let registry = reader.finish().unwrap();
        assert_eq!((registry.registered, registry.peers.len()), (10, 10));
        assert!(registry.peers.contains_key(&simulation.key(4)));
    }

    #[test]
    fn a_network_without_peers_is_refused() {
        let error = Simulation::new(Options::default(), SystemTime::UNIX_EPOCH).unwrap_err();
        assert!(matches!(error, StartError::Peers(0)), "{error}");
    }
}
