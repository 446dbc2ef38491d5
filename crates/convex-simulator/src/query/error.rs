//! Why a query failed, in the codes and words of a real peer.

use cad3::Cell;

/// The error of a query, as the peer's reply carries it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QueryError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Where the query failed, innermost first.
    pub(crate) trace: Vec<String>,
}

impl QueryError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            trace: Vec::new(),
        }
    }

    /// `function` was called with the wrong number of arguments.
    pub(super) fn arity(function: &str, expected: usize, actual: usize) -> Self {
        Self::new(
            "ARITY",
            format!("{function} requires arity {expected} but called with: {actual}"),
        )
    }

    /// The argument at `position`, counted from 1, has the wrong type.
    pub(super) fn cast(position: usize, argument: &Cell, expected: &str) -> Self {
        let actual = type_name(argument);
        Self::new(
            "CAST",
            format!(
                "Can't convert argument at position {position} (with type {actual}) to type {expected}"
            ),
        )
    }

    /// `value` was called, and is not a function.
    pub(super) fn not_a_function(value: &Cell) -> Self {
        let actual = type_name(value);
        Self::new(
            "CAST",
            format!("Can't convert value of type {actual} to type Function"),
        )
    }
}

/// Returns the type of a value as a peer's messages name it.
fn type_name(cell: &Cell) -> String {
    match cell.kind() {
        "nil" => "Nil".to_owned(),
        "int" | "bigint" => "Integer".to_owned(),
        "bool" => "Boolean".to_owned(),
        kind => {
            let (first, rest) = kind.split_at(1);
            first.to_uppercase() + rest
        }
    }
}
