//! Tests that wait for many minutes, because of the times between transactions or walks. They are not
//! part of `make test`: `make test-slow` runs them.

mod canary;
mod clock;
mod consensus;
