//! What operators say about alerts: somebody works on one, or nobody wants to hear of some for a
//! while.

mod action;

pub use action::OperatorAction;
