//! Certificates and keys in PEM: inline in the web configuration file, or in files that it names.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::zeroize::Zeroizing;

use super::super::Secret;
use super::super::file_read::read_file;
use super::super::secret_file::is_world_readable;
use super::super::section::Section;
use super::super::source::Reported;
use super::super::value::Value;

/// Largest file, bytes; the root certificates of an operating system take a quarter of it.
const MAX_BYTES: u64 = 1 << 20;

/// The two keys of the configuration for one content.
pub(super) struct PemKeys {
    /// Has the content.
    inline: &'static str,
    /// Names a file with it.
    file: &'static str,
    is_secret: bool,
}

pub(super) const CERT: PemKeys = PemKeys {
    inline: "cert",
    file: "cert_file",
    is_secret: false,
};

pub(super) const KEY: PemKeys = PemKeys {
    inline: "key",
    file: "key_file",
    is_secret: true,
};

pub(super) const CLIENT_CA: PemKeys = PemKeys {
    inline: "client_ca",
    file: "client_ca_file",
    is_secret: false,
};

/// Certificates or a key, in PEM.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pem {
    /// The key of the configuration that has it or names its file.
    pub(super) key: &'static str,
    content: PemContent,
}

#[derive(Clone, Debug, PartialEq)]
enum PemContent {
    File(PathBuf),
    Inline(Secret),
}

/// Why a content is unusable.
pub(super) struct Unusable {
    /// The configuration key that has it or names its file.
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Pem {
    /// Reads the content, or the name of its file, which is used if both are given, as in
    /// Prometheus.
    pub(super) fn read(section: &Section, keys: &PemKeys) -> Result<Option<Self>, Reported> {
        let &PemKeys {
            inline,
            file,
            is_secret,
        } = keys;
        let text = section.read(inline, |value| {
            if is_secret {
                value.secret_text()
            } else {
                value.text().map(Zeroizing::new)
            }
        });
        let path = section.read(file, Value::path);
        let (text, path) = (text?, path?);
        if let Some(position) = section.key_position(inline).filter(|_| path.is_some()) {
            let warning = format!("{inline}: has no effect beside {file}; remove one of them");
            section.source.warn(position, warning);
        }
        let from_file = path.map(|path| (file, PemContent::File(path)));
        let inline = text.map(|text| (inline, PemContent::Inline(text.into())));
        let read = from_file.or(inline);
        Ok(read.map(|(key, content)| Self { key, content }))
    }

    pub(super) fn require(section: &Section, keys: &PemKeys) -> Result<Self, Reported> {
        Self::read(section, keys)?.ok_or_else(|| {
            let message = format!("is missing; add it, or `{}` with its content", keys.inline);
            section.report(section.position, keys.file, message)
        })
    }

    /// Quotes the name of the file, if there is one.
    pub(super) fn quoted(&self) -> String {
        match &self.content {
            PemContent::File(path) => format!("{:?}", path.to_string_lossy()),
            PemContent::Inline(_) => self.key.to_owned(),
        }
    }

    /// Returns the content, and whether every user of the host can read it.
    pub(super) fn load(&self) -> Result<(Zeroizing<Vec<u8>>, bool), Unusable> {
        match &self.content {
            PemContent::Inline(text) => {
                Ok((Zeroizing::new(text.expose().as_bytes().to_vec()), false))
            }
            PemContent::File(path) => {
                let (bytes, metadata) = read_file(path, MAX_BYTES).map_err(|error| Unusable {
                    key: self.key,
                    message: format!("cannot read {:?}: {error}", path.to_string_lossy()),
                })?;
                Ok((bytes, is_world_readable(&metadata)))
            }
        }
    }
}

/// Parses the certificates in PEM; at least one.
pub(super) fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| format!("is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(
            "contains no certificate; expected PEM with `-----BEGIN CERTIFICATE-----`".to_owned(),
        );
    }
    Ok(certificates)
}
