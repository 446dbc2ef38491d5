//! The releases whose protocol peers speak.

/// The release whose protocol a peer speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// 0.8.0: no PING and no REST status.
    Old,
    /// 0.8.6
    #[default]
    Current,
    /// 0.8.17: the status has the position of the state, and the protocol that the peer supports.
    Newest,
    /// The planned 0.9: the binary status is a map.
    Next,
}

/// A text is not a release that can be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a release that can be simulated; expected 0.8.0, 0.8.6 or 0.8.17")]
pub struct ReleaseError(String);

impl Release {
    /// Parses `0.8.0`, `0.8.6` or `0.8.17`.
    ///
    /// # Errors
    /// The text is none of them.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        match text {
            "0.8.0" => Ok(Self::Old),
            "0.8.6" => Ok(Self::Current),
            "0.8.17" => Ok(Self::Newest),
            other => Err(ReleaseError(other.to_owned())),
        }
    }

    /// Returns the number that the peer tells.
    pub(super) const fn number(self) -> &'static str {
        match self {
            Self::Old => "0.8.0",
            Self::Current => "0.8.6",
            Self::Newest => "0.8.17",
            Self::Next => "0.9.0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_known_or_refused_with_the_known_ones() {
        let releases = ["0.8.0", "0.8.6", "0.8.17"].map(|text| Release::parse(text).unwrap());
        assert_eq!(releases, [Release::Old, Release::Current, Release::Newest]);
        for text in ["0.8", "0.9", "v0.8.6", ""] {
            let error = Release::parse(text).unwrap_err().to_string();
            assert!(
                error.ends_with("expected 0.8.0, 0.8.6 or 0.8.17"),
                "{error}"
            );
        }
    }
}
