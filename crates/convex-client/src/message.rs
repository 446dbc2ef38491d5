//! Requests and replies of the peer protocol as cells (PEER-PROTOCOL, sections 3 and 4).

use cad3::{Cell, DecodeError, Hash, Limits};

use crate::failure::{Failure, FailureReason};

/// Record tag of a Result.
const RESULT_TAG: u8 = 0xdd;

/// Returns the request for a peer's status, `[:SR id]`.
#[must_use]
pub fn status_request(id: i64) -> Cell {
    Cell::vector([Cell::keyword("SR"), Cell::integer(id)])
}

/// Returns the request for a peer's clock, `[:PING id]`. Only peers of 0.8.3 and later answer it.
#[must_use]
pub fn ping_request(id: i64) -> Cell {
    Cell::vector([Cell::keyword("PING"), Cell::integer(id)])
}

/// Returns the request to evaluate a form, `[:Q id form address]`. Without an account the address
/// is nil, and the peer evaluates the form as #11.
#[must_use]
pub fn query_request(id: i64, form: &Cell, account: Option<u64>) -> Cell {
    let address = account.map_or(Cell::Nil, Cell::address);
    Cell::vector([Cell::keyword("Q"), Cell::integer(id), form.clone(), address])
}

/// Maximum number of hashes in one data request. Peers do not answer more.
pub const MAX_REQUESTED_CELLS: usize = 254;

/// Returns the request for cells by their hashes, at most [`MAX_REQUESTED_CELLS`],
/// `[:DR id hash*]`.
#[must_use]
pub fn data_request(id: i64, hashes: &[Hash]) -> Cell {
    let head = [Cell::keyword("DR"), Cell::integer(id)];
    Cell::vector(
        head.into_iter()
            .chain(hashes.iter().copied().map(Cell::from)),
    )
}

/// Reads the answer to a data request for `requested` cells: one for each hash in its order,
/// without the cells that it refers to; none where the peer does not have it.
///
/// # Errors
/// The value is not a vector of as many cells: [`FailureReason::Malformed`].
pub fn read_cells(value: &Cell, requested: usize) -> Result<Vec<Option<Cell>>, Failure> {
    let malformed = |message: String| Failure::new(FailureReason::Malformed, message);
    let found = value.as_elements().filter(|_| value.kind() == "vector");
    let found = found.ok_or_else(|| {
        let found = value.printed(80);
        malformed(format!(
            "the answer to a data request is not a vector: {found}"
        ))
    })?;
    if found.len() != requested {
        let found = found.len();
        return Err(malformed(format!(
            "requested {requested} cells, received {found}"
        )));
    }
    let cells = found.iter().map(|cell| match cell {
        Cell::Nil => Ok(None),
        Cell::Ref(hash) => Err(malformed(format!(
            "the reply refers to the cell {hash} but does not contain it"
        ))),
        cell => Ok(Some(cell.clone())),
    });
    cells.collect()
}

/// A Result, the answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Id of the request. Absent if the peer could not determine which request it answers.
    pub id: Option<i64>,
    /// The value, or the error that the peer reports.
    pub outcome: Result<Cell, ErrorReply>,
    /// Protocol version, inferred from the info field. Meaningful only in the reply to a query.
    pub api: Api,
    /// What else the peer says, such as what a transaction cost: a Map, or nil.
    pub info: Cell,
}

/// Protocol version of a peer, inferred from its replies and named after the oldest release that
/// has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum Api {
    /// Releases 0.8.0 to 0.8.2: no PING, and no `:fees` in the info of a query's reply.
    #[cfg_attr(feature = "serde", serde(rename = "0.8.0"))]
    V0_8_0,
    /// Releases 0.8.3 and later: PING, and `:fees` in the info of a query's reply.
    #[cfg_attr(feature = "serde", serde(rename = "0.8.3"))]
    V0_8_3,
}

impl Api {
    /// Returns the release, such as `0.8.3`.
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
    /// The error code, such as `UNDECLARED`. A keyword without its colon; any other cell as
    /// printed.
    pub code: String,
    /// The peer's message. At most 300 characters, not sanitized.
    pub message: String,
}

/// Maximum length of each part of an error, because peers can send any cell. In bytes for printed
/// cells, in characters for text.
const MAX_ERROR_LEN: usize = 300;

impl Reply {
    /// Decodes the content of a message. Returns `None` for a message that is not a Result.
    ///
    /// # Errors
    /// The content does not decode within `limits`.
    pub fn decode(content: &[u8], limits: &Limits) -> Result<Option<Self>, DecodeError> {
        Ok(Self::from_cell(&cad3::decode_message(content, limits)?.top))
    }

    /// Reads a Result, or returns `None` if `cell` is not a Result.
    #[must_use]
    pub fn from_cell(cell: &Cell) -> Option<Self> {
        // The fields are id, value, error, log and info.
        let fields = cell.record_fields(RESULT_TAG)?;
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
            info: info.clone(),
        })
    }
}

fn printed(cell: &Cell) -> String {
    cell.printed(MAX_ERROR_LEN).to_string()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_ERROR_LEN).collect()
}
