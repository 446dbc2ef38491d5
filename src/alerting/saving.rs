//! Saves the state at once, before something is sent or answered that relies on it.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// A request to save the state now; the sender is used when the attempt has finished.
pub type SaveRequest = oneshot::Sender<()>;

/// Longest time that anything waits for the disk.
pub(super) const SAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits until the state was written or the write failed, which the state writer logs. Returns
/// false if that has stopped.
///
/// # Errors
/// It takes longer than [`SAVE_TIMEOUT`].
pub(super) async fn save(saves: &mpsc::Sender<SaveRequest>) -> Result<bool, Elapsed> {
    let saving = async {
        let (request, done) = oneshot::channel();
        saves.send(request).await.is_ok() && done.await.is_ok()
    };
    timeout(SAVE_TIMEOUT, saving).await
}
