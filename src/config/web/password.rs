//! Passwords as their bcrypt hashes: what is taken for one, and what it costs to check.

use std::ops::RangeInclusive;
use std::str::FromStr;

use bcrypt::HashParts;

use crate::config::Secret;

/// What one check may cost: 2 to this power of rounds. The dearest one takes some seconds of a processor.
const COSTS: RangeInclusive<u32> = 4..=16;

/// The bcrypt hash of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash {
    text: Secret,
    cost: u32,
}

impl PasswordHash {
    /// A hash that no password is known for, checked at `cost` as any other.
    ///
    /// # Panics
    /// The cost is not one that a hash can have.
    #[must_use]
    pub fn of_nobody(cost: u32) -> Self {
        // Zeros, in the alphabet of bcrypt.
        let text = format!("$2b${cost:02}${}", ".".repeat(53));
        text.parse()
            .expect("53 characters of salt and hash, at a cost that is allowed")
    }

    /// The logarithm of the rounds that a check takes.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Whether this is the hash of `password`. Takes long, as it is meant to: not for a thread that others wait for.
    #[must_use]
    pub fn is_of(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, self.text.expose()).unwrap_or(false)
    }
}

impl FromStr for PasswordHash {
    type Err = String;

    /// The message repeats nothing of the text: it may be a password in plain.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = HashParts::from_str(text).ok();
        let cost = parts.map(|parts| parts.get_cost()).ok_or(
            "not a bcrypt hash; make one with `htpasswd -nBC 10 \"\" | tr -d ':\\n'`, and put it in quotes",
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
    fn a_hash_is_of_its_password_alone_and_of_nobody_of_none() {
        let hash: PasswordHash = bcrypt::hash("right", 4).unwrap().parse().unwrap();
        assert!(hash.is_of(b"right"));
        assert!(!hash.is_of(b"wrong"));
        assert_eq!(hash.cost(), 4);
        let nobody = PasswordHash::of_nobody(hash.cost());
        assert!(!nobody.is_of(b"right") && !nobody.is_of(b""));
        assert_eq!(nobody.cost(), 4);
    }

    #[test]
    fn what_is_no_hash_is_told_without_repeating_it() {
        for text in ["s3cret", "", "$2b$10$s3cret", "$5$10$s3cret"] {
            let error = text.parse::<PasswordHash>().unwrap_err();
            assert!(
                error.contains("htpasswd") && !error.contains("s3cret"),
                "{error}"
            );
        }
        let dear = format!("$2y$31${}", ".".repeat(53));
        let error = dear.parse::<PasswordHash>().unwrap_err();
        assert_eq!(
            error,
            "a bcrypt hash of cost 31; expected a cost from 4 to 16"
        );
    }
}
