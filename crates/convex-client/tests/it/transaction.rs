//! Transactions: keys, encodings, answers and their reasons.

mod account;
mod captured;
mod key;
mod reasons;
mod signed;
