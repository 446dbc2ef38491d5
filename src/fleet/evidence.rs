//! Knowledge about a fact that a poll can prove, disprove, or say nothing about.

/// Evidence for a fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing was seen that proves or disproves it.
    #[default]
    None,
    /// It was seen to hold.
    Proven,
    /// It was seen not to hold.
    Disproven,
}

impl Evidence {
    /// Returns the evidence as JSON and the saved state have it: null without any.
    #[must_use]
    pub const fn to_bool(self) -> Option<bool> {
        match self {
            Self::None => None,
            Self::Proven => Some(true),
            Self::Disproven => Some(false),
        }
    }

    /// Returns this evidence, or the earlier one if this is none.
    #[must_use]
    pub const fn or(self, earlier: Self) -> Self {
        match self {
            Self::None => earlier,
            found => found,
        }
    }
}

impl From<bool> for Evidence {
    fn from(holds: bool) -> Self {
        if holds { Self::Proven } else { Self::Disproven }
    }
}

impl From<Option<bool>> for Evidence {
    fn from(holds: Option<bool>) -> Self {
        holds.map_or(Self::None, Self::from)
    }
}
