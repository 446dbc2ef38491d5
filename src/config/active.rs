//! What is in force now: the configuration, when it was loaded, whether the last attempt to replace it succeeded; and the tasks
//! that belong to it.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::Config;

/// The configuration in force, shared by everybody who reads it.
#[derive(Debug)]
pub struct ActiveConfig(ArcSwap<LoadedConfig>);

/// One configuration and its history.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Arc<Config>,
    /// When it was loaded.
    pub loaded: SystemTime,
    /// Whether the last attempt to load one succeeded.
    pub reload_successful: bool,
}

impl ActiveConfig {
    /// `config`, loaded now.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(ArcSwap::from_pointee(LoadedConfig::now(config)))
    }

    /// What is in force.
    #[must_use]
    pub fn get(&self) -> Arc<LoadedConfig> {
        self.0.load_full()
    }

    /// Puts `config` in force.
    pub fn replace(&self, config: Config) {
        self.0.store(Arc::new(LoadedConfig::now(config)));
    }

    /// Notes that a new configuration was refused; the old one stays in force.
    pub fn refused(&self) {
        let mut in_force = (*self.get()).clone();
        in_force.reload_successful = false;
        self.0.store(Arc::new(in_force));
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
