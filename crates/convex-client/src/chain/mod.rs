//! On-chain data: the registry of peers with their stake, and values of queries as numbers.
//!
//! Nothing here does I/O: [`RegistryReader`] returns the queries to send and reads their answers,
//! and so do [`effective_stake_query`] and [`read_effective_stake`], and
//! [`executed_transactions_query`] and [`read_executed_transactions`].

mod advertised;
pub mod economics;
mod effective_stake;
mod number;
mod registry;
mod transactions;

pub use advertised::{AdvertisedAddress, AdvertisedError};
pub use effective_stake::{effective_stake_query, read_effective_stake};
pub use number::{NotANumber, to_number};
pub use registry::{
    Coverage, MAX_PEERS, MAX_URL_BYTES, RegisteredPeer, Registry, RegistryError, RegistryReader,
    Totals,
};
pub use transactions::{
    ExecutedTransactions, MAX_SUMMED_ACCOUNTS, executed_transactions_query,
    read_executed_transactions,
};
