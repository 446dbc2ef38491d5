//! When and how peers are polled: one task per peer, at a fixed rate, under common limits.

mod commands;
mod permits;
mod prober;
mod sampler;
pub mod schedule;
mod scheduler;
mod window;

pub use commands::{CommandError, PeerCells, PeerCommands};
pub use prober::{Prober, wrong_identity};
pub use sampler::Sampler;
pub use scheduler::{ScheduleMetrics, Scheduler};
pub use window::{MAX_ANCHORS, sample_common_blocks};
