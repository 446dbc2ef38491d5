//! The client, on answers that were recorded or made up.

mod query;
mod registry;
