//! Unsigned counts in groups of seven bits, high group first (section 5.1). Frame lengths, counts
//! and addresses are encoded this way.

/// Maximum length of a count in bytes: nine groups hold every value below 2^63.
pub const MAX_LEN: usize = 9;

/// Reason why bytes are not a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VlqError {
    /// The input ends inside the count; more bytes may complete it.
    #[error("count is cut short")]
    Incomplete,
    /// The first byte is `80`, which adds nothing to the value.
    #[error("count is not in its shortest form")]
    NotShortest,
    /// The count has more than nine bytes.
    #[error("count is 2^63 or more")]
    TooLarge,
}

/// Reads a count from the start of `bytes` and returns its value, which is below 2^63, and the
/// number of bytes it occupies.
///
/// # Errors
/// The input ends inside the count, the count is not in its shortest form, or it is 2^63 or more.
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

/// Appends the shortest form of `value` to `out`.
pub fn write(value: u64, out: &mut Vec<u8>) {
    for group in (1..len(value)).rev() {
        out.push(0x80 | (value >> (7 * group) & 0x7f) as u8);
    }
    out.push((value & 0x7f) as u8);
}

/// Returns the length, in bytes, of the shortest form of `value`.
#[must_use]
pub const fn len(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()) as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}
