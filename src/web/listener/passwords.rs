//! Password checks: slow by design, so they run off the threads that poll, in the order of
//! [`PasswordQueue`], and a password that was correct is remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::ring;
use secrecy::{ExposeSecret, SecretString};
use sha3::{Digest, Sha3_256};

use crate::config::{PasswordHash, Web};

use super::client::{Client, RecentClients};
use super::password_queue::{PasswordQueue, Standing, Turn};

/// Number of clients remembered for a wrong password.
const FAILED_CLIENTS: usize = 4096;

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
    queue: PasswordQueue,
    /// Clients whose last password was wrong.
    failed: RecentClients,
    /// Clients that were let in before.
    known: Arc<RecentClients>,
}

impl Passwords {
    pub(super) fn new(web: Arc<Web>, known: Arc<RecentClients>) -> Self {
        let highest_cost = web.users.values().map(PasswordHash::cost).max();
        let mut key = [0; 32];
        let filled = ring::default_provider().secure_random.fill(&mut key);
        filled.expect("the system's random number generator works, as TLS needs it too");
        Self {
            unknown_user: PasswordHash::unmatchable(highest_cost.unwrap_or(DEFAULT_COST)),
            web,
            key,
            verified: Mutex::default(),
            queue: PasswordQueue::new(),
            failed: RecentClients::new(FAILED_CLIENTS),
            known,
        }
    }

    /// Checks the password of a user.
    pub(super) async fn check(&self, client: Client, user: &str, password: &str) -> PasswordCheck {
        let digest = self.digest(user, password);
        let is_verified = || self.verified().get(user) == Some(&digest);
        if is_verified() {
            return PasswordCheck::Correct;
        }
        let Some(turn) = self.turn(client, is_verified).await else {
            return if is_verified() {
                PasswordCheck::Correct
            } else {
                PasswordCheck::Overloaded
            };
        };
        let hash = self.web.users.get(user).unwrap_or(&self.unknown_user);
        let hash = hash.clone();
        let password = SecretString::from(password);
        let computed = tokio::task::spawn_blocking(move || {
            // Held until the hash is computed, even if the client has gone away.
            let _turn = turn;
            hash.verify(password.expose_secret().as_bytes())
        });
        match computed.await {
            Ok(true) if self.web.users.contains_key(user) => {
                self.verified().insert(user.to_owned(), digest);
                self.failed.remove(client);
                PasswordCheck::Correct
            }
            Ok(_) => {
                self.failed.add(client);
                PasswordCheck::Wrong
            }
            Err(_) => PasswordCheck::Overloaded,
        }
    }

    /// Waits for a turn to compute a hash; `None` if there will be none, or if it is no longer
    /// needed.
    async fn turn(&self, client: Client, is_verified: impl Fn() -> bool) -> Option<Turn> {
        loop {
            let standing = self.standing(client);
            let own = self.queue.client_turn(client, standing).await?;
            // An earlier check of the same client may have changed both.
            if is_verified() {
                return None;
            }
            if self.standing(client) == standing {
                return self.queue.turn(own).await;
            }
        }
    }

    fn standing(&self, client: Client) -> Standing {
        if self.known.contains(client) {
            Standing::Known
        } else if self.failed.contains(client) {
            Standing::Failed
        } else {
            Standing::New
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
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn passwords() -> Passwords {
        let hash = bcrypt::hash("right", 4).unwrap().parse().unwrap();
        let web = Web {
            users: [("ann".to_owned(), hash)].into(),
            ..Web::default()
        };
        Passwords::new(Arc::new(web), Arc::new(RecentClients::new(9)))
    }

    #[tokio::test]
    async fn only_the_users_own_password_is_correct_and_hashed_only_once() {
        let passwords = passwords();
        let client = Client::at("192.0.2.1");
        for (user, password) in [
            ("ann", "wrong"),
            ("bob", "right"),
            ("", ""),
            ("annr", "ight"),
        ] {
            let check = passwords.check(client, user, password).await;
            assert_eq!(check, PasswordCheck::Wrong, "{user}");
        }
        assert!(
            passwords.verified().is_empty(),
            "wrong passwords are not remembered"
        );
        let check = async |password| passwords.check(client, "ann", password).await;
        assert_eq!(check("right").await, PasswordCheck::Correct);
        // Once no hash can be computed, only remembered passwords are correct.
        passwords.queue.close();
        assert_eq!(check("right").await, PasswordCheck::Correct);
        assert_eq!(check("wrong").await, PasswordCheck::Overloaded);
    }

    #[tokio::test]
    async fn a_password_is_hashed_once_for_requests_at_the_same_time() {
        let passwords = passwords();
        let client = Client::at("192.0.2.1");
        let first = passwords.queue.client_turn(client, Standing::New).await;
        let mut second = pin!(passwords.check(client, "ann", "right"));
        assert_eq!(second.as_mut().now_or_never(), None);
        let digest = passwords.digest("ann", "right");
        passwords.verified().insert("ann".to_owned(), digest);
        passwords.queue.close();
        drop(first);
        assert_eq!(second.await, PasswordCheck::Correct);
    }

    #[tokio::test]
    async fn a_wrong_password_lowers_the_standing_of_its_client_until_a_right_one() {
        let passwords = passwords();
        let [guest, known] = ["192.0.2.1", "192.0.2.2"].map(Client::at);
        passwords.known.add(known);
        for (password, standing) in [("wrong", Standing::Failed), ("right", Standing::New)] {
            passwords.check(guest, "ann", password).await;
            assert_eq!(passwords.standing(guest), standing);
        }
        passwords.check(known, "ann", "wrong").await;
        assert_eq!(passwords.standing(known), Standing::Known);
    }
}
