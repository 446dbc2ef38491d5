//! The integration tests, one binary.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a panic is how a test fails, and the figures compared are exact"
)]

mod agent {
    mod logs;
    mod reload;
    mod serving;
    mod shards;
    mod sockets;
    mod state_file;
    mod supervision;
    mod systemd;
}

mod cli {
    mod commands;
    mod decode;
    mod probe;
    mod simulate;
}

mod canary;
mod config;
mod consensus;
mod discovery;

mod fleet {
    mod clock;
    mod excuses;
    mod grid;
    mod lag;
    mod record;
    mod reload;
    mod truth;
}

mod history;
mod metrics;
mod notify;
mod operate;
mod ops;

mod poller {
    mod capacity;
    mod cells;
    mod connections;
    mod contract;
    mod faults;
    mod http;
    mod network_faults;
    mod queries;
    mod restarts;
    mod tls;
}

mod project {
    mod documents;
    mod imports;
    mod layout;
}

mod receivers;
mod registry;
mod secrets;
mod sidecar;
mod simulator;
mod status;
mod vantages;

#[path = "../support/mod.rs"]
mod support;

mod web {
    mod api;
    mod external_url;
    mod listener;
    mod lists;
    mod pages;
    mod strangers;
}
