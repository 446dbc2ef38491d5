//! Key files: a seed in hexadecimal digits, or PKCS#8 in PEM. Errors never quote the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use zeroize::Zeroizing;

use super::AccountKey;

/// Maximum size of a key file in bytes. Keys have less than 300.
pub const MAX_KEY_FILE_BYTES: usize = 16 * 1024;

/// How an encrypted key becomes one that can be read.
const EXPORT: &str = "export the key with `convex key export --type=seed --key=PUBLIC_KEY` into a \
                      file that only the agent can read";

/// Why a key file has no key. No variant contains anything from the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// The file is too large to be a key.
    #[error("is larger than {MAX_KEY_FILE_BYTES} bytes, so that it is no key file")]
    TooLarge,
    /// The file has no content.
    #[error("is empty")]
    Empty,
    /// The key is encrypted PKCS#8.
    #[error("holds an encrypted key, for which there is no password here: {EXPORT}")]
    Encrypted,
    /// The file is a PKCS#12 key store, such as `keystore.pfx`.
    #[error("is a key store (PKCS#12) and not a key: {EXPORT}")]
    KeyStore,
    /// The file is PEM, but holds something else.
    #[error("holds {0} and not a private key (`-----BEGIN PRIVATE KEY-----`)")]
    OtherPem(&'static str),
    /// The file is PEM with a private key, but not a valid one of Ed25519.
    #[error(
        "holds a private key that is not valid PKCS#8 of Ed25519, the only kind that accounts have"
    )]
    NotEd25519,
    /// The hexadecimal digits are not 64.
    #[error("holds {0} hexadecimal digits; a seed has 64")]
    SeedLength(usize),
    /// The file is neither PEM nor hexadecimal digits.
    #[error(
        "is neither a seed of 64 hexadecimal digits nor a private key in PEM \
         (`-----BEGIN PRIVATE KEY-----`)"
    )]
    Unknown,
}

impl AccountKey {
    /// Reads the key in a file, in one of two forms: the seed, as 64 hexadecimal digits with or
    /// without `0x`; or unencrypted PKCS#8 in PEM.
    ///
    /// # Errors
    /// The file cannot be read or has no such key.
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        let mut bytes = Zeroizing::new(vec![0; MAX_KEY_FILE_BYTES + 1]);
        let mut file = File::open(path).map_err(KeyFileError::Unreadable)?;
        let mut length = 0;
        // Into memory of a fixed size, because a vector that grows leaves copies behind.
        loop {
            match file.read(&mut bytes[length..]) {
                Ok(0) if length > MAX_KEY_FILE_BYTES => return Err(KeyFileError::TooLarge),
                Ok(0) => return Self::from_key_file(&bytes[..length]),
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(KeyFileError::Unreadable(error)),
            }
        }
    }

    /// Reads the content of a key file. See [`AccountKey::from_file`].
    ///
    /// # Errors
    /// There is no such key.
    pub fn from_key_file(content: &[u8]) -> Result<Self, KeyFileError> {
        if is_key_store(content) {
            return Err(KeyFileError::KeyStore);
        }
        let text = str::from_utf8(content).map_err(|_| KeyFileError::Unknown)?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err(KeyFileError::Empty);
        }
        if text.contains("-----BEGIN ") {
            return from_pem(text);
        }
        from_seed_text(text)
    }
}

/// Whether this is a PKCS#12 store: DER, a sequence whose first element is the version 3.
fn is_key_store(content: &[u8]) -> bool {
    let body = match content {
        [0x30, 0x80, body @ ..] | [0x30, 0x81, _, body @ ..] | [0x30, 0x82, _, _, body @ ..] => {
            body
        }
        [0x30, length, body @ ..] if *length < 0x80 => body,
        _ => return false,
    };
    body.starts_with(&[0x02, 0x01, 0x03])
}

fn from_pem(text: &str) -> Result<AccountKey, KeyFileError> {
    const OTHERS: [(&str, &str); 5] = [
        ("-----BEGIN CERTIFICATE", "a certificate"),
        ("-----BEGIN PUBLIC KEY", "a public key"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY",
            "a key in the format of OpenSSH",
        ),
        ("-----BEGIN RSA PRIVATE KEY", "an RSA key"),
        ("-----BEGIN EC PRIVATE KEY", "a key of another curve"),
    ];
    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
    const END: &str = "-----END PRIVATE KEY-----";
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY") {
        return Err(KeyFileError::Encrypted);
    }
    let Some(begin) = text.find(BEGIN) else {
        let other = OTHERS.iter().find(|(begin, _)| text.contains(begin));
        return Err(KeyFileError::OtherPem(
            other.map_or("another PEM block", |(_, name)| name),
        ));
    };
    let end = text[begin..].find(END).ok_or(KeyFileError::NotEd25519)?;
    let block = &text[begin..begin + end + END.len()];
    match SigningKey::from_pkcs8_pem(block) {
        Ok(key) => Ok(key.into()),
        Err(_) => Err(KeyFileError::NotEd25519),
    }
}

fn from_seed_text(text: &str) -> Result<AccountKey, KeyFileError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(KeyFileError::Unknown);
    }
    let mut seed = Zeroizing::new([0; 32]);
    match hex::decode_to_slice(digits, &mut *seed) {
        Ok(()) => Ok(AccountKey::from_seed(&seed)),
        Err(_) => Err(KeyFileError::SeedLength(digits.len())),
    }
}
