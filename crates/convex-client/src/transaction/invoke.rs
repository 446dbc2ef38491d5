//! Transactions and their signatures.

use cad3::{Cell, DecodeError, Hash, Limits, decode_message, encode};

use super::AccountKey;
use crate::belief::verify;
use crate::signing::sign;

/// Record tag of an Invoke.
const INVOKE_TAG: u8 = 0xd0;

/// Number of the special operation `*nop*`.
const NOP: u64 = 20;

/// Its price in juice (`Juice.SPECIAL`).
const NOP_JUICE: u64 = 10;

/// Price of a transaction in juice, whatever it does (`Juice.TRANSACTION`).
const TRANSACTION_JUICE: u64 = 500;

/// Price of each byte of a transaction in juice (`Juice.TRANSACTION_PER_BYTE`).
const BYTE_JUICE: u64 = 20;

/// Maximum size of a signed transaction in bytes: far more than one that does nothing needs, 107 to
/// 125 of them.
pub const MAX_TRANSACTION_BYTES: usize = 64 * 1024;

/// A transaction that runs a command as an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Invoke {
    /// The account.
    pub origin: u64,
    /// The sequence number: that of the account, plus 1.
    pub sequence: i64,
    /// The command: a form, or a compiled operation, which costs less.
    pub command: Cell,
}

impl Invoke {
    /// Creates the transaction that does nothing and costs the least: the operation `*nop*`, whose
    /// value is nil.
    ///
    /// It costs 10 juice, 500 for a transaction, and 20 for each of its 8 to 26 bytes.
    #[must_use]
    pub fn nothing(origin: u64, sequence: i64) -> Self {
        Self {
            origin,
            sequence,
            command: Cell::special(NOP),
        }
    }

    /// Returns what [`Invoke::nothing`] costs at this price of juice, in copper.
    #[must_use]
    pub fn fees_of_nothing(&self, juice_price: u64) -> u64 {
        let bytes = encode(&self.to_cell()).len() as u64;
        juice_price.saturating_mul(NOP_JUICE + TRANSACTION_JUICE + BYTE_JUICE * bytes)
    }

    /// Signs the transaction.
    #[must_use]
    pub fn sign(&self, key: &AccountKey) -> SignedTransaction {
        let cell = sign(&key.public_key(), self.to_cell(), |message| {
            key.sign(message)
        });
        SignedTransaction::new(cell, self.clone(), key.public_key())
    }

    fn to_cell(&self) -> Cell {
        let fields = [
            Cell::address(self.origin),
            Cell::integer(self.sequence),
            self.command.clone(),
        ];
        Cell::record(INVOKE_TAG, fields)
    }

    fn from_cell(cell: &Cell) -> Option<Self> {
        let fields = cell.record_fields(INVOKE_TAG)?;
        if fields.len() != 3 {
            return None;
        }
        Some(Self {
            origin: fields.get(0)?.as_address()?,
            sequence: fields.get(1)?.as_i64()?,
            command: fields.get(2)?.clone(),
        })
    }
}

/// A signed transaction. Its bytes can be kept and sent again: they are executed at most once.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedTransaction {
    cell: Cell,
    encoded: Vec<u8>,
    invoke: Invoke,
    signer: Hash,
}

/// Why bytes are not a signed transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    /// The bytes do not decode.
    #[error("the bytes do not decode: {0}")]
    Encoding(#[from] DecodeError),
    /// They are something else, or of a kind that is not supported.
    #[error("the bytes are not a signed Invoke")]
    NotInvoke,
    /// The signature is not valid.
    #[error("the signature is not valid")]
    BadSignature,
}

impl SignedTransaction {
    fn new(cell: Cell, invoke: Invoke, signer: Hash) -> Self {
        let encoded = cad3::encode_message(&cell);
        Self {
            cell,
            encoded,
            invoke,
            signer,
        }
    }

    /// Decodes the bytes of [`SignedTransaction::encoded`], and verifies the signature.
    ///
    /// # Errors
    /// The bytes are not a signed transaction, or are longer than [`MAX_TRANSACTION_BYTES`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidTransaction> {
        let limits = Limits {
            max_bytes: MAX_TRANSACTION_BYTES,
            ..Limits::default()
        };
        let message = decode_message(bytes, &limits)?;
        if !message.is_complete() {
            return Err(InvalidTransaction::NotInvoke);
        }
        let parts = message
            .top
            .signed_parts()
            .ok_or(InvalidTransaction::NotInvoke)?;
        let invoke = Invoke::from_cell(parts.value).ok_or(InvalidTransaction::NotInvoke)?;
        let (signer, _) = verify(&message.top).map_err(|_| InvalidTransaction::BadSignature)?;
        Ok(Self::new(message.top, invoke, signer))
    }

    /// Returns the bytes to keep before the transaction is sent.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Returns the hash, which identifies the transaction on chain.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.cell.hash()
    }

    /// Returns the account.
    #[must_use]
    pub const fn origin(&self) -> u64 {
        self.invoke.origin
    }

    /// Returns the sequence number.
    #[must_use]
    pub const fn sequence(&self) -> i64 {
        self.invoke.sequence
    }

    /// Returns the public key of the signer.
    #[must_use]
    pub const fn signer(&self) -> Hash {
        self.signer
    }

    /// Returns the transaction.
    #[must_use]
    pub const fn invoke(&self) -> &Invoke {
        &self.invoke
    }

    /// Returns the signed data as a cell, as messages contain it.
    #[must_use]
    pub const fn cell(&self) -> &Cell {
        &self.cell
    }
}
