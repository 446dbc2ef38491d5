//! Password checks: slow by design, so they run off the threads that poll, a few at a time, and a
//! password that was correct is remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::ring;
use secrecy::{ExposeSecret, SecretString};
use sha3::{Digest, Sha3_256};
use tokio::sync::Semaphore;

use crate::config::{PasswordHash, Web};

/// Maximum number of hashes computed at the same time: the CPUs are needed for polls.
const CONCURRENT_CHECKS: usize = 2;

/// Maximum number of checks in progress and waiting.
const MAX_PENDING_CHECKS: usize = 32;

/// Cost of the hash checked for unknown users when there are no users at all.
const DEFAULT_COST: u32 = 4;

/// The result of a password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PasswordCheck {
    Correct,
    /// The password is wrong, or the user does not exist.
    Wrong,
    /// Too many checks are pending; this one was not made.
    Overloaded,
}

/// The users and passwords of one configuration.
pub(super) struct Passwords {
    web: Arc<Web>,
    /// Checked for unknown users, so that the response time does not reveal which users exist.
    unknown_user: PasswordHash,
    /// Key of the digests in `verified`.
    key: [u8; 32],
    /// Digest of the last correct password, by user.
    verified: Mutex<HashMap<String, [u8; 32]>>,
    computing: Arc<Semaphore>,
    pending: Semaphore,
}

impl Passwords {
    pub(super) fn new(web: Arc<Web>) -> Self {
        let highest_cost = web.users.values().map(PasswordHash::cost).max();
        let mut key = [0; 32];
        let filled = ring::default_provider().secure_random.fill(&mut key);
        filled.expect("the system's random number generator works, as TLS needs it too");
        Self {
            unknown_user: PasswordHash::unmatchable(highest_cost.unwrap_or(DEFAULT_COST)),
            web,
            key,
            verified: Mutex::default(),
            computing: Arc::new(Semaphore::new(CONCURRENT_CHECKS)),
            pending: Semaphore::new(MAX_PENDING_CHECKS),
        }
    }

    /// Checks the password of a user.
    pub(super) async fn check(&self, user: &str, password: &str) -> PasswordCheck {
        let digest = self.digest(user, password);
        if self.verified().get(user) == Some(&digest) {
            return PasswordCheck::Correct;
        }
        let Ok(_pending) = self.pending.try_acquire() else {
            return PasswordCheck::Overloaded;
        };
        let Ok(computing) = Arc::clone(&self.computing).acquire_owned().await else {
            return PasswordCheck::Overloaded;
        };
        let hash = self.web.users.get(user).unwrap_or(&self.unknown_user);
        let hash = hash.clone();
        let password = SecretString::from(password);
        let computed = tokio::task::spawn_blocking(move || {
            // Held until the hash is computed, even if the client has gone away.
            let _computing = computing;
            hash.verify(password.expose_secret().as_bytes())
        });
        match computed.await {
            Ok(true) if self.web.users.contains_key(user) => {
                self.verified().insert(user.to_owned(), digest);
                PasswordCheck::Correct
            }
            Ok(_) => PasswordCheck::Wrong,
            Err(_) => PasswordCheck::Overloaded,
        }
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<String, [u8; 32]>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, user: &str, password: &str) -> [u8; 32] {
        let mut digest = Sha3_256::new();
        digest.update(self.key);
        digest.update(user.len().to_be_bytes());
        digest.update(user);
        digest.update(password);
        digest.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        let hash = bcrypt::hash("right", 4).unwrap().parse().unwrap();
        Passwords::new(Arc::new(Web {
            users: [("ann".to_owned(), hash)].into(),
            ..Web::default()
        }))
    }

    #[tokio::test]
    async fn only_the_users_own_password_is_correct_and_hashed_only_once() {
        let passwords = passwords();
        for (user, password) in [
            ("ann", "wrong"),
            ("bob", "right"),
            ("", ""),
            ("annr", "ight"),
        ] {
            assert_eq!(
                passwords.check(user, password).await,
                PasswordCheck::Wrong,
                "{user}"
            );
        }
        assert!(
            passwords.verified().is_empty(),
            "wrong passwords are not remembered"
        );
        assert_eq!(
            passwords.check("ann", "right").await,
            PasswordCheck::Correct
        );
        // Once no hash can be computed, only remembered passwords are correct.
        passwords.computing.close();
        assert_eq!(
            passwords.check("ann", "right").await,
            PasswordCheck::Correct
        );
        assert_eq!(
            passwords.check("ann", "wrong").await,
            PasswordCheck::Overloaded
        );
    }

    #[tokio::test]
    async fn the_number_of_pending_checks_is_bounded() {
        let passwords = passwords();
        let pending = passwords.pending.try_acquire_many(32).unwrap();
        assert_eq!(
            passwords.check("ann", "right").await,
            PasswordCheck::Overloaded
        );
        drop(pending);
        assert_eq!(
            passwords.check("ann", "right").await,
            PasswordCheck::Correct
        );
    }
}
