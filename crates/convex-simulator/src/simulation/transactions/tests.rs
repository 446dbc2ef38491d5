//! What a client sees of its transactions, and what they do to the network.

use std::time::SystemTime;

use convex_client::Query;
use convex_client::transaction::{
    AccountControl, AccountKey, AccountState, Invoke, TransactionFailure, account_query,
    control_query, read_account, read_control,
};

use super::*;
use crate::account::NewAccount;
use crate::network::Options;
use crate::script::Script;

const TIMEOUT: Duration = Duration::from_secs(30);
const S: Duration = Duration::from_secs(1);
const BALANCE: i64 = 1_000_000;

/// The account of these tests, the first after the 132 of a fresh network and those of 4 peers.
const ACCOUNT: u64 = 136;

fn key() -> AccountKey {
    AccountKey::from_seed(&[7; 32])
}

fn simulation_with(faults: &[&str], balance_copper: i64) -> Simulation {
    let options = Options {
        peers: 4,
        script: Script::parse(faults.iter().copied(), 4).unwrap(),
        accounts: vec![NewAccount {
            key: key().public_key(),
            balance_copper,
        }],
        ..Options::default()
    };
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let simulation = Simulation::new(options, start).unwrap();
    assert_eq!(simulation.account(0), ACCOUNT);
    simulation
}

fn simulation(faults: &[&str]) -> Simulation {
    simulation_with(faults, BALANCE)
}

fn nothing(sequence: i64) -> SignedTransaction {
    Invoke::nothing(ACCOUNT, sequence).sign(&key())
}

fn ask(simulation: &mut Simulation, peer: usize, at: Duration, query: &Query) -> cad3::Cell {
    simulation.query(peer, at, TIMEOUT, query).unwrap()
}

fn account(simulation: &mut Simulation, peer: usize, at: Duration) -> AccountState {
    let answer = ask(simulation, peer, at, &account_query(ACCOUNT));
    read_account(&answer).unwrap().expect("the account exists")
}

#[test]
fn a_transaction_is_executed_paid_for_and_seen_at_every_peer() {
    let mut simulation = simulation(&[]);
    let before = account(&mut simulation, 1, S);
    assert_eq!((before.sequence, before.balance), (0, 1_000_000));
    assert_eq!(before.key, Some(key().public_key()));
    assert!(!before.has_key_of_peer);

    let transaction = nothing(before.next_sequence());
    let result = simulation.submit(2, S, TIMEOUT, &transaction).unwrap();
    let fees = transaction.invoke().fees_of_nothing(before.juice_price);
    assert_eq!((result.value, result.fees), (cad3::Cell::Nil, Some(fees)));
    let location = result.location.unwrap();
    assert_eq!((location.block, location.position), (1000, 0));
    assert!(result.took > Duration::from_millis(300) && result.took < S);

    for peer in 1..=4 {
        let after = account(&mut simulation, peer, 3 * S);
        assert!(after.has_executed(&transaction), "peer {peer}");
        assert_eq!((after.sequence, after.block), (1, 1000), "peer {peer}");
        assert_eq!(after.balance, before.balance - fees, "peer {peer}");
    }
    let supply = Query::read("(reduce (fn [n a] (+ n (:balance a))) 0 (:accounts *state*))");
    let supply = supply.unwrap();
    let sums = [Duration::ZERO, 3 * S].map(|at| ask(&mut simulation, 1, at, &supply));
    assert_eq!(sums[0], sums[1], "no coins are lost");
}

#[test]
fn a_transaction_moves_the_time_of_the_network_and_of_its_peer() {
    let mut simulation = simulation(&[]);
    let last_block = |simulation: &mut Simulation, peer: usize, at| {
        let key = simulation.key(peer);
        let text = format!("[*timestamp* (:timestamp (get (:peers *state*) {key}))]");
        let answer = ask(simulation, 1, at, &Query::read(&text).unwrap());
        let elements = answer.as_elements().unwrap();
        [0, 1].map(|i| elements.get(i).unwrap().as_i64().unwrap())
    };
    let [time, other] = last_block(&mut simulation, 3, 599 * S);
    simulation.submit(2, 600 * S, TIMEOUT, &nothing(1)).unwrap();
    let [later, of_maker] = last_block(&mut simulation, 2, 601 * S);
    assert!(later - time > 600_000 && later == of_maker);
    assert_eq!(last_block(&mut simulation, 3, 601 * S), [later, other]);
}

