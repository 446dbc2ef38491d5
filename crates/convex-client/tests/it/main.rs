//! The client without a connection: query texts, and recorded or invented answers.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod belief;
mod protocol;
mod query;
mod registry;
mod transaction;
