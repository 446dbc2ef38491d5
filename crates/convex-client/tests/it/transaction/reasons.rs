//! Results, and the reasons of failures.

use std::collections::BTreeSet;
use std::time::Duration;

use cad3::{Cell, reader};
use convex_client::transaction::{
    BlockLocation, SubmitError, TransactionFailure, TransactionResult,
};
use convex_client::{ErrorReply, Failure, FailureReason, Reply};

const TOOK: Duration = Duration::from_millis(400);

/// A Result as it is received.
fn reply(value: &str, error: &str, info: &str) -> Reply {
    let [value, error, info] = [value, error, info].map(|text| reader::read(text).unwrap());
    let fields = [Cell::integer(1), value, error, Cell::Nil, info];
    Reply::from_cell(&Cell::record(0xdd, fields)).unwrap()
}

#[test]
fn a_result_says_where_the_transaction_stands_and_what_it_cost() {
    let info = "{:fees 6700, :juice 10, :loc [37 2], :tx 0x00}";
    let result = TransactionResult::from_reply(reply("nil", "nil", info), TOOK).unwrap();
    let location = BlockLocation {
        block: 37,
        position: 2,
    };
    let expected = TransactionResult {
        value: Cell::Nil,
        location: Some(location),
        fees: Some(6700),
        juice: Some(10),
        took: TOOK,
    };
    assert_eq!(result, expected);
    for info in [
        "nil",
        "[]",
        "{}",
        "{:loc 7, :fees -1, :juice :x}",
        "{:loc [1]}",
    ] {
        let result = TransactionResult::from_reply(reply("7", "nil", info), TOOK).unwrap();
        let found = (result.location, result.fees, result.juice);
        assert_eq!(found, (None, None, None), "{info}");
        assert_eq!(result.value, Cell::integer(7));
    }
}

#[test]
fn an_error_has_a_reason_of_the_closed_set() {
    use TransactionFailure::{
        Funds, Overloaded, Rejected, Sequence, Timeout, Understaked, Unregistered,
    };
    for (code, message, reason) in [
        (":SEQUENCE", "Old sequence number", Sequence),
        (":SEQUENCE", "Sequence = 5 but expected 4", Sequence),
        (":FUNDS", "", Funds),
        (
            ":JUICE",
            "Insuffienct balance to cover juice fees of 7",
            Funds,
        ),
        (":MEMORY", "", Funds),
        (":LOAD", "Trx overload", Overloaded),
        (":TIMEOUT", "", Timeout),
        (
            ":STATE",
            "Peer not registered in global state",
            Unregistered,
        ),
        (
            ":STATE",
            "Peer not sufficiently staked to publish transactions",
            Understaked,
        ),
        (":STATE", "Server is not live", Rejected),
        (
            ":STATE",
            "Cannot run external transaction for actor account",
            Rejected,
        ),
        (":NOBODY", "Account does not exist", Rejected),
        (":SIGNATURE", "Wrong key for account", Rejected),
        (":FORMAT", "Bad Message Format!", Rejected),
        (":TRUST", "", Rejected),
        ("[1 2]", "", Rejected),
    ] {
        let reply = reply(&format!("\"{message}\""), code, "{:loc [3 0], :fees 5}");
        let error = TransactionResult::from_reply(reply, TOOK).unwrap_err();
        assert_eq!(error.reason(), Some(reason), "{code} {message}");
        assert!(error.was_sent());
        let SubmitError::Refused {
            error: ErrorReply { message: found, .. },
            location,
            fees,
            took,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((found.as_str(), fees, took), (message, Some(5), TOOK));
        assert_eq!(location.map(|it| it.block), Some(3));
    }
}

#[test]
fn a_failed_connection_is_a_reason_only_if_it_says_something_about_transactions() {
    use TransactionFailure::{Overloaded, Rejected, Timeout};
    for reason in FailureReason::ALL {
        let failure = Failure::new(*reason, "");
        let expected = match reason {
            FailureReason::Timeout | FailureReason::QueryHangs => Some(Timeout),
            FailureReason::Overloaded => Some(Overloaded),
            FailureReason::Malformed | FailureReason::TooLarge | FailureReason::PeerError => {
                Some(Rejected)
            }
            _ => None,
        };
        let sent = SubmitError::NoAnswer(failure.clone());
        assert_eq!((sent.reason(), sent.was_sent()), (expected, true));
        let unsent = SubmitError::NotSent(failure);
        assert_eq!((unsent.reason(), unsent.was_sent()), (None, false));
    }
}

#[test]
fn names_are_unique_and_have_meanings() {
    let all = TransactionFailure::ALL;
    let names: BTreeSet<_> = all.iter().map(|it| it.as_str()).collect();
    let meanings: BTreeSet<_> = all.iter().map(|it| it.meaning()).collect();
    assert_eq!((names.len(), meanings.len()), (all.len(), all.len()));
    assert_eq!(all[0].to_string(), "unregistered");
}
