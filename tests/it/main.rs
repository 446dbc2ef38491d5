//! The integration tests, one binary.

mod cad3;
mod config;
mod decode;
