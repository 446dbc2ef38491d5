//! Whether the registry on chain has a watched peer. Pure.

/// Whether a peer is registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// No complete registry was read, or the peer's key is not known.
    #[default]
    Unknown,
    /// The registry has the peer.
    Registered,
    /// The registry does not have the peer, in two readings.
    Missing,
}

/// What the last readings of the registry say about one peer.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct RegistrationWatch {
    /// The peer that the registry was first found to lack this one in, while the verdict is open.
    missing_at: Option<String>,
    registration: Registration,
}

impl RegistrationWatch {
    /// Records one reading of a complete registry from the peer `reader`. `only_reader`: no other
    /// peer could have been read.
    pub(super) fn record(&mut self, is_registered: bool, reader: &str, only_reader: bool) {
        if is_registered {
            self.record_registered();
            return;
        }
        match &self.missing_at {
            None => self.missing_at = Some(reader.to_owned()),
            Some(first) if only_reader || first != reader => {
                self.registration = Registration::Missing;
            }
            Some(_) => {}
        }
    }

    /// Records that a registry has the peer.
    pub(super) fn record_registered(&mut self) {
        self.missing_at = None;
        self.registration = Registration::Registered;
    }

    /// Returns the verdict.
    pub(in crate::fleet) const fn registration(&self) -> Registration {
        self.registration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_missing_after_two_readings_from_two_peers_where_there_are_two() {
        use Registration::{Missing, Registered, Unknown};
        for (readings, expected) in [
            (&[("a", true, false)][..], Registered),
            (&[("a", false, false)], Unknown),
            (&[("a", false, false), ("a", false, false)], Unknown),
            (&[("a", false, false), ("b", false, false)], Missing),
            (&[("a", false, true), ("a", false, true)], Missing),
            (&[("a", true, false), ("b", false, false)], Registered),
            (
                &[("a", false, false), ("b", true, false), ("a", false, false)],
                Registered,
            ),
        ] {
            let mut watch = RegistrationWatch::default();
            for (reader, is_registered, only_reader) in readings {
                watch.record(*is_registered, reader, *only_reader);
            }
            assert_eq!(watch.registration(), expected, "{readings:?}");
        }
    }
}
