//! The system's root certificates. They can be read again while the program runs: an update of the
//! system, or an organisation's new authority, needs no restart.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

static CURRENT: Mutex<Option<SystemRoots>> = Mutex::new(None);

/// The root certificates as last read.
#[derive(Clone, Debug)]
pub(super) struct SystemRoots {
    /// Grows each time that other certificates are found.
    pub(super) generation: u64,
    pub(super) store: Arc<RootCertStore>,
    certificates: Arc<Vec<CertificateDer<'static>>>,
}

/// Returns the root certificates, which are read on first use.
pub(super) fn system_roots() -> SystemRoots {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let known = current.clone();
    drop(current);
    known.unwrap_or_else(read)
}

/// Returns a number that changes whenever [`reload_system_roots`] finds other certificates than
/// before. A client trusts the certificates that were current when it was created.
#[must_use]
pub fn system_roots_generation() -> u64 {
    system_roots().generation
}

/// Reads the system's root certificates again, for clients that are created from now on. Reads
/// files. Unusable certificates are skipped; if none is usable, the earlier ones stay.
pub fn reload_system_roots() {
    read();
}

fn read() -> SystemRoots {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(found.certs.iter().cloned());
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if usable == 0 {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        tracing::warn!(
            errors = %errors.join("; "),
            "no root certificates found on this host; https endpoints cannot be verified unless \
             there were some before"
        );
    }
    let generation = match &*current {
        Some(known) if usable == 0 || *known.certificates == found.certs => return known.clone(),
        Some(known) => known.generation + 1,
        None => 0,
    };
    let read = SystemRoots {
        generation,
        store: Arc::new(store),
        certificates: Arc::new(found.certs),
    };
    current.insert(read).clone()
}
