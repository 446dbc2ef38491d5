//! The listener's TLS certificate and key, reloaded from their files when those change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::{LoadedTls, Tls};

/// How long a handshake waits for the files. After that it uses what is served already.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Certificate and key. Their files may be replaced at any time, so connections check them.
pub(super) struct Certificates(Arc<Shared>);

/// Loads the files again; `None` if they have not changed.
type Reload = dyn Fn(&LoadedTls) -> Result<Option<LoadedTls>, String> + Send + Sync;

struct Shared {
    reload: Box<Reload>,
    /// Whether a check of the files is running; there is at most one, however long it takes.
    checking: AtomicBool,
    current: Mutex<Current>,
}

struct Current {
    served: LoadedTls,
    /// Why the files cannot be used; logged once.
    problem: Option<String>,
}

/// A running check; allows the next one when it is dropped.
struct Check(Arc<Shared>);

impl Certificates {
    pub(super) fn new(tls: Tls) -> Self {
        let served = tls.initial().clone();
        Self::with_reload(served, move |served| tls.reload_if_changed(served))
    }

    fn with_reload(
        served: LoadedTls,
        reload: impl Fn(&LoadedTls) -> Result<Option<LoadedTls>, String> + Send + Sync + 'static,
    ) -> Self {
        let current = Current {
            served,
            problem: None,
        };
        Self(Arc::new(Shared {
            reload: Box::new(reload),
            checking: AtomicBool::new(false),
            current: Mutex::new(current),
        }))
    }

    /// Returns the TLS configuration for a new connection. While the files cannot be used or do not
    /// answer, it is that of the last usable ones.
    pub(super) async fn server_config(&self) -> Arc<ServerConfig> {
        if let Some(check) = Check::begin(&self.0) {
            // The disk may hang, which must not block the threads that poll.
            let checking = spawn_blocking(move || check.run());
            match timeout(CHECK_TIMEOUT, checking).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "cannot read the listener's TLS certificate");
                }
                Err(_) => self
                    .0
                    .current()
                    .set_problem(format!("its files do not answer within {CHECK_TIMEOUT:?}")),
            }
        }
        self.0.current().served.server()
    }
}

impl Check {
    /// Begins a check unless one is running.
    fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let is_running = shared.checking.swap(true, Ordering::AcqRel);
        (!is_running).then(|| Self(Arc::clone(shared)))
    }

    /// Reads the files and serves what has changed. Blocks.
    fn run(self) {
        let served = self.0.current().served.clone();
        let reloaded = (self.0.reload)(&served);
        let mut current = self.0.current();
        match reloaded {
            Ok(None) => current.clear_problem(),
            Ok(Some(served)) => {
                tracing::info!("reloaded the listener's TLS certificate");
                *current = Current {
                    served,
                    problem: None,
                };
            }
            Err(error) => current.set_problem(error),
        }
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.0.checking.store(false, Ordering::Release);
    }
}

impl Shared {
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn set_problem(&mut self, error: String) {
        if self.problem.as_ref() != Some(&error) {
            tracing::error!(%error, "cannot reload the listener's TLS certificate; the previous one stays active");
            self.problem = Some(error);
        }
    }

    fn clear_problem(&mut self) {
        if self.problem.take().is_some() {
            tracing::info!("the files of the listener's TLS certificate can be used again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    use super::*;
    use crate::config;

    fn tls() -> Tls {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write("cert.pem", &issued.cert.pem());
        write("key.pem", &issued.signing_key.serialize_pem());
        write(
            "web.yml",
            "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n",
        );
        let text = "web: { config_file: web.yml }\n\
                    peers: [{ name: one, endpoints: ['tcp://192.0.2.1:1'] }]\n";
        let config = config::parse(text, "config.yml", dir.path(), &|_| None).unwrap();
        config.web.tls.clone().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_hang_are_read_by_one_thread_and_delay_only_one_handshake() {
        let (release, released) = mpsc::channel::<()>();
        let (checks, released) = (Arc::new(AtomicU32::new(0)), Mutex::new(released));
        let counted = Arc::clone(&checks);
        let reload = move |_: &LoadedTls| {
            counted.fetch_add(1, Ordering::Relaxed);
            // Hangs until the test ends it; then always answers.
            released.lock().unwrap().recv().unwrap_err();
            Ok(None)
        };
        let tls = tls();
        let certificates = Arc::new(Certificates::with_reload(tls.initial().clone(), reload));
        let first = tokio::spawn({
            let certificates = Arc::clone(&certificates);
            async move { certificates.server_config().await }
        });
        tokio::task::yield_now().await;
        for _ in 0..600 {
            certificates.server_config().await;
        }
        assert!(!first.is_finished(), "it waits for the files");
        tokio::time::advance(CHECK_TIMEOUT).await;
        first.await.unwrap();
        assert_eq!(
            certificates.0.current().problem.as_deref(),
            Some("its files do not answer within 2s")
        );
        drop(release);
        while certificates.0.checking.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert_eq!(checks.load(Ordering::Relaxed), 1);
        certificates.server_config().await;
        assert_eq!(checks.load(Ordering::Relaxed), 2);
        assert_eq!(certificates.0.current().problem, None);
    }
}
