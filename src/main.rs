//! The `convex-peer-monitor` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    convex_peer_monitor::cli::main()
}
