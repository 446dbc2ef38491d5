//! Reload: loads the configuration again, and applies it or keeps the active one.

use convex_client::reload_system_roots;

use crate::config::Config;
use crate::config::active::ActiveConfig;
use crate::history::EventKind;

use super::components::Components;
use super::log_config::{log_descriptor_limit, summary};
use super::{Source, systemd};

/// Loads the configuration again, and everything else on this host that it depends on.
pub(super) async fn load(source: Source) -> Result<Config, String> {
    let loading = tokio::task::spawn_blocking(move || {
        reload_system_roots();
        source.load()
    });
    match loading.await {
        Ok(loaded) => loaded.map_err(|errors| errors.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

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
    if config.state_dir != before.state_dir {
        tracing::warn!("state_dir changed; restart the agent to apply it");
    }
}
