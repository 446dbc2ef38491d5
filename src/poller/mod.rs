//! When and how peers are polled: one task per peer, at a fixed rate, under common limits.

mod cells;
mod commands;
mod permits;
mod prober;
mod sampler;
pub mod schedule;
mod schedule_key;
mod scheduler;
mod window;

pub use cells::PeerCells;
pub use commands::{CommandError, PeerCommands};
pub use prober::{Prober, wrong_identity};
pub use sampler::Sampler;
pub use scheduler::{ScheduleMetrics, Scheduler};
pub use window::{MAX_ANCHORS, sample_common_blocks};
