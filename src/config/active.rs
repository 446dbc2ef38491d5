//! The active configuration, when it was loaded, and whether the last reload succeeded.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::Config;

/// A shared handle to the active configuration; a reload replaces it for every holder.
#[derive(Debug)]
pub struct ActiveConfig(ArcSwap<LoadedConfig>);

/// A configuration and when it was loaded.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Arc<Config>,
    /// When it was loaded.
    pub loaded: SystemTime,
    /// Whether the last attempt to load a configuration succeeded.
    pub reload_successful: bool,
}

impl ActiveConfig {
    /// Makes `config`, loaded now, the active configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(ArcSwap::from_pointee(LoadedConfig::now(config)))
    }

    /// Returns the active configuration.
    #[must_use]
    pub fn get(&self) -> Arc<LoadedConfig> {
        self.0.load_full()
    }

    /// Makes `config`, loaded now, the active configuration.
    pub fn replace(&self, config: Config) {
        self.0.store(Arc::new(LoadedConfig::now(config)));
    }

    /// Records that a reload failed; the active configuration stays.
    pub fn record_failed_reload(&self) {
        let mut active = (*self.get()).clone();
        active.reload_successful = false;
        self.0.store(Arc::new(active));
    }
}

impl LoadedConfig {
    fn now(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            loaded: SystemTime::now(),
            reload_successful: true,
        }
    }
}
