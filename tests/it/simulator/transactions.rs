//! Transactions over TCP, as a client sends them.

use std::time::Duration;

use cad3::{Cell, Limits, encode_message};
use convex_client::transaction::{
    AccountKey, AccountState, Invoke, SignedTransaction, SubmitError, TransactionFailure,
    account_query, read_account, transaction_request,
};
use convex_client::{
    ClientOptions, Endpoint, FrameDecoder, HttpClient, HttpOptions, Reply, TcpClient, TlsSettings,
    put_frame, status_request,
};
use convex_simulator::{Network, NewAccount, Options};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::codec::FramedRead;

use crate::support::simulated;
use crate::support::until;

use super::TIMEOUT;

fn key() -> AccountKey {
    AccountKey::from_seed(&[7; 32])
}

async fn network(faults: &[&str]) -> Network {
    let options = Options {
        accounts: vec![NewAccount::new(key().public_key())],
        ..simulated::options(2, faults, None)
    };
    Network::start(options).await.unwrap()
}

fn tcp(network: &Network, peer: usize) -> TcpClient {
    let endpoint = Endpoint::parse(&format!("tcp://{}", network.tcp(peer))).unwrap();
    TcpClient::new(&endpoint, &ClientOptions::default())
}

fn nothing(network: &Network) -> SignedTransaction {
    Invoke::nothing(network.account(0), 1).sign(&key())
}

async fn over_http(network: &Network, peer: usize) -> AccountState {
    let endpoint = Endpoint::parse(&format!("http://{}", network.http(peer))).unwrap();
    let (http, options) = (HttpOptions::default(), ClientOptions::default());
    let mut client = HttpClient::new(&endpoint, &options, &http, &TlsSettings::default());
    let query = account_query(network.account(0));
    let answer = client.query(&query, Instant::now() + TIMEOUT).await;
    read_account(&answer.unwrap()).unwrap().unwrap()
}

#[tokio::test]
async fn a_transaction_is_final_and_shown_by_both_protocols() {
    let network = network(&[]).await;
    let transaction = nothing(&network);
    assert!(!over_http(&network, 2).await.has_executed(&transaction));
    let client = tcp(&network, 1);
    let result = client.submit(&transaction, Instant::now() + TIMEOUT).await;
    let fees = result.unwrap().fees.unwrap();
    until("the other peer has executed it", async || {
        let account = over_http(&network, 2).await;
        account.has_executed(&transaction) && account.balance == 1_000_000_000 - fees
    })
    .await;
    let again = client.submit(&transaction, Instant::now() + TIMEOUT).await;
    let reason = again.unwrap_err().reason();
    assert_eq!(reason, Some(TransactionFailure::Sequence));
}

#[tokio::test]
async fn a_connection_that_fails_is_not_taken_for_a_refusal() {
    for (fault, sent, reason) in [
        ("refuse:1", false, None),
        ("tarpit:1", true, Some(TransactionFailure::Timeout)),
        ("tx-lose:1", true, Some(TransactionFailure::Timeout)),
        ("garbage:1", true, Some(TransactionFailure::Rejected)),
        ("huge-frame:1", true, Some(TransactionFailure::Rejected)),
        ("half-reply:1", true, None),
    ] {
        let network = network(&[fault]).await;
        let deadline = Instant::now() + Duration::from_millis(300);
        let outcome = tcp(&network, 1).submit(&nothing(&network), deadline).await;
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.was_sent(), error.reason()),
            (sent, reason),
            "{fault}: {error}"
        );
        assert!(!matches!(error, SubmitError::Refused { .. }), "{fault}");
    }
}

#[tokio::test]
async fn other_requests_are_answered_before_the_result() {
    let network = network(&[]).await;
    let mut stream = TcpStream::connect(network.tcp(1)).await.unwrap();
    let (read, mut write) = stream.split();
    let mut frames = FramedRead::new(read, FrameDecoder::new(1 << 20));
    let mut requests = Vec::new();
    for request in [
        transaction_request(5, &nothing(&network)),
        status_request(6),
    ] {
        put_frame(&mut requests, &encode_message(&request));
    }
    write.write_all(&requests).await.unwrap();
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let content = frames.next().await.unwrap().unwrap();
        let reply = Reply::decode(&content, &Limits::default())
            .unwrap()
            .unwrap();
        answered.push((reply.id, reply.outcome.map(|value| value == Cell::Nil)));
    }
    assert_eq!(answered, [(Some(6), Ok(false)), (Some(5), Ok(true))]);
}
