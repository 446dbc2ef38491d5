//! What is asked of the chain once an interval, of one healthy peer of the majority: stake, balances and the operator's
//! own queries. Questions out, values in; knows no peer, no clock and no schedule.

pub mod advertised;
pub mod custom;
pub mod economics;
pub mod stake;
