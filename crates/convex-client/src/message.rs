//! Requests and replies of the peer protocol as cells (PEER-PROTOCOL, sections 3 and 4). Knows no transport.

use cad3::{Cell, DecodeError, Limits};

/// The record tag of a Result.
const RESULT: u8 = 0xdd;

/// `[:SR id]`.
#[must_use]
pub fn status_request(id: i64) -> Cell {
    Cell::vector([Cell::keyword("SR"), Cell::integer(id)])
}

/// `[:PING id]`, for peers that are known to answer it (0.8.3 and later).
#[must_use]
pub fn ping_request(id: i64) -> Cell {
    Cell::vector([Cell::keyword("PING"), Cell::integer(id)])
}

/// `[:Q id form address]`; without an account the address is nil and the peer asks as #11.
#[must_use]
pub fn query_request(id: i64, form: &Cell, account: Option<u64>) -> Cell {
    let address = account.map_or(Cell::Nil, Cell::address);
    Cell::vector([Cell::keyword("Q"), Cell::integer(id), form.clone(), address])
}

/// A Result: what a peer answers to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request's id; none where the peer could not tell which request it answers.
    pub id: Option<i64>,
    /// The value, or what the peer says was wrong.
    pub outcome: Result<Cell, ErrorReply>,
    /// What `info` shows of the peer's release; it says something only in a query's reply.
    pub api: Api,
}

/// The interface that a peer shows by what it answers, named by the oldest release that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum Api {
    /// No PING and no `:fees`.
    #[cfg_attr(feature = "serde", serde(rename = "0.8.0"))]
    V0_8_0,
    /// `:fees` in a query's info, and PING.
    #[cfg_attr(feature = "serde", serde(rename = "0.8.3"))]
    V0_8_3,
}

impl Api {
    /// The release.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_8_0 => "0.8.0",
            Self::V0_8_3 => "0.8.3",
        }
    }
}

/// An error that the peer reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// The code, without colon where it is a keyword, as printed otherwise.
    pub code: String,
    /// What the peer says about it.
    pub message: String,
}

/// Longest piece of an error that is kept, bytes; a peer may send any cell as one.
const ERROR_BYTES: usize = 300;

impl Reply {
    /// Reads a message's content. `None`: a well-formed message that is no Result, which nobody waits for.
    ///
    /// # Errors
    /// The content does not decode.
    pub fn decode(content: &[u8], limits: &Limits) -> Result<Option<Self>, DecodeError> {
        Ok(Self::from_cell(&cad3::decode_message(content, limits)?.top))
    }

    /// The Result that `cell` is, if it is one.
    #[must_use]
    pub fn from_cell(cell: &Cell) -> Option<Self> {
        // Id, value, error, log, info.
        let fields = cell.record_fields(RESULT)?;
        let [id, value, error, info] = [0, 1, 2, 4].map(|i| fields.get(i).unwrap_or(&Cell::Nil));
        let outcome = match error {
            Cell::Nil => Ok(value.clone()),
            code => Err(ErrorReply {
                code: code
                    .as_keyword()
                    .map_or_else(|| printed(code), ToOwned::to_owned),
                message: value
                    .as_text()
                    .map_or_else(|| printed(value), |text| cut(&text)),
            }),
        };
        Some(Self {
            id: id.as_i64(),
            outcome,
            api: if info.get("fees").is_some() {
                Api::V0_8_3
            } else {
                Api::V0_8_0
            },
        })
    }
}

/// A piece of an error as it is printed.
fn printed(cell: &Cell) -> String {
    cell.printed(ERROR_BYTES).to_string()
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    text.chars().take(ERROR_BYTES).collect()
}
