//! Passwords as bcrypt hashes: which hashes are accepted, and their cost.

use std::ops::RangeInclusive;
use std::str::FromStr;

use bcrypt::HashParts;

use crate::config::Secret;

/// Accepted bcrypt costs (log2 of the number of rounds). The highest takes seconds of CPU time.
const COSTS: RangeInclusive<u32> = 4..=16;

/// The bcrypt hash of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash {
    text: Secret,
    cost: u32,
}

impl PasswordHash {
    /// Returns a hash that no known password matches, as expensive to verify as any other of this
    /// `cost`.
    ///
    /// # Panics
    /// The cost is out of range.
    #[must_use]
    pub fn unmatchable(cost: u32) -> Self {
        // `.` is zero in the alphabet of bcrypt.
        let text = format!("$2b${cost:02}${}", ".".repeat(53));
        text.parse()
            .expect("53 characters of salt and hash, and a cost in range")
    }

    /// log2 of the number of rounds.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Whether `password` matches the hash. Deliberately slow: not for a thread of the event loop.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, self.text.expose()).unwrap_or(false)
    }
}

impl FromStr for PasswordHash {
    type Err = String;

    /// The error does not quote the text, which may be a plain-text password.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = HashParts::from_str(text).ok();
        let cost = parts.map(|parts| parts.get_cost()).ok_or(
            "not a bcrypt hash; create one with `htpasswd -nBC 10 \"\" | tr -d ':\\n'`, \
             and put it in quotes",
        )?;
        if !COSTS.contains(&cost) {
            let (from, to) = COSTS.into_inner();
            return Err(format!(
                "a bcrypt hash of cost {cost}; expected a cost from {from} to {to}"
            ));
        }
        Ok(Self {
            text: text.into(),
            cost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_password_only_and_the_unmatchable_one_matches_none() {
        let hash: PasswordHash = bcrypt::hash("right", 4).unwrap().parse().unwrap();
        assert!(hash.verify(b"right"));
        assert!(!hash.verify(b"wrong"));
        assert_eq!(hash.cost(), 4);
        let unmatchable = PasswordHash::unmatchable(hash.cost());
        assert!(!unmatchable.verify(b"right") && !unmatchable.verify(b""));
        assert_eq!(unmatchable.cost(), 4);
    }

    #[test]
    fn an_invalid_hash_is_not_quoted_in_the_error() {
        for text in ["s3cret", "", "$2b$10$s3cret", "$5$10$s3cret"] {
            let error = text.parse::<PasswordHash>().unwrap_err();
            assert!(
                error.contains("htpasswd") && !error.contains("s3cret"),
                "{error}"
            );
        }
        let expensive = format!("$2y$31${}", ".".repeat(53));
        let error = expensive.parse::<PasswordHash>().unwrap_err();
        assert_eq!(
            error,
            "a bcrypt hash of cost 31; expected a cost from 4 to 16"
        );
    }
}
