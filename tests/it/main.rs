//! The integration tests, one binary.

#[cfg(test)]
mod cad3;
mod config;
