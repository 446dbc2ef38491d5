//! Reload: loads the configuration again, and applies it or keeps the active one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::active::ActiveConfig;
use crate::config::{Config, Errors};
use crate::history::EventKind;

use super::components::Components;
use super::log_config::{log_descriptor_limit, summary};
use super::systemd;

/// How long loading may take in all. A single file that does not answer ends it sooner.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Loads configurations, one at a time.
#[derive(Clone, Debug)]
pub(super) struct Loader(Arc<Semaphore>);

impl Loader {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Returns what `load` returns. If that takes too long, it is left behind, and is not begun
    /// again before it has ended.
    pub(super) async fn run(
        self,
        load: impl FnOnce() -> Result<Config, Errors> + Send + 'static,
    ) -> Result<Config, String> {
        let Ok(permit) = self.0.try_acquire_owned() else {
            return Err(format!(
                "an earlier reload has not ended since; {CHECK_DISKS}"
            ));
        };
        let loading = spawn_blocking(move || {
            let _until_it_ends = permit;
            load()
        });
        match timeout(LOAD_TIMEOUT, loading).await {
            Ok(Ok(loaded)) => loaded.map_err(|errors| errors.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "loading took longer than {LOAD_TIMEOUT:?}; {CHECK_DISKS}"
            )),
        }
    }
}

const CHECK_DISKS: &str = "check the disks and network mounts of the configuration and of the \
                           files that it names";

/// Makes a loaded configuration the active one. An invalid one changes nothing but the metric, the
/// log and the event that report it.
pub(super) fn apply(
    loaded: Result<Config, String>,
    components: &mut Components,
    active: &ActiveConfig,
) -> Result<(), String> {
    match loaded {
        Ok(config) => {
            accept(config, components, active);
            Ok(())
        }
        Err(errors) => {
            reject(&errors, components, active);
            Err(errors)
        }
    }
}

fn accept(mut config: Config, components: &mut Components, active: &ActiveConfig) {
    let before = active.get();
    config.reuse_peers(&before.config);
    warn_restart_needed(&before.config, &config);
    components.apply(&config);
    components.history.record_event(EventKind::ConfigReloaded {
        peers: config.peers.len(),
    });
    tracing::info!(peers = config.peers.len(), "configuration reloaded");
    log_descriptor_limit(&config);
    systemd::ready(&summary(&config));
    active.replace(config);
}

fn reject(errors: &str, components: &Components, active: &ActiveConfig) {
    const REJECTED: &str =
        "the new configuration was rejected; the running configuration stays active";
    active.record_failed_reload();
    components
        .history
        .record_event(EventKind::config_refused(errors));
    tracing::error!(%errors, "{REJECTED}");
    systemd::ready(REJECTED);
}

fn warn_restart_needed(before: &Config, config: &Config) {
    if config.listen != before.listen {
        tracing::warn!(listen = %config.listen, "listen changed; restart the agent to apply it");
    }
    if config.external_url != before.external_url {
        tracing::warn!("external_url changed; restart the agent to apply it");
    }
    let status_listen = |config: &Config| config.status.as_ref().and_then(|it| it.listen.clone());
    if status_listen(config) != status_listen(before) {
        tracing::warn!("status.listen changed; restart the agent to apply it");
    }
    if config.state_dir != before.state_dir {
        tracing::warn!("state_dir changed; restart the agent to apply it");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::config;

    #[tokio::test(start_paused = true)]
    async fn a_load_that_hangs_fails_and_others_are_refused_until_it_has_ended() {
        let loader = Loader::new();
        let (release, released) = mpsc::channel::<()>();
        let hanging = tokio::spawn(loader.clone().run(move || {
            released.recv().unwrap_err();
            Ok(config::embedded())
        }));
        tokio::task::yield_now().await;
        tokio::time::advance(LOAD_TIMEOUT).await;
        let error = hanging.await.unwrap().unwrap_err();
        assert!(error.starts_with("loading took longer than 60s"), "{error}");
        let load = || loader.clone().run(|| Ok(config::embedded()));
        let error = load().await.unwrap_err();
        assert!(error.starts_with("an earlier reload"), "{error}");
        drop(release);
        while loader.0.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(load().await.is_ok());
    }
}
