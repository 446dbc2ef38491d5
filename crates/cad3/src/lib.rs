#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! ```text
//! bytes ──message──> decode ──> Cell ──> encode ──> bytes
//!                      │         │  └──> print  ──> text
//!                  canonical   build <── reader <── text
//! ```
//!
//! # Section numbers
//!
//! Section numbers in the documentation refer to a description of the peer protocol that is not
//! part of this repository: notes on CAD3 and the binary protocol, measured on running peers of
//! releases 0.8.0 to 0.8.6. The captured bytes behind the notes are in the repository, in
//! `tests/vectors`, and this crate's tests decode, encode, hash and print them.

mod cell;
mod decode;
mod encode;
mod hash;
mod message;
mod print;
pub mod reader;
mod tag;
pub mod vlq;

pub use cell::{
    BigInteger, Cell, Chunk, CodePoint, Elements, Extension, Flag, IndexNode, MAX_GATHERED_BYTES,
    Name, Node, SignedParts, VectorParts,
};
pub use decode::{DecodeError, DecodeErrorKind, Limits};
pub use encode::encode;
pub use hash::{Hash, HashError};
pub use message::{Message, decode_message, encode_message};
pub use print::{MAX_PRINTED_BYTES, Printed};

/// Length of the longest encoding, in bytes, that is written inline in its parent. A longer one is
/// replaced by its hash (section 5.3; `Format.MAX_EMBEDDED_LENGTH` in the peer's source).
pub const MAX_EMBEDDED_BYTES: usize = 140;

/// Maximum payload, in bytes, of one String, Blob or big integer cell (sections 5.2 and 5.5).
/// Longer Strings and Blobs are trees of Blobs; longer integers do not exist.
pub const MAX_CHUNK_BYTES: usize = 4096;

/// Maximum length, in bytes, of the name of a Symbol or Keyword (section 5.2).
pub const MAX_NAME_BYTES: usize = 128;
