//! The runtime of the commands that use the network, and how many threads it can have. The limits
//! in `deploy/` have to leave room for all of them: a thread that cannot be started stalls work
//! that has nothing to do with the cause.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use convex_client::MAX_LOOKUPS;
use tokio::runtime::{Builder, Runtime};

/// Threads for calls that block: files, the history, pages, passwords and the system's resolver. A
/// call of the resolver can block its thread for minutes, so at least half are left to other work.
const MAX_BLOCKING_THREADS: usize = 512;

const _: () = assert!(2 * MAX_LOOKUPS <= MAX_BLOCKING_THREADS);

/// Threads that run tasks: one per processor, but not more.
const MAX_WORKERS: usize = 64;

/// Builds the runtime of a command that uses the network.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    Ok(Builder::new_multi_thread()
        .worker_threads(processors.min(MAX_WORKERS))
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = include_str!("../../deploy/systemd/convex-peer-monitor.service");

    /// The main thread, and those that are not the runtime's.
    const OTHER_THREADS: usize = 16;

    fn limit(name: &str) -> usize {
        let line = UNIT.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.strip_prefix('='));
        value.expect(name).parse().expect(name)
    }

    #[test]
    fn the_systemd_unit_allows_all_threads_with_a_margin() {
        let threads = MAX_WORKERS + MAX_BLOCKING_THREADS + OTHER_THREADS;
        assert!(limit("TasksMax") * 4 >= threads * 5, "{threads} threads");
    }
}
