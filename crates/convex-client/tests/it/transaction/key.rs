//! Key files in all forms, and what is refused in which words.

use std::path::Path;

use convex_client::transaction::{AccountKey, KeyFileError, MAX_KEY_FILE_BYTES};

/// The example key of RFC 8410, section 10.3.
const SEED: &str = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
const PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

/// PEM of a kind, from the lines of its body.
fn pem(kind: &str, body: &str) -> String {
    format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
}

/// PKCS#8 of the key, without its public key.
fn usual() -> String {
    pem(
        "PRIVATE KEY",
        "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC",
    )
}

/// The same with an attribute and the public key.
fn with_public_key() -> String {
    pem(
        "PRIVATE KEY",
        "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
         oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n\
         Z9w7lshQhqowtrbLDFw4rXAxZuE=",
    )
}

#[test]
fn a_key_is_read_from_a_seed_and_from_pem() {
    for content in [
        SEED.to_owned(),
        format!("0x{SEED}\n"),
        format!("\u{feff}  {}\r\n", SEED.to_uppercase()),
        usual(),
        usual().replace('\n', "\r\n"),
        format!("the key of the canary\n{}", usual()),
        with_public_key(),
    ] {
        let key = AccountKey::from_key_file(content.as_bytes()).unwrap();
        assert_eq!(hex::encode(key.public_key().as_bytes()), PUBLIC);
    }
    let seed = hex::decode(SEED).unwrap().try_into().unwrap();
    let public = AccountKey::from_seed(&seed).public_key();
    assert_eq!(hex::encode(public.as_bytes()), PUBLIC);
}

#[test]
fn what_is_no_key_is_refused_in_words_that_quote_nothing_of_it() {
    let pfx = [&[0x30, 0x82, 0x05, 0x10, 0x02, 0x01, 0x03][..], b"SECRET"].concat();
    let encrypted = pem("ENCRYPTED PRIVATE KEY", "SECRET");
    let x25519 = usual().replace("BQYDK2Vw", "BQYDK2Vu");
    for (content, words) in [
        (b"".to_vec(), "is empty"),
        (b" \n".to_vec(), "is empty"),
        (pfx, "is a key store (PKCS#12)"),
        (encrypted.into(), "convex key export --type=seed"),
        (pem("CERTIFICATE", "SECRET").into(), "a certificate"),
        (pem("PUBLIC KEY", "SECRET").into(), "a public key"),
        (pem("RSA PRIVATE KEY", "SECRET").into(), "an RSA key"),
        (pem("SECRET", "SECRET").into(), "another PEM block"),
        (pem("PRIVATE KEY", "SECRET").into(), "PKCS#8 of Ed25519"),
        (x25519.into(), "PKCS#8 of Ed25519"),
        (usual()[..60].into(), "PKCS#8 of Ed25519"),
        (SEED[..62].into(), "62 hexadecimal digits; a seed has 64"),
        (format!("{SEED}00").into(), "66 hexadecimal digits"),
        (SEED[..63].into(), "63 hexadecimal digits"),
        (b"SECRET".to_vec(), "is neither a seed"),
        (b"\xff\xfeSECRET".to_vec(), "is neither a seed"),
        (format!("{SEED} {SEED}").into(), "is neither a seed"),
    ] {
        let error = AccountKey::from_key_file(&content).unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("SECRET") && !text.contains(&SEED[..16]));
        }
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn a_key_is_never_shown() {
    let key = AccountKey::from_key_file(SEED.as_bytes()).unwrap();
    let shown = format!("{key:?} {key:#?}").to_lowercase();
    assert!(!shown.contains(&SEED[..8]), "{shown}");
    assert!(shown.contains(&PUBLIC[..8]), "{shown}");
}

#[test]
fn a_file_that_cannot_be_read_or_is_too_large_is_refused() {
    let missing = AccountKey::from_file(Path::new("/no/such/file")).unwrap_err();
    assert!(matches!(missing, KeyFileError::Unreadable(_)), "{missing}");
    assert!(missing.to_string().starts_with("cannot be read: "));
    let endless = AccountKey::from_file(Path::new("/dev/zero")).unwrap_err();
    assert!(matches!(endless, KeyFileError::TooLarge), "{endless}");
    assert!(
        endless
            .to_string()
            .contains(&MAX_KEY_FILE_BYTES.to_string())
    );
}
