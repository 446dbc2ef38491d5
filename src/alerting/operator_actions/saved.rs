//! An action in the form that is saved across restarts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::fleet::UnixMillis;

use super::action::ActionKind;
use super::matchers::Matchers;

/// An action in the form that is saved across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAction {
    pub(super) id: u64,
    pub(super) kind: ActionKind,
    #[serde(flatten)]
    pub(super) matchers: Matchers,
    pub(super) created_by: String,
    pub(super) comment: String,
    pub(super) declared: UnixMillis,
    pub(super) starts: UnixMillis,
    pub(super) ends: UnixMillis,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) causes: BTreeSet<String>,
}
