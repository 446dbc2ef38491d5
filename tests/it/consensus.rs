//! Walks of peers that are polled: how often, what they cost, and peers that lie.

#[path = "../../crates/convex-client/tests/it/belief/built.rs"]
#[expect(dead_code, reason = "some of it is for the tests of the client")]
mod built;
mod lies;
mod schedule;
mod walked;
