//! The history database: summaries by minute and by hour, and events, in one SQLite file of bounded
//! size. Only this folder uses SQLite.
//!
//! Of the embedded databases, only SQLite bounds the size of its file exactly (`max_page_count` and
//! incremental vacuum), reports a damaged file as an error instead of a panic, and merges a late
//! minute in one statement. `redb` doubles its file as it grows; `fjall` has no bound.

mod agreement;
mod error;
mod expiry;
mod retention;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod thread;

pub use error::StoreError;
pub use schema::{HOURS_KEPT, MINUTES_KEPT, Resolution};
pub use store::FILE_NAME;
pub(super) use store::{Batch, PeerKey};
pub(super) use thread::{Handle, Thread};
pub use thread::{MEMORY_BYTES, ReadError};
