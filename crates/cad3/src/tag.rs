//! Tag bytes that the crate refers to by name (section 5.2).

pub(crate) const NIL: u8 = 0x00;
/// The integer 0; an integer of n bytes has the tag `10` + n.
pub(crate) const ZERO: u8 = 0x10;
pub(crate) const BIG_INTEGER: u8 = 0x19;
pub(crate) const DOUBLE: u8 = 0x1d;
pub(crate) const REF: u8 = 0x20;
pub(crate) const STRING: u8 = 0x30;
pub(crate) const BLOB: u8 = 0x31;
pub(crate) const SYMBOL: u8 = 0x32;
pub(crate) const KEYWORD: u8 = 0x33;
/// A character of one byte; one of n bytes has the tag `3b` + n.
pub(crate) const CHAR: u8 = 0x3c;
pub(crate) const VECTOR: u8 = 0x80;
pub(crate) const LIST: u8 = 0x81;
pub(crate) const MAP: u8 = 0x82;
pub(crate) const SET: u8 = 0x83;
pub(crate) const INDEX: u8 = 0x84;
pub(crate) const SYNTAX: u8 = 0x88;
/// Signed data with the public key.
pub(crate) const SIGNED: u8 = 0x90;
/// Signed data without the public key.
pub(crate) const SIGNED_BARE: u8 = 0x91;
pub(crate) const FALSE: u8 = 0xb0;
pub(crate) const TRUE: u8 = 0xb1;
/// The record that answers a request.
pub(crate) const RESULT: u8 = 0xdd;
