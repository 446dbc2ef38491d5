//! The certificate of a chain that ends first.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use crate::failure::sanitize;

/// Longest subject that is kept, in characters.
const MAX_SUBJECT_CHARS: usize = 100;

/// The certificate that ends first of those that a server showed: its own, or one between that and
/// the root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateEnd {
    /// Start of its validity.
    pub begins: SystemTime,
    /// End of its validity.
    pub ends: SystemTime,
    /// Its subject, such as `CN=peer.example`; empty if it has none. A stranger may have chosen it.
    pub subject: String,
}

impl CertificateEnd {
    /// Returns the one of `chain` that ends first. One that cannot be read does not count.
    pub(crate) fn of<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>) -> Option<Self> {
        chain.filter_map(Self::read).min_by_key(|it| it.ends)
    }

    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let time = |seconds: i64| {
            let since_epoch = Duration::from_secs(u64::try_from(seconds).ok()?);
            SystemTime::UNIX_EPOCH.checked_add(since_epoch)
        };
        let validity = certificate.validity();
        let subject = sanitize(certificate.subject().to_string());
        Some(Self {
            begins: time(validity.not_before.timestamp()).unwrap_or(SystemTime::UNIX_EPOCH),
            ends: time(validity.not_after.timestamp())?,
            subject: subject.chars().take(MAX_SUBJECT_CHARS).collect(),
        })
    }

    /// Whether less than a third of its lifetime is left at `now`, and less than `at_most`. A
    /// certificate that is renewed in time never gets there, however short it lives.
    #[must_use]
    pub fn ends_soon(&self, now: SystemTime, at_most: Duration) -> bool {
        let lifetime = self.ends.duration_since(self.begins).unwrap_or_default();
        let left = self.ends.duration_since(now).unwrap_or_default();
        left.is_zero() || left < at_most.min(lifetime / 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_ends_soon_by_the_share_of_its_lifetime_that_is_left() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        let begins = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 * DAY);
        for (lifetime, left, soon) in [
            // A year, 90 and 47 days, six days, a day: renewed when a third is left.
            (365 * DAY, 22 * DAY, false),
            (365 * DAY, 20 * DAY, true),
            (90 * DAY, 30 * DAY, false),
            (90 * DAY, 20 * DAY, true),
            (47 * DAY, 16 * DAY, false),
            (47 * DAY, 15 * DAY, true),
            (6 * DAY, 2 * DAY, false),
            (6 * DAY, 2 * DAY - HOUR, true),
            (DAY, 9 * HOUR, false),
            (DAY, 7 * HOUR, true),
            (DAY, 0, true),
            (0, 0, true),
        ] {
            let certificate = CertificateEnd {
                begins,
                ends: begins + Duration::from_secs(lifetime),
                subject: String::new(),
            };
            let now = certificate.ends - Duration::from_secs(left);
            let at_most = Duration::from_secs(21 * DAY);
            assert_eq!(
                certificate.ends_soon(now, at_most),
                soon,
                "{left} s of {lifetime} s left"
            );
            let longest = Duration::from_secs(DAY);
            assert_eq!(
                certificate.ends_soon(now, longest),
                soon && left < DAY,
                "{left} s of {lifetime} s left, of which a day matters"
            );
            let ended = certificate.ends + Duration::from_secs(1);
            assert!(certificate.ends_soon(ended, at_most));
        }
    }
}
