//! TLS settings, shared by endpoints that trust the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::dial::{Trust, system_roots_generation};

/// What endpoints must have in common to share TLS settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum TrustKey {
    /// CA certificates (DER) to trust instead of the system's root certificates.
    Ca(Vec<Vec<u8>>),
    /// Generation of the system's root certificates.
    System(u64),
}

/// TLS settings by what they trust. Create one and share it between all
/// [`HttpClient`](super::HttpClient)s: root certificates take much memory, and are dropped with the
/// last endpoint that uses them.
#[derive(Debug, Default)]
pub struct TlsSettings(Mutex<HashMap<TrustKey, Weak<Trust>>>);

impl TlsSettings {
    /// Returns the settings that trust `ca`, or else the system's root certificates. They are
    /// created on first use.
    ///
    /// # Errors
    /// A certificate in `ca` is not usable.
    pub(super) fn get(&self, ca: Option<&[Vec<u8>]>) -> Result<Arc<Trust>, String> {
        let key = match ca {
            Some(ca) => TrustKey::Ca(ca.to_vec()),
            None => TrustKey::System(system_roots_generation()),
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trust) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(trust);
        }
        known.retain(|_, trust| trust.strong_count() > 0);
        let trust = Arc::new(Trust::new(ca)?);
        known.insert(key, Arc::downgrade(&trust));
        Ok(trust)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_shared_while_an_endpoint_uses_them_and_dropped_with_the_last() {
        let settings = TlsSettings::default();
        let [first, second] = [(); 2].map(|()| settings.get(None).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        let _other = settings.get(Some(&[])).unwrap();
        let kept: Vec<TrustKey> = settings.0.lock().unwrap().keys().cloned().collect();
        assert_eq!(kept, [TrustKey::Ca(Vec::new())]);
    }
}
