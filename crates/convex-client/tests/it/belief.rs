//! Beliefs, orders and blocks: captured from real peers, built here, and hostile ones.

mod blocks;
mod built;
mod captured;
mod histories;
mod hostile;
mod known;
mod messages;
