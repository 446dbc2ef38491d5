//! What the chain says about an account.

use cad3::{Hash, reader};
use convex_client::transaction::{
    AccountControl, AccountKey, AccountState, Invoke, account_query, control_query, read_account,
    read_control,
};

#[test]
fn an_account_is_read() {
    let key = Hash::new([5; 32]);
    let text = format!("[612 1800000000000 10 [41 {key} 999000 true]]");
    let found = read_account(&reader::read(&text).unwrap());
    let expected = AccountState {
        block: 612,
        time_ms: 1_800_000_000_000,
        juice_price: 10,
        sequence: 41,
        key: Some(key),
        balance: 999_000,
        has_key_of_peer: true,
    };
    assert_eq!(found, Ok(Some(expected)));
    let actor = reader::read("[-1 0 2 [0 nil 0 false]]").unwrap();
    assert_eq!(read_account(&actor).unwrap().unwrap().key, None);
    let nobody = reader::read("[612 1800000000000 10 nil]").unwrap();
    assert_eq!(read_account(&nobody), Ok(None));
}

#[test]
fn the_sequence_number_says_whether_a_transaction_is_executed() {
    let key = AccountKey::from_seed(&[7; 32]);
    let account = |sequence| {
        let text = format!("[1 0 2 [{sequence} nil 0 false]]");
        read_account(&reader::read(&text).unwrap())
            .unwrap()
            .unwrap()
    };
    let transaction = Invoke::nothing(13, 5).sign(&key);
    for (sequence, executed) in [(4, false), (5, true), (6, true)] {
        assert_eq!(account(sequence).has_executed(&transaction), executed);
        assert_eq!(account(sequence).next_sequence(), sequence + 1);
    }
}

#[test]
fn what_an_account_controls_is_read() {
    for (text, accounts, peers) in [
        ("[7 0 0]", Some(0), Some(0)),
        ("[7 2 1]", Some(2), Some(1)),
        ("[7 nil nil]", None, None),
    ] {
        let expected = AccountControl {
            block: 7,
            accounts,
            peers,
        };
        assert_eq!(read_control(&reader::read(text).unwrap()), Ok(expected));
    }
}

#[test]
fn other_answers_are_refused() {
    for text in [
        "nil",
        "7",
        "[]",
        "[1 2 3]",
        "[-2 0 2 nil 1]",
        "[1 0 2 [1 nil 0]]",
        "[1 0 2 [-1 nil 0 true]]",
        "[1 0 2 [1 0x12 0 true]]",
        "[1 0 2 [1 nil -1 true]]",
        "[1 0 2 [1 nil 0 nil]]",
        "[1 0 -2 [1 nil 0 true]]",
        "[:x 0 2 [1 nil 0 true]]",
    ] {
        let error = read_account(&reader::read(text).unwrap()).unwrap_err();
        assert!(error.starts_with(text), "{error}");
    }
    for text in [
        "nil",
        "[]",
        "[1 2]",
        "[1 -1 0]",
        "[-2 0 0]",
        "[1 :x 0]",
        "[1 2 3 4]",
    ] {
        let error = read_control(&reader::read(text).unwrap()).unwrap_err();
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn queries_name_the_account() {
    for query in [account_query(136), control_query(136)] {
        assert!(query.source().contains("#136"), "{}", query.source());
    }
}
