//! What must not be told: hidden from logs and pages, wiped when dropped, compared all the same.

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

/// A secret text.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// The text, for where it has to go.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        text.as_str().into()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}
