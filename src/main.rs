//! The `convex-peer-monitor` program.
fn main() {}
