//! Unsigned counts as groups of seven bits, high group first (section 5.1): frame lengths, counts, addresses.

/// The longest form: nine groups carry every value below 2^63.
pub const MAX_LEN: usize = 9;

/// Why bytes are no count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VlqError {
    /// The input ends inside the count: more bytes may complete it.
    #[error("count cut short")]
    Incomplete,
    /// A first byte of `80` adds nothing.
    #[error("count is not in its shortest form")]
    NotShortest,
    /// More than nine bytes.
    #[error("count is 2^63 or more")]
    TooLarge,
}

/// Reads a count from the start of `bytes`: its value, below 2^63, and the number of bytes it took.
///
/// # Errors
/// When the input ends inside it, when it is not the shortest form, when it reaches 2^63.
pub fn read(bytes: &[u8]) -> Result<(u64, usize), VlqError> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(MAX_LEN).enumerate() {
        if index == 0 && *byte == 0x80 {
            return Err(VlqError::NotShortest);
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok((value, index + 1));
        }
    }
    Err(if bytes.len() < MAX_LEN {
        VlqError::Incomplete
    } else {
        VlqError::TooLarge
    })
}

/// Appends the shortest form of `value`.
pub fn write(value: u64, out: &mut Vec<u8>) {
    for group in (1..len(value)).rev() {
        out.push(0x80 | (value >> (7 * group) & 0x7f) as u8);
    }
    out.push((value & 0x7f) as u8);
}

/// How many bytes the shortest form of `value` takes.
#[must_use]
pub const fn len(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()) as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}
