//! Reads the blocks that were added to the network's history since the last round.

use std::time::Duration;

use convex_client::belief::{MAX_BLOCKS_READ, ReadBlock, read_blocks};
use tokio::time::{Instant, timeout_at};

use crate::fleet::{BlocksRead, BlocksToRead};

use super::AskedPeers;

/// Longest time that the blocks of a round take.
const BLOCKS_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of peers that are asked for the same blocks.
const MAX_ASKED: usize = 3;

/// Reads blocks from the peers that hold their order. Returns as many as they have, without gaps;
/// none if they have none.
pub(super) async fn read(peers: &impl AskedPeers, wanted: BlocksToRead) -> Option<BlocksRead> {
    let deadline = Instant::now() + BLOCKS_TIMEOUT;
    let mut blocks: Vec<ReadBlock> = Vec::new();
    let mut holders = wanted.holders.iter().take(MAX_ASKED);
    let mut holder = holders.next();
    let mut next = wanted.range.start;
    while let Some(name) = holder.filter(|_| next < wanted.range.end) {
        let end = wanted.range.end.min(next + MAX_BLOCKS_READ);
        let mut cells = peers.cells_of(name);
        let reading = read_blocks(&mut cells, &wanted.order.blocks, next..end);
        match timeout_at(deadline, reading).await {
            Ok(Ok(read)) => {
                blocks.extend(read);
                next = end;
            }
            Ok(Err(error)) => {
                tracing::debug!(peer.name = %name, %error, "cannot read blocks from this peer");
                holder = holders.next();
            }
            Err(_) => break,
        }
    }
    (!blocks.is_empty()).then_some(BlocksRead {
        order: wanted.order,
        blocks,
        skipped: wanted.skipped,
        canary_key: wanted.canary_key,
    })
}
