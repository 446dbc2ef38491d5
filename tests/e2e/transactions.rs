//! Transactions that are signed here, sent to real peers: one that is executed, and those that
//! fail.

use std::time::Duration;

use cad3::Cell;
use convex_client::transaction::{
    AccountControl, AccountKey, AccountState, Invoke, SignedTransaction, SubmitError,
    TransactionFailure, TransactionResult, account_query, control_query, read_account,
    read_control,
};
use convex_client::{ClientOptions, Endpoint, Query, TcpClient};
use tokio::time::{Instant, sleep};

use super::TIMEOUT;
use super::canary::create_account;
use super::network::Network;

/// How long a transaction may take while nothing is wrong.
const USUAL: Duration = Duration::from_secs(120);
/// How long one is waited for that cannot become final.
const HANGING: Duration = Duration::from_secs(10);

fn key() -> AccountKey {
    AccountKey::from_seed(&[7; 32])
}

fn client(network: &Network, peer: usize) -> TcpClient {
    let endpoint = Endpoint::parse(&network.peers[peer].tcp()).unwrap();
    TcpClient::new(&endpoint, &ClientOptions::default())
}

async fn submit(
    network: &Network,
    peer: usize,
    transaction: &SignedTransaction,
) -> Result<TransactionResult, SubmitError> {
    let deadline = Instant::now() + USUAL;
    client(network, peer).submit(transaction, deadline).await
}

async fn ask(network: &Network, peer: usize, query: &Query) -> Cell {
    let deadline = Instant::now() + USUAL;
    client(network, peer).query(query, deadline).await.unwrap()
}

async fn account(network: &Network, peer: usize, number: u64) -> AccountState {
    let answer = ask(network, peer, &account_query(number)).await;
    read_account(&answer).unwrap().expect("the account exists")
}

/// Waits until a query of a peer has this value.
async fn until(network: &Network, peer: usize, source: &str, expected: &str) {
    let query = Query::read(source).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let found = ask(network, peer, &query).await.printed(100).to_string();
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{source} is {found}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn real_peers_execute_transactions_and_refuse_them_for_their_reasons() {
    let mut network = Network::start(4).await;
    let rich = create_account(&mut network, &key(), 1_000_000_000).await;
    let poor = create_account(&mut network, &key(), 0).await;
    for number in [rich, poor] {
        until(&network, 1, &format!("(nil? (account #{number}))"), "false").await;
    }
    the_controller_of_a_peer_is_no_account_for_a_canary(&network).await;
    one_is_executed_and_seen_by_another_peer(&network, rich).await;
    those_that_the_account_cannot_make(&network, rich, poor).await;
    a_peer_without_stake_and_one_that_is_evicted(&mut network, rich).await;
    a_third_of_the_stake_is_frozen(&network, rich).await;
}

/// It has the key of the peer, and controls it.
async fn the_controller_of_a_peer_is_no_account_for_a_canary(network: &Network) {
    let key = network.peers[0].key();
    let controller = format!("(:controller (get (:peers *state*) {key}))");
    let controller = Query::read(&controller).unwrap();
    let controller = ask(network, 1, &controller).await.printed(100).to_string();
    let number = controller
        .trim_start_matches('#')
        .parse()
        .expect(&controller);
    assert!(account(network, 1, number).await.has_key_of_peer);
    let control = ask(network, 1, &control_query(number)).await;
    assert_eq!(read_control(&control).unwrap().peers, Some(1));
}

async fn one_is_executed_and_seen_by_another_peer(network: &Network, number: u64) {
    let before = account(network, 1, number).await;
    assert_eq!((before.sequence, before.balance), (0, 1_000_000_000));
    assert_eq!(before.key, Some(key().public_key()));
    assert!(!before.has_key_of_peer);
    let control = ask(network, 1, &control_query(number)).await;
    let AccountControl {
        accounts, peers, ..
    } = read_control(&control).unwrap();
    assert_eq!((accounts, peers), (Some(0), Some(0)));

    let signed = Invoke::nothing(number, before.next_sequence()).sign(&key());
    let kept = SignedTransaction::decode(signed.encoded()).unwrap();
    let result = submit(network, 1, &kept).await.unwrap();
    let fees = signed.invoke().fees_of_nothing(before.juice_price);
    assert_eq!((&result.value, result.fees), (&Cell::Nil, Some(fees)));
    assert!(result.location.is_some(), "{result:?}");
    let own = account(network, 1, number).await;
    assert_eq!((own.sequence, own.balance), (1, before.balance - fees));
    let sequence = format!("(:sequence (account #{number}))");
    until(network, 2, &sequence, "1").await;
    assert!(account(network, 2, number).await.has_executed(&signed));
}

async fn those_that_the_account_cannot_make(network: &Network, rich: u64, poor: u64) {
    let other = AccountKey::from_seed(&[8; 32]);
    for (transaction, code, reason, in_block) in [
        (
            Invoke::nothing(rich, 1).sign(&key()),
            "SEQUENCE",
            TransactionFailure::Sequence,
            false,
        ),
        (
            Invoke::nothing(rich, 9).sign(&key()),
            "SEQUENCE",
            TransactionFailure::Sequence,
            true,
        ),
        (
            Invoke::nothing(rich, 2).sign(&other),
            "SIGNATURE",
            TransactionFailure::Rejected,
            false,
        ),
        (
            Invoke::nothing(999_999, 1).sign(&other),
            "NOBODY",
            TransactionFailure::Rejected,
            false,
        ),
        (
            Invoke::nothing(poor, 1).sign(&key()),
            "JUICE",
            TransactionFailure::Funds,
            true,
        ),
    ] {
        let error = submit(network, 0, &transaction).await.unwrap_err();
        assert_eq!(error.reason(), Some(reason), "{error}");
        let SubmitError::Refused {
            error, location, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((error.code.as_str(), location.is_some()), (code, in_block));
    }
    assert_eq!(account(network, 0, rich).await.sequence, 1);
}

/// The last peer gives its stake back, and is then evicted.
async fn a_peer_without_stake_and_one_that_is_evicted(network: &mut Network, number: u64) {
    let key_of_peer = network.peers[3].key().to_owned();
    let transaction = Invoke::nothing(number, 2).sign(&key());
    let entry = format!("(get (:peers *state*) {key_of_peer})");
    network.unstake(3).await;
    until(network, 3, &format!("(:stake {entry})"), "0").await;
    let error = submit(network, 3, &transaction).await.unwrap_err();
    assert_eq!(
        error.reason(),
        Some(TransactionFailure::Understaked),
        "{error}"
    );

    network.evict(3).await;
    until(network, 3, &format!("(nil? {entry})"), "true").await;
    let error = submit(network, 3, &transaction).await.unwrap_err();
    assert_eq!(
        error.reason(),
        Some(TransactionFailure::Unregistered),
        "{error}"
    );
    // The others execute the same bytes.
    let result = submit(network, 0, &transaction).await;
    assert!(result.is_ok(), "{result:?}");
}

/// One of the three peers that are left.
async fn a_third_of_the_stake_is_frozen(network: &Network, number: u64) {
    network.peers[2].signal("-STOP");
    let transaction = Invoke::nothing(number, 3).sign(&key());
    let deadline = Instant::now() + HANGING;
    let outcome = client(network, 0).submit(&transaction, deadline).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.reason(), Some(TransactionFailure::Timeout), "{error}");
    assert!(error.was_sent());
    for peer in [0, 1] {
        let account = account(network, peer, number).await;
        assert!(!account.has_executed(&transaction), "reads are answered");
    }
}
