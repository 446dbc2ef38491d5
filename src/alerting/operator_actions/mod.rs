//! What operators say about alerts: somebody works on one (an acknowledgement), nobody wants to
//! hear of some (a silence), or peers are being worked on (maintenance). Each ends by itself.

mod action;
mod draft;
mod marks;
mod matchers;
mod saved;
mod service;
mod store;
mod term;
#[cfg(test)]
mod tests;

pub use action::{ActionKind, OperatorAction};
pub use draft::{ActionRefused, Draft, MAX_COMMENT_CHARS, MAX_NAME_CHARS, check_line};
pub use matchers::Matchers;
pub use saved::SavedAction;
pub use service::{ActionEvent, OperatorActions, Report};
pub(super) use store::ActionStore;
