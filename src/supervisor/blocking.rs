//! Long computations, apart from the threads that poll.

use std::future::pending;
use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

/// Runs a computation on a thread of its own, so that it delays no poll. A panic in it continues in
/// the caller. Never returns if the runtime stops meanwhile.
pub async fn run_blocking<Output: Send + 'static>(
    compute: impl FnOnce() -> Output + Send + 'static,
) -> Output {
    match spawn_blocking(compute).await {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => pending().await,
        },
    }
}
