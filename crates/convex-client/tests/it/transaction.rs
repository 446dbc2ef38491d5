//! Transactions: keys, encodings, answers and their reasons.

mod account;
mod key;
mod reasons;
mod signed;
