//! The integration tests, one binary.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a panic is how a test fails, and the figures compared are exact"
)]

mod agent;
mod api;
mod chain;
mod cli;
mod config;
mod decode;
mod discovery;
mod documents;
mod faults;
mod history;
mod http;
mod metrics;
mod notify;
mod ops;
mod pages;
mod questions;
mod record;
mod secrets;
mod self_doubt;
mod service;
mod shards;
mod sidecar;
mod simulate;
mod state_file;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod tls;
mod truth;
mod wall;
mod web;
#[tokio::test]
async fn the_contract_holds_of_scripted_peers_of_both_releases() {
    for new_api in [true, false] {
        let peer = support::fake::FakePeer::start(support::fake::Script {
            new_api,
            ..support::fake::Script::default()
        })
        .await;
        support::contract::holds(
            &format!("tcp://{}", peer.tcp),
            &format!("http://{}", peer.http),
        )
        .await;
    }
}
