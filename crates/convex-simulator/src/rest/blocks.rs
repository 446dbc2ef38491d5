//! The route of a block (PEER-PROTOCOL, section 9).

use cad3::Cell;
use http::StatusCode;

use crate::ledger::BLOCK;
use crate::world::View;

use super::{Reply, not_found, text};

/// Answers with the block at a position of the peer's order.
pub(super) fn block(view: &View, path: &str, number: &str) -> Reply {
    let Ok(index) = number.parse::<i64>() else {
        let problem = r#"{"error":"Invalid block number format: must be a number"}"#;
        return text(view, StatusCode::BAD_REQUEST, problem);
    };
    let block = view.signed_block(index);
    match block.and_then(|signed| description(view, index, &signed)) {
        Some(description) => Reply {
            status: StatusCode::OK,
            content_type: "text/plain",
            body: description.into_bytes(),
        },
        None => not_found(view, path),
    }
}

/// Describes a signed block as a peer does.
fn description(view: &View, index: i64, signed: &Cell) -> Option<String> {
    let parts = signed.signed_parts()?;
    let fields = parts.value.record_fields(BLOCK)?;
    let json = serde_json::json!({
        "transactionCount": fields.get(1)?.count()?,
        "peer": parts.key.to_string(),
        "hash": signed.hash().to_string(),
        "index": index,
        "finalised": index < view.levels[3],
        "timestamp": fields.get(0)?.as_i64()?,
    });
    serde_json::to_string_pretty(&json).ok()
}
