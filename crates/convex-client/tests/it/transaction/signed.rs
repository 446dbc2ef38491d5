//! Signed transactions as bytes.

use cad3::{Cell, Hash, Limits, decode_message, encode, encode_message, reader};
use convex_client::transaction::{
    AccountKey, InvalidTransaction, Invoke, MAX_TRANSACTION_BYTES, SignedTransaction,
    transaction_request,
};

fn key() -> AccountKey {
    AccountKey::from_seed(&[7; 32])
}

fn with_command(command: &str) -> Invoke {
    Invoke {
        origin: 13,
        sequence: 300,
        command: reader::read(command).unwrap(),
    }
}

#[test]
fn bytes_are_kept_and_read_again() {
    let long = format!("\"{}\"", "x".repeat(9000));
    for invoke in [
        Invoke::nothing(13, 1),
        Invoke::nothing(u64::from(u32::MAX), i64::MAX),
        with_command("(transfer #14 1)"),
        // Then the signature is over a reference.
        with_command(&long),
    ] {
        let signed = invoke.sign(&key());
        let again = SignedTransaction::decode(signed.encoded()).unwrap();
        assert_eq!(again, signed);
        assert_eq!(again.encoded(), signed.encoded());
        assert_eq!(again.invoke(), &invoke);
        assert_eq!(again.signer(), key().public_key());
        assert_eq!(
            (again.origin(), again.sequence()),
            (invoke.origin, invoke.sequence)
        );
        assert_eq!(again.hash(), Hash::of(&encode(signed.cell())));
    }
}

#[test]
fn the_transaction_that_does_nothing_is_short_and_its_price_is_known() {
    let signed = Invoke::nothing(13, 1).sign(&key());
    let parts = signed.cell().signed_parts().unwrap();
    assert_eq!(hex::encode(encode(parts.value)), "d003ea0d1101e514");
    assert_eq!(signed.encoded().len(), 1 + 32 + 64 + 8);
    // 10 for the command, 500 for the transaction, 20 for each byte.
    assert_eq!(
        signed.invoke().fees_of_nothing(10),
        10 * (10 + 500 + 8 * 20)
    );
    let request = transaction_request(5, &signed);
    let sent = decode_message(&encode_message(&request), &Limits::default()).unwrap();
    let elements = sent.top.as_elements().unwrap();
    assert_eq!(elements.get(0), Some(&Cell::keyword("TX")));
    assert_eq!(elements.get(1), Some(&Cell::integer(5)));
    assert_eq!(elements.get(2), Some(signed.cell()));
}

#[test]
fn changed_bytes_are_refused() {
    let signed = Invoke::nothing(13, 1).sign(&key());
    for at in 0..signed.encoded().len() {
        let mut bytes = signed.encoded().to_vec();
        bytes[at] ^= 1;
        let changed = SignedTransaction::decode(&bytes);
        assert!(changed.is_err(), "byte {at}: {changed:?}");
    }
    for length in 0..signed.encoded().len() {
        assert!(SignedTransaction::decode(&signed.encoded()[..length]).is_err());
    }
    let more = [signed.encoded(), &[0]].concat();
    assert!(SignedTransaction::decode(&more).is_err());
}

#[test]
fn other_cells_are_no_transactions() {
    let signed = |value| Cell::signed(&key().public_key(), &[0; 64], value);
    let [address, number] = [Cell::address(13), Cell::integer(1)];
    let record = |tag, fields: &[&Cell]| Cell::record(tag, fields.iter().copied().cloned());
    let invoke = record(0xd0, &[&address, &number, &number]);
    for (cell, expected) in [
        (Cell::Nil, InvalidTransaction::NotInvoke),
        (invoke.clone(), InvalidTransaction::NotInvoke),
        (signed(Cell::Nil), InvalidTransaction::NotInvoke),
        (
            signed(record(0xd1, &[&address, &number, &address, &number])),
            InvalidTransaction::NotInvoke,
        ),
        (
            signed(record(0xd0, &[&address, &number])),
            InvalidTransaction::NotInvoke,
        ),
        (
            signed(record(0xd0, &[&number, &number, &number])),
            InvalidTransaction::NotInvoke,
        ),
        (signed(invoke), InvalidTransaction::BadSignature),
    ] {
        let found = SignedTransaction::decode(&encode_message(&cell));
        assert_eq!(found.unwrap_err(), expected, "{cell:?}");
    }
    let huge = vec![0x31; MAX_TRANSACTION_BYTES + 1];
    let error = SignedTransaction::decode(&huge).unwrap_err();
    assert!(matches!(error, InvalidTransaction::Encoding(_)), "{error}");
    // A reference to a command that is not there.
    let long = with_command(&format!("\"{}\"", "x".repeat(200))).sign(&key());
    let top = &long.encoded()[..encode(long.cell()).len()];
    assert!(SignedTransaction::decode(top).is_err());
}
