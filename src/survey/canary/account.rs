//! Reads the canary's account at two peers, so that no single one decides what is signed.

use std::sync::Arc;
use std::time::Duration;

use convex_client::Query;
use convex_client::transaction::{
    AccountControl, AccountState, account_query, control_query, read_account, read_control,
};
use tokio::time::timeout;

use crate::fleet::PeerRecord;

use super::peers::CanaryPeers;

/// Number of peers that have to agree, where there are as many.
const CONFIRMATIONS: usize = 2;

/// Most peers that are queried for one answer.
const MAX_ATTEMPTS: usize = 4;

/// Longest wait for one answer; a peer can be busy with a poll.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The account as peers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// They agree about it.
    Account(AccountState),
    /// None of them has it.
    Missing,
    /// They do not answer, or do not agree.
    Unknown,
}

impl Confirmed {
    pub(super) const fn account(self) -> Option<AccountState> {
        match self {
            Self::Account(state) => Some(state),
            Self::Missing | Self::Unknown => None,
        }
    }
}

/// Reads the account from two of these peers, or from the only one.
pub(super) async fn read_confirmed(
    asked: &impl CanaryPeers,
    peers: &[Arc<PeerRecord>],
    account: u64,
) -> Confirmed {
    let needed = CONFIRMATIONS.min(peers.len());
    let mut found = Vec::new();
    for record in peers.iter().take(MAX_ATTEMPTS) {
        if found.len() == needed {
            break;
        }
        match read_one(asked, &record.peer.name, account).await {
            Confirmed::Unknown => {}
            state => found.push(state),
        }
    }
    if found.len() == needed {
        agreed(&found)
    } else {
        Confirmed::Unknown
    }
}

/// Returns the newest of these readings if they have the same sequence number.
fn agreed(found: &[Confirmed]) -> Confirmed {
    let sequence = |state: &Confirmed| state.account().map(|state| state.sequence);
    let is_agreed = found
        .windows(2)
        .all(|pair| sequence(&pair[0]) == sequence(&pair[1]));
    let newest = found
        .iter()
        .max_by_key(|state| state.account().map(|state| state.block));
    newest
        .filter(|_| is_agreed)
        .copied()
        .unwrap_or(Confirmed::Unknown)
}

/// Reads the account from one peer.
pub(super) async fn read_one(asked: &impl CanaryPeers, peer: &str, account: u64) -> Confirmed {
    match ask(asked, peer, account_query(account), read_account).await {
        Some(Some(state)) => Confirmed::Account(state),
        Some(None) => Confirmed::Missing,
        None => Confirmed::Unknown,
    }
}

/// Reads what the account controls from the first of these peers that answers.
pub(super) async fn read_what_it_controls(
    asked: &impl CanaryPeers,
    peers: &[Arc<PeerRecord>],
    account: u64,
) -> Option<AccountControl> {
    for record in peers.iter().take(MAX_ATTEMPTS) {
        let query = control_query(account);
        let answer = ask(asked, &record.peer.name, query, read_control).await;
        if answer.is_some() {
            return answer;
        }
    }
    None
}

async fn ask<T>(
    asked: &impl CanaryPeers,
    peer: &str,
    query: Query,
    read: fn(&cad3::Cell) -> Result<T, String>,
) -> Option<T> {
    let answer = timeout(ANSWER_TIMEOUT, asked.query(peer, query))
        .await
        .ok()?;
    let answer = answer.map_err(|error| error.to_string());
    match answer.and_then(|value| read(&value)) {
        Ok(read) => Some(read),
        Err(error) => {
            tracing::debug!(peer.name = %peer, %error, "cannot read the canary's account from this peer");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_count_if_their_sequence_numbers_are_equal() {
        let state = |block, sequence| {
            Confirmed::Account(AccountState {
                block,
                time_ms: 0,
                juice_price: 2,
                sequence,
                key: None,
                balance: 1,
                has_key_of_peer: false,
            })
        };
        for (found, expected) in [
            (vec![state(1, 5)], state(1, 5)),
            (vec![state(1, 5), state(2, 5)], state(2, 5)),
            (vec![state(1, 5), state(2, 6)], Confirmed::Unknown),
            (
                vec![Confirmed::Missing, Confirmed::Missing],
                Confirmed::Missing,
            ),
            (vec![Confirmed::Missing, state(2, 0)], Confirmed::Unknown),
            (vec![], Confirmed::Unknown),
        ] {
            assert_eq!(agreed(&found), expected, "{found:?}");
        }
    }
}
