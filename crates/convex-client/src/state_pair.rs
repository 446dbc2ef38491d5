//! The state of a peer as a block and a hash that belong together: what peers are compared by.

use std::sync::LazyLock;

use cad3::{Cell, Hash};
use tokio::time::Instant;

use crate::attempt::{Attempt, Outcome, Request, RequestSpec};
use crate::failure::{Failure, FailureReason};
use crate::http::HttpClient;
use crate::poll_query::PollAnswer;
use crate::query::Query;
use crate::tcp::TcpClient;

/// A state by its last block and its hash, both of one instant: read by one query, or from one
/// status that has the position of its state. Two peers at one block have the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatePair {
    /// Index of the last applied block; −1 before the first.
    pub block: i64,
    /// Hash of the state after it.
    pub hash: Hash,
}

/// The query that reads a [`StatePair`], whose value [`StatePair::from_cell`] reads. It costs a
/// peer half of the juice of [`POLL_QUERY`](crate::POLL_QUERY), and its reply is a third of the
/// size.
pub static SAMPLE_QUERY: LazyLock<Query> = LazyLock::new(|| {
    Query::read("[(nth (:globals *state*) 5) (hash (encoding *state*))]")
        .expect("the text is a constant form")
});

impl StatePair {
    /// Reads the value of [`SAMPLE_QUERY`].
    ///
    /// # Errors
    /// The value is not a vector of a block and a hash: [`FailureReason::Malformed`].
    pub fn from_cell(cell: &Cell) -> Result<Self, Failure> {
        let elements = cell.as_elements().filter(|elements| elements.len() == 2);
        let pair = elements.and_then(|elements| {
            let block = elements.get(0)?.as_i64().filter(|block| *block >= -1)?;
            let hash = elements.get(1)?.as_hash()?;
            Some(Self { block, hash })
        });
        pair.ok_or_else(|| {
            let found = cell.printed(80);
            let message = format!("the value of the sample is not a block and a hash: {found}");
            Failure::new(FailureReason::Malformed, message)
        })
    }
}

impl PollAnswer {
    /// Returns the state, if the peer answered both its block and its hash.
    #[must_use]
    pub fn state_pair(&self) -> Option<StatePair> {
        Some(StatePair {
            block: self.state_block?,
            hash: self.state_hash?,
        })
    }
}

impl Attempt {
    /// Returns the state of the peer: that of the query, or else that of the status, which has one
    /// from release 0.8.17 on.
    #[must_use]
    pub fn state_pair(&self) -> Option<StatePair> {
        let answer = self
            .query
            .as_ref()
            .and_then(|query| query.value.as_ref().ok());
        let of_status = || self.status.as_ref()?.value.state;
        answer.and_then(PollAnswer::state_pair).or_else(of_status)
    }
}

impl RequestSpec<'static, StatePair> {
    /// Returns the request of a sample.
    fn sample() -> Self {
        Self {
            source: SAMPLE_QUERY.source(),
            request: Request::Form(SAMPLE_QUERY.form()),
            with_status: false,
            read: |cell| StatePair::from_cell(&cell),
        }
    }
}

impl TcpClient {
    /// Sends [`SAMPLE_QUERY`] on the same connection as [`Self::poll`], and requests nothing else.
    /// Finishes by `deadline`.
    pub async fn sample_state(&mut self, deadline: Instant) -> (Attempt<StatePair>, Outcome) {
        self.attempt(&RequestSpec::sample(), deadline).await
    }
}

impl HttpClient {
    /// Sends [`SAMPLE_QUERY`] on the same connection as [`Self::poll`], and requests nothing else.
    /// Finishes by `deadline`.
    pub async fn sample_state(&mut self, deadline: Instant) -> (Attempt<StatePair>, Outcome) {
        self.attempt(&RequestSpec::sample(), deadline).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cad3::reader;

    use crate::attempt::Timed;
    use crate::status::{OrderPoints, Status};

    use super::*;

    fn pair(block: i64, byte: u8) -> StatePair {
        StatePair {
            block,
            hash: Hash::new([byte; 32]),
        }
    }

    #[test]
    fn a_sample_is_a_block_and_a_hash() {
        let hash = Hash::new([7; 32]);
        let read = |text: &str| StatePair::from_cell(&reader::read(text).unwrap());
        assert_eq!(read(&format!("[-1 {hash}]")), Ok(pair(-1, 7)));
        for text in [
            "nil",
            "[]",
            "[1]",
            "[1 0x07]",
            "[1.0 {hash}]",
            "[-2 {hash}]",
            "[1 {hash} 3]",
        ] {
            let text = text.replace("{hash}", &hash.to_string());
            let failure = read(&text).unwrap_err();
            assert_eq!(failure.reason, FailureReason::Malformed);
            assert!(
                failure.message.contains("is not a block and a hash"),
                "{failure}"
            );
        }
    }

    #[test]
    fn the_state_of_an_attempt_is_that_of_the_query_or_else_of_the_status() {
        let took = Duration::ZERO;
        let status = |state| {
            let order = OrderPoints {
                block: 9,
                proposal: 9,
                consensus: 9,
                finality: 9,
            };
            let [genesis, peer_key] = [1, 2].map(|byte| Hash::new([byte; 32]));
            let value = Status {
                genesis,
                peer_key,
                order,
                state,
                protocol: None,
            };
            Some(Timed { value, took })
        };
        let query = |state_block, state_hash| {
            let value = Ok(PollAnswer {
                state_hash,
                state_block,
                ..PollAnswer::default()
            });
            Some(Timed { value, took })
        };
        let hash = Some(Hash::new([4; 32]));
        for (query, status, expected) in [
            (
                query(Some(5), hash),
                status(Some(pair(8, 3))),
                Some(pair(5, 4)),
            ),
            (
                query(None, hash),
                status(Some(pair(8, 3))),
                Some(pair(8, 3)),
            ),
            (query(Some(5), None), status(None), None),
            (None, status(Some(pair(8, 3))), Some(pair(8, 3))),
            (None, None, None),
        ] {
            let attempt = Attempt {
                status,
                query,
                ..Attempt::default()
            };
            assert_eq!(attempt.state_pair(), expected, "{attempt:?}");
        }
    }
}
