//! Where the configuration is loaded from, at startup and at every reload.

use std::path::PathBuf;

use crate::config::shard::Shard;
use crate::config::{self, Config, Problem};

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

    /// Loads the configuration once more.
    ///
    /// # Errors
    /// As [`Self::load`], or it came from a pipe, in which there is nothing more.
    pub fn reload(&self) -> Result<Config, config::Errors> {
        match &self.file {
            Some(file) if config::is_read_once(file) => Err(Problem {
                file: file.to_string_lossy().into_owned(),
                position: None,
                path: String::new(),
                message:
                    "the configuration came from a pipe, which can be read only once; restart \
                          the agent to change it, or run it with a file"
                        .to_owned(),
            }
            .into()),
            _ => self.load(),
        }
    }
}
