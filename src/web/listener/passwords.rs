//! Whether a password is right: slow by intent, so away from the threads that poll, few at a time, and once for who comes again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::ring;
use sha3::{Digest, Sha3_256};
use tokio::sync::Semaphore;

use crate::config::{PasswordHash, Web};

/// Hashes computed at a time: the processors are there for polls.
const AT_A_TIME: usize = 2;

/// Checks under way and waiting, at most.
const WAITING: usize = 32;

/// What a password turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Verdict {
    /// The user's.
    Right,
    /// Another one, or there is no such user.
    Wrong,
    /// Too many are being checked to look at this one.
    Busy,
}

/// The passwords of a configuration.
pub(in crate::web) struct Passwords {
    web: Arc<Web>,
    /// Checked for who is no user, so that the time it takes does not tell who is one.
    nobody: PasswordHash,
    /// Keys the digests of what was right.
    key: [u8; 32],
    /// The digest of what was right last, by user.
    known: Mutex<HashMap<String, [u8; 32]>>,
    computing: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Passwords {
    pub(in crate::web) fn new(web: Arc<Web>) -> Self {
        let dearest = web.users.values().map(PasswordHash::cost).max();
        let mut key = [0; 32];
        let filled = ring::default_provider().secure_random.fill(&mut key);
        filled.expect("the system's source of randomness works, or TLS would not either");
        Self {
            nobody: PasswordHash::unmatchable(dearest.unwrap_or(4)),
            web,
            key,
            known: Mutex::default(),
            computing: Arc::new(Semaphore::new(AT_A_TIME)),
            waiting: Semaphore::new(WAITING),
        }
    }

    /// Judges the password of a user.
    pub(in crate::web) async fn check(&self, user: &str, password: &str) -> Verdict {
        let digest = self.digest(user, password);
        if self.known().get(user) == Some(&digest) {
            return Verdict::Right;
        }
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Verdict::Busy;
        };
        let Ok(computing) = Arc::clone(&self.computing).acquire_owned().await else {
            return Verdict::Busy;
        };
        let hash = self.web.users.get(user).unwrap_or(&self.nobody).clone();
        let given = secrecy::SecretString::from(password);
        let computed = tokio::task::spawn_blocking(move || {
            // Held to the end, also when who asked is gone.
            let _computing = computing;
            hash.verify(secrecy::ExposeSecret::expose_secret(&given).as_bytes())
        });
        match computed.await {
            Ok(true) if self.web.users.contains_key(user) => {
                self.known().insert(user.to_owned(), digest);
                Verdict::Right
            }
            Ok(_) => Verdict::Wrong,
            Err(_) => Verdict::Busy,
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, [u8; 32]>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn only_the_users_own_password_is_right_and_it_is_computed_once() {
        let passwords = passwords();
        for (user, password) in [
            ("ann", "wrong"),
            ("bob", "right"),
            ("", ""),
            ("annr", "ight"),
        ] {
            assert_eq!(
                passwords.check(user, password).await,
                Verdict::Wrong,
                "{user}"
            );
        }
        assert!(
            passwords.known().is_empty(),
            "what is wrong is not remembered"
        );
        assert_eq!(passwords.check("ann", "right").await, Verdict::Right);
        // With no hash to be had any more, only what is remembered can be right.
        passwords.computing.close();
        assert_eq!(passwords.check("ann", "right").await, Verdict::Right);
        assert_eq!(passwords.check("ann", "wrong").await, Verdict::Busy);
    }

    #[tokio::test]
    async fn only_so_many_wait_at_a_time() {
        let passwords = passwords();
        let waiting = passwords.waiting.try_acquire_many(32).unwrap();
        assert_eq!(passwords.check("ann", "right").await, Verdict::Busy);
        drop(waiting);
        assert_eq!(passwords.check("ann", "right").await, Verdict::Right);
    }
}
