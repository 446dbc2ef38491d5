//! Proof that a peer holds a key: it signs what this client made up (PEER-PROTOCOL, section 3.4).

use std::sync::OnceLock;

use cad3::{Cell, Hash};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::belief::verify;
use crate::failure::sanitize;
use crate::message::Reply;
use crate::signing;

/// What came of a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProof {
    /// The peer holds this key: it signed the challenge with it.
    Signed(Hash),
    /// The answer proves nothing, for this reason.
    NotProven(String),
}

/// A challenge that was sent to a peer.
#[derive(Debug)]
pub(crate) struct Challenge {
    /// What the peer has to sign; nobody can know it before.
    token: Hash,
    /// The network that the peer says it belongs to.
    network: Hash,
    /// Signs the challenge.
    key: &'static Ed25519KeyPair,
}

impl Challenge {
    /// Creates a challenge to a peer of the network with this genesis hash; none if this host has
    /// no random numbers.
    pub(crate) fn new(network: Hash) -> Option<Self> {
        Some(Self {
            token: Hash::new(random()?),
            network,
            key: own_key()?,
        })
    }

    /// Returns the request, `[:CH id signed]`. It names no key, so that a peer which holds another
    /// one than it says answers too.
    pub(crate) fn request(&self, id: i64) -> Cell {
        let content = [self.token.into(), Cell::Nil, self.network.into()];
        let signed = sign(self.key, Cell::vector(content));
        Cell::vector([Cell::keyword("CH"), Cell::integer(id), signed])
    }

    /// Checks an answer.
    pub(crate) fn check(&self, reply: Reply) -> KeyProof {
        let value = match reply.outcome {
            Ok(value) => value,
            Err(error) => {
                let reason = format!(
                    "the peer refuses the challenge with :{}: {}",
                    error.code, error.message
                );
                return KeyProof::NotProven(sanitize(reason));
            }
        };
        let (signer, content) = match verify(&value) {
            Ok(verified) => verified,
            Err(error) => {
                let reason = format!("the answer to the challenge is not valid: {error}");
                return KeyProof::NotProven(reason);
            }
        };
        let expected = [self.token, public(self.key), self.network];
        let elements = content.as_elements();
        let is_expected = elements.is_some_and(|elements| {
            let hashes = elements.iter().map(Cell::as_hash);
            hashes.eq(expected.map(Some))
        });
        if is_expected {
            KeyProof::Signed(signer)
        } else {
            KeyProof::NotProven("the answer is to another challenge".to_owned())
        }
    }
}

/// Whether `message` is a challenge, such as a peer sends back to the challenger.
pub(crate) fn is_challenge(message: &Cell) -> bool {
    let first = message.as_elements().and_then(|elements| elements.get(0));
    first.and_then(Cell::as_keyword) == Some("CH")
}

/// The key that challenges are signed with. Every key will do, so it lives as long as the process.
fn own_key() -> Option<&'static Ed25519KeyPair> {
    static KEY: OnceLock<Option<Ed25519KeyPair>> = OnceLock::new();
    let key = KEY.get_or_init(|| Ed25519KeyPair::from_seed_unchecked(&random()?).ok());
    key.as_ref()
}

fn public(pair: &Ed25519KeyPair) -> Hash {
    let mut key = [0; 32];
    key.copy_from_slice(pair.public_key().as_ref());
    Hash::new(key)
}

fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Signs a value.
fn sign(pair: &Ed25519KeyPair, value: Cell) -> Cell {
    signing::sign(&public(pair), value, |message| {
        let mut signature = [0; 64];
        signature.copy_from_slice(pair.sign(message).as_ref());
        signature
    })
}

#[cfg(test)]
mod tests {
    use cad3::{Limits, decode_message, encode_message};

    use super::*;

    fn hash(byte: u8) -> Hash {
        Hash::new([byte; 32])
    }

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    /// Reads a Result as the client receives it.
    fn reply(value: Cell, error: Cell) -> Reply {
        let fields = [Cell::integer(1), value, error, Cell::Nil, Cell::Nil];
        let message = encode_message(&Cell::record(0xdd, fields));
        let received = decode_message(&message, &Limits::default()).unwrap();
        Reply::from_cell(&received.top).unwrap()
    }

    fn answer(signer: u8, content: impl IntoIterator<Item = Hash>) -> Reply {
        let content = Cell::vector(content.into_iter().map(Cell::from));
        reply(sign(&pair(signer), content), Cell::Nil)
    }

    #[test]
    fn a_challenge_is_signed_and_has_the_form_that_peers_accept() {
        let challenge = Challenge::new(hash(7)).unwrap();
        let request = challenge.request(81);
        let sent = decode_message(&encode_message(&request), &Limits::default()).unwrap();
        assert!(is_challenge(&sent.top));
        let elements = sent.top.as_elements().unwrap();
        assert_eq!(elements.get(1), Some(&Cell::integer(81)));
        let (signer, content) = verify(elements.get(2).unwrap()).unwrap();
        assert_eq!(Some(signer), own_key().map(public));
        let content: Vec<_> = content.as_elements().unwrap().iter().cloned().collect();
        assert_eq!(content, [challenge.token.into(), Cell::Nil, hash(7).into()]);
        let other = Challenge::new(hash(7)).unwrap();
        assert_ne!(challenge.token, other.token);
    }

    #[test]
    fn only_a_valid_answer_to_this_challenge_proves_a_key() {
        let challenge = Challenge::new(hash(7)).unwrap();
        let own = own_key().map(public).unwrap();
        let [token, network] = [challenge.token, challenge.network];
        let signed = challenge.check(answer(1, [token, own, network]));
        assert_eq!(signed, KeyProof::Signed(public(&pair(1))));
        for other in [
            vec![hash(9), own, network],
            vec![token, hash(9), network],
            vec![token, own, hash(9)],
            vec![token, own],
            vec![token, own, network, network],
            vec![],
        ] {
            let proof = challenge.check(answer(1, other.clone()));
            let expected = "the answer is to another challenge".to_owned();
            assert_eq!(proof, KeyProof::NotProven(expected), "{other:?}");
        }
    }

    #[test]
    fn a_refusal_and_a_forged_answer_prove_nothing() {
        let challenge = Challenge::new(hash(7)).unwrap();
        let own = own_key().map(public).unwrap();
        let content = [challenge.token, own, challenge.network].map(Cell::from);
        let forged = Cell::signed(&public(&pair(1)), &[5; 64], Cell::vector(content));
        for (value, error, expected) in [
            (
                Cell::string("Wrong target\u{1b} key"),
                Cell::keyword("TRUST"),
                "the peer refuses the challenge with :TRUST: Wrong target\u{fffd} key",
            ),
            (
                forged,
                Cell::Nil,
                "the answer to the challenge is not valid",
            ),
            (
                Cell::Nil,
                Cell::Nil,
                "the answer to the challenge is not valid",
            ),
        ] {
            match challenge.check(reply(value, error)) {
                KeyProof::NotProven(reason) => assert!(reason.starts_with(expected), "{reason}"),
                KeyProof::Signed(key) => panic!("proves {key}"),
            }
        }
    }
}
