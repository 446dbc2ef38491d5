//! Tests that wait for many minutes, because the times between transactions, walks or notifications
//! are as shipped. They are not part of `make test`: `make test-slow` runs them.

mod canary;
mod clock;
mod consensus;
mod notify;
mod pair;