#[test]
fn a_transaction_that_the_account_cannot_make_is_refused() {
    let other = AccountKey::from_seed(&[8; 32]);
    for (transaction, code, reason, in_block) in [
        (nothing(0), "SEQUENCE", TransactionFailure::Sequence, false),
        (nothing(2), "SEQUENCE", TransactionFailure::Sequence, true),
        (
            Invoke::nothing(ACCOUNT, 1).sign(&other),
            "SIGNATURE",
            TransactionFailure::Rejected,
            false,
        ),
        (
            Invoke::nothing(9999, 1).sign(&other),
            "NOBODY",
            TransactionFailure::Rejected,
            false,
        ),
        (
            Invoke::nothing(13, 1).sign(&other),
            "STATE",
            TransactionFailure::Rejected,
            false,
        ),
    ] {
        let mut simulation = simulation(&[]);
        let error = simulation.submit(1, S, TIMEOUT, &transaction).unwrap_err();
        assert_eq!(error.reason(), Some(reason), "{error}");
        let SubmitError::Refused {
            error, location, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((error.code.as_str(), location.is_some()), (code, in_block));
        let after = account(&mut simulation, 1, 3 * S);
        assert_eq!((after.sequence, after.balance), (0, 1_000_000), "{code}");
    }
}

#[test]
fn an_account_without_enough_coins_cannot_pay() {
    for (balance, sequence) in [(0, 0), (100, 1)] {
        let mut simulation = simulation_with(&[], balance);
        let error = simulation.submit(1, S, TIMEOUT, &nothing(1)).unwrap_err();
        assert_eq!(error.reason(), Some(TransactionFailure::Funds), "{error}");
        let after = account(&mut simulation, 2, 3 * S);
        assert_eq!((after.sequence, after.balance), (sequence, 0), "{balance}");
    }
}

#[test]
fn each_fault_fails_in_its_way_and_says_whether_the_sequence_number_is_used() {
    use TransactionFailure::{Overloaded, Rejected, Timeout, Understaked, Unregistered};
    for (fault, reason, sequence) in [
        ("tx-hang:2", Some(Timeout), 1),
        ("tx-lose:2", Some(Timeout), 0),
        ("tx-error=LOAD:2", Some(Overloaded), 0),
        ("tx-error=:FORMAT:2", Some(Rejected), 0),
        ("low-stake:2", Some(Understaked), 0),
        ("unregistered:2", Some(Unregistered), 0),
        ("wrong-key:2", Some(Unregistered), 0),
        ("half-dead:2", Some(Timeout), 0),
        ("stall:all", Some(Timeout), 0),
        ("isolate:2", Some(Timeout), 0),
        ("tarpit:2", Some(Timeout), 0),
        ("refuse:2", None, 0),
        ("reset:2", None, 0),
    ] {
        let mut simulation = simulation(&[fault]);
        let error = simulation.submit(2, S, TIMEOUT, &nothing(1)).unwrap_err();
        assert_eq!(error.reason(), reason, "{fault}: {error}");
        assert_eq!(error.was_sent(), fault != "refuse:2", "{fault}");
        let after = account(&mut simulation, 1, 60 * S);
        assert_eq!(after.sequence, sequence, "{fault}");
        let result = simulation.submit(1, 61 * S, TIMEOUT, &nothing(sequence + 1));
        assert_eq!(result.is_ok(), fault != "stall:all", "{fault}: {result:?}");
    }
}

#[test]
fn a_transaction_that_hung_is_executed_once_the_network_goes_on() {
    let mut simulation = simulation(&["stall:all:..60s"]);
    let transaction = nothing(1);
    for at in [S, 40 * S] {
        let error = simulation.submit(2, at, 10 * S, &transaction).unwrap_err();
        assert_eq!(error.reason(), Some(TransactionFailure::Timeout), "{error}");
    }
    assert_eq!(account(&mut simulation, 1, 59 * S).sequence, 0);
    assert_eq!(account(&mut simulation, 1, 62 * S).sequence, 0, "not yet");
    let fees = transaction.invoke().fees_of_nothing(10);
    let after = account(&mut simulation, 1, 70 * S);
    assert_eq!((after.sequence, 1_000_000 - after.balance), (1, fees));
    // The same bytes once more are refused.
    let error = simulation.submit(3, 71 * S, TIMEOUT, &transaction);
    let reason = error.unwrap_err().reason();
    assert_eq!(reason, Some(TransactionFailure::Sequence));
}

#[test]
fn what_an_account_controls_is_counted() {
    let mut simulation = simulation(&[]);
    for (number, accounts, peers) in [(ACCOUNT, 0, 0), (132, 0, 1), (7, 5, 0)] {
        let answer = ask(&mut simulation, 1, S, &control_query(number));
        let expected = AccountControl {
            block: 999,
            accounts: Some(accounts),
            peers: Some(peers),
        };
        assert_eq!(read_control(&answer), Ok(expected), "#{number}");
    }
    let of_peer = ask(&mut simulation, 1, S, &account_query(132));
    assert!(read_account(&of_peer).unwrap().unwrap().has_key_of_peer);
    let nobody = ask(&mut simulation, 1, S, &account_query(9999));
    assert_eq!(read_account(&nobody), Ok(None));
}
