//! CAD3, the encoding of Convex values: cells in and out of bytes, their hashes, their printed form, and query text.
//!
//! Sans-IO: slices in, values out. Knows no sockets, no clock, no configuration and nothing of the peer protocol
//! above a message's cells.
//!
//! ```text
//! bytes ──message──> decode ──> Cell ──> encode ──> bytes
//!                      │         │  └──> print  ──> text
//!                    check     build <── reader <── text
//! ```
//!
//! Section numbers in comments are those of the protocol description the vectors come with.

mod build;
mod canonical;
mod cell;
mod collection;
mod decode;
mod encode;
mod error;
mod hash;
mod items;
mod leaf;
mod message;
mod node;
mod print;
pub mod reader;
pub mod vlq;

pub use cell::Cell;
pub use collection::{Elements, MAX_GATHERED};
pub use decode::Limits;
pub use encode::encode;
pub use error::{DecodeError, Problem};
pub use hash::{Hash, HashError};
pub use leaf::{BigInteger, Chunk, CodePoint, Extension, Flag, Name};
pub use message::{Message, decode_message, encode_message};
pub use node::Node;
pub use print::{PRINT_LIMIT, Printed};

/// The longest encoding, in bytes, that stands inline where a child does; a longer one is replaced by its hash
/// (section 5.3).
pub const MAX_EMBEDDED: usize = 140;

/// The longest run of bytes, in bytes, in one String, Blob or big integer cell (sections 5.2 and 5.5).
pub const MAX_CHUNK: usize = 4096;

/// The longest name, in bytes, of a Symbol or Keyword (section 5.2).
pub const MAX_NAME: usize = 128;
