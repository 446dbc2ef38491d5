//! Where the configuration is loaded from, at startup and at every reload.

use std::path::PathBuf;

use crate::config::shard::Shard;
use crate::config::{self, Config};

/// A configuration file, and which part of its peers this agent polls.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The configuration file; `None` stands for the built-in default.
    pub file: Option<PathBuf>,
    /// This agent's part of the fleet.
    pub shard: Shard,
}

impl Source {
    /// Loads the configuration.
    ///
    /// # Errors
    /// Every problem in the file, with its position.
    pub fn load(&self) -> Result<Config, config::Errors> {
        let mut config = match &self.file {
            Some(file) => config::load(file, &|name| std::env::var(name).ok())?,
            None => config::embedded(),
        };
        self.shard.retain_peers(&mut config);
        Ok(config)
    }
}
