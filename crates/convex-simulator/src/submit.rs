//! What a peer does with a transaction that a client sends: the checks before it is accepted, in
//! their order on a real peer, and the Result of one that was executed.

use cad3::{Cell, encode_message};
use convex_client::transaction::{InvalidTransaction, SignedTransaction};

use super::reply::{Response, format_error, result, source};
use super::script::Transactions;
use super::state::record_field;
use super::world::{COMMAND_JUICE, Executed, View};

/// Own stake and rewards that a peer needs to make blocks, in copper: 1,000 CVM.
const MINIMUM_STAKE: i64 = 1_000_000_000_000;

/// Returns the response to a transaction.
pub(super) fn receive(view: &View, id: &Cell, signed: &Cell) -> Response {
    let refused = |code: &str, message: &str| {
        let info = Cell::map([source()]);
        let (value, error) = (Cell::string(message), Cell::keyword(code));
        Response::Immediate(result(id.clone(), value, error, Cell::Nil, info))
    };
    let answered = match &view.faults.transactions {
        Transactions::Executed => true,
        Transactions::Unanswered => false,
        Transactions::Lost => return Response::Ignore,
        Transactions::Refused(code) if code == "LOAD" => return refused(code, "Trx overload"),
        Transactions::Refused(code) => return refused(code, "a simulated error"),
    };
    if let Some(problem) = problem_of_peer(view) {
        return refused("STATE", problem);
    }
    let transaction = match SignedTransaction::decode(&encode_message(signed)) {
        Ok(transaction) => transaction,
        Err(InvalidTransaction::BadSignature) => return refused("SIGNATURE", "Bad Signature!"),
        Err(_) if view.faults.is_old() => return Response::Ignore,
        Err(_) => return Response::Immediate(format_error(id.clone(), "Bad Message Format!")),
    };
    if let Some((code, message)) = problem_of_account(view, &transaction) {
        return refused(code, message);
    }
    Response::Submitted(Submission {
        id: id.clone(),
        transaction: Box::new(transaction),
        answered,
    })
}

/// A transaction that a peer accepts.
#[derive(Debug, PartialEq)]
pub(super) struct Submission {
    pub(super) id: Cell,
    pub(super) transaction: Box<SignedTransaction>,
    /// Whether the client gets the result.
    pub(super) answered: bool,
}

/// Returns why the peer publishes no transactions.
fn problem_of_peer(view: &View) -> Option<&'static str> {
    let Some(entry) = view.state.peer(&view.key) else {
        return Some("Peer not registered in global state");
    };
    let balance = record_field(&entry, "balance").and_then(|balance| balance.as_i64());
    (balance < Some(MINIMUM_STAKE))
        .then_some("Peer not sufficiently staked to publish transactions")
}

/// Returns why the account cannot make this transaction.
fn problem_of_account(
    view: &View,
    transaction: &SignedTransaction,
) -> Option<(&'static str, &'static str)> {
    let Some(account) = view.state.account(transaction.origin()) else {
        return Some(("NOBODY", "Account does not exist"));
    };
    let sequence = record_field(&account, "sequence").and_then(|sequence| sequence.as_i64());
    if Some(transaction.sequence()) <= sequence {
        return Some(("SEQUENCE", "Old sequence number"));
    }
    match record_field(&account, "key").and_then(|key| key.as_hash()) {
        None => Some(("STATE", "Cannot run external transaction for actor account")),
        Some(key) if key != transaction.signer() => Some(("SIGNATURE", "Wrong key for account")),
        Some(_) => None,
    }
}

/// Returns the Result of a transaction in a block.
pub(super) fn executed_result(id: Cell, executed: &Executed) -> Cell {
    let location = [executed.block, 0].map(Cell::integer);
    let mut info = vec![
        (Cell::keyword("loc"), Cell::vector(location)),
        (Cell::keyword("tx"), Cell::from(executed.hash)),
    ];
    if executed.fees > 0 {
        info.push((Cell::keyword("fees"), Cell::integer(executed.fees)));
        info.push((Cell::keyword("juice"), Cell::integer(COMMAND_JUICE)));
    }
    let (value, error) = match &executed.error {
        None => (Cell::Nil, Cell::Nil),
        Some((code, message)) => (Cell::string(message), Cell::keyword(code)),
    };
    result(id, value, error, Cell::vector([]), Cell::map(info))
}
