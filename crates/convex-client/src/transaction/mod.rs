//! Transactions: the key of an account, a transaction that does nothing, its signature, how it is
//! sent to a peer, and what the chain says about the account (PEER-PROTOCOL, sections 3, 5.8 and
//! 5.9).
//!
//! # Stages
//!
//! A peer does not acknowledge a transaction. It either refuses it, usually within milliseconds, or
//! answers once: with the result, when the block of the transaction is final. So two stages can be
//! observed, and no more:
//!
//! - **result**: [`TcpClient::submit`](crate::TcpClient::submit) returns;
//! - **seen**: the sequence number of the account at another peer has reached that of the
//!   transaction ([`AccountState::has_executed`]).
//!
//! # Safety of repetition
//!
//! A sequence number is used once, so signed bytes can be sent any number of times, to any number
//! of peers: they are executed at most once. A new transaction is safe if it has the next sequence
//! number, because it can then only replace the earlier one, never follow it.

mod account;
mod control;
mod invoke;
mod key;
mod key_file;
mod reason;
mod result;

pub use account::{AccountState, account_query, read_account};
pub use control::{
    AccountControl, MAX_SEARCHED_ACCOUNTS, MAX_SEARCHED_PEERS, control_query, read_control,
};
pub use invoke::{InvalidTransaction, Invoke, MAX_TRANSACTION_BYTES, SignedTransaction};
pub use key::AccountKey;
pub use key_file::{KeyFileError, MAX_KEY_FILE_BYTES};
pub use reason::TransactionFailure;
pub use result::{BlockLocation, SubmitError, TransactionResult, transaction_request};
