//! The client without a connection: query texts, and recorded or invented answers.

mod query;
mod registry;
