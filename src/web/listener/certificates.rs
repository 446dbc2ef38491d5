//! The listener's TLS certificate and key, reloaded from their files when those change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;

use crate::config::{LoadedTls, Tls};

/// Certificate and key. Their files may be replaced at any time, so each connection checks them.
pub(super) struct Certificates {
    tls: Arc<Tls>,
    current: Mutex<Current>,
}

struct Current {
    served: LoadedTls,
    /// Why the files cannot be used since then; logged once.
    error: Option<String>,
}

impl Certificates {
    pub(super) fn new(tls: Tls) -> Self {
        let current = Current {
            served: tls.initial().clone(),
            error: None,
        };
        Self {
            tls: Arc::new(tls),
            current: Mutex::new(current),
        }
    }

    /// Returns the TLS configuration for a new connection. While the files cannot be used, it is
    /// that of the last usable ones.
    pub(super) async fn server_config(&self) -> Arc<ServerConfig> {
        let (tls, served) = (Arc::clone(&self.tls), self.current().served.clone());
        // The disk may hang, which must not block the threads that poll.
        let reloaded = tokio::task::spawn_blocking(move || tls.reload_if_changed(&served)).await;
        let mut current = self.current();
        match reloaded {
            Ok(Ok(None)) => current.error = None,
            Ok(Ok(Some(served))) => {
                tracing::info!("reloaded the listener's TLS certificate");
                *current = Current {
                    served,
                    error: None,
                };
            }
            Ok(Err(error)) if current.error.as_ref() == Some(&error) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot reload the listener's TLS certificate; the previous one stays active");
                current.error = Some(error);
            }
            Err(error) => tracing::error!(%error, "cannot read the listener's TLS certificate"),
        }
        current.served.server()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
