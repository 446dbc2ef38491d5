//! Transactions and the replies to them, captured from a peer of release 0.8.0.

use std::time::Duration;

use cad3::{Limits, decode_message, encode_message, vlq};
use convex_client::transaction::{
    AccountKey, BlockLocation, Invoke, SignedTransaction, SubmitError, TransactionFailure,
    TransactionResult, transaction_request,
};
use convex_client::{Reply, put_frame};
use serde_json::Value;

fn exchanges() -> Vec<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/transactions-0.8.0.json"
    );
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    vectors["exchanges"].as_array().unwrap().clone()
}

fn bytes(exchange: &Value, name: &str) -> Vec<u8> {
    hex::decode(exchange[name].as_str().unwrap()).unwrap()
}

#[test]
fn the_bytes_that_a_peer_accepts_are_signed() {
    for exchange in exchanges() {
        let seed = bytes(&exchange, "seed").try_into().unwrap();
        let command = bytes(&exchange, "command");
        let command = decode_message(&command, &Limits::default()).unwrap().top;
        let invoke = Invoke {
            origin: exchange["origin"].as_u64().unwrap(),
            sequence: exchange["sequence"].as_i64().unwrap(),
            command,
        };
        let signed = invoke.sign(&AccountKey::from_seed(&seed));
        let mut frame = Vec::new();
        put_frame(
            &mut frame,
            &encode_message(&transaction_request(1, &signed)),
        );
        assert_eq!(frame, bytes(&exchange, "request"), "{}", exchange["what"]);
        assert_eq!(SignedTransaction::decode(signed.encoded()), Ok(signed));
    }
}

#[test]
fn the_replies_are_read() {
    for exchange in exchanges() {
        let frame = bytes(&exchange, "response");
        let (_, used) = vlq::read(&frame).unwrap();
        let reply = Reply::decode(&frame[used..], &Limits::default()).unwrap();
        let result = TransactionResult::from_reply(reply.unwrap(), Duration::ZERO);
        let (what, text) = (&exchange["what"], |name: &str| exchange[name].as_str());
        let block = exchange["location"][0].as_i64();
        let expected = block.map(|block| BlockLocation { block, position: 0 });
        match result {
            Ok(result) => {
                assert_eq!(text("error"), None, "{what}");
                let expected = (
                    expected,
                    exchange["fees"].as_u64(),
                    exchange["juice"].as_u64(),
                );
                assert_eq!(
                    (result.location, result.fees, result.juice),
                    expected,
                    "{what}"
                );
            }
            Err(error) => {
                let reason = error.reason().map(TransactionFailure::as_str);
                assert_eq!(reason, text("reason"), "{what}: {error}");
                let SubmitError::Refused {
                    error,
                    location,
                    fees,
                    ..
                } = error
                else {
                    panic!("{error}");
                };
                assert_eq!(Some(error.code.as_str()), text("error"), "{what}");
                assert_eq!((location, fees), (expected, None), "{what}");
            }
        }
    }
}

#[test]
fn the_price_that_a_peer_asked_is_known() {
    let executed = &exchanges()[0];
    let invoke = Invoke::nothing(132, 1);
    assert_eq!(executed["fees"].as_u64(), Some(invoke.fees_of_nothing(10)));
}
