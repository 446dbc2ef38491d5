//! Where a running agent is reached: a URL, or a Unix socket.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::{Position, Url};

use crate::config::Listen;

/// Where a running agent is reached.
#[derive(Clone, Debug)]
pub(super) struct AgentUrl {
    /// The agent's URL; over a Unix socket its host is `localhost`.
    url: Url,
    socket: Option<PathBuf>,
}

impl AgentUrl {
    /// Returns the URL; over a Unix socket, which has no path of its own, that of `route`.
    pub(super) fn url(&self, route: &str) -> Url {
        let mut url = self.url.clone();
        if self.socket.is_some() {
            url.set_path(route);
        }
        url
    }

    /// Returns the path of the Unix socket, if it is one.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }
}

impl FromStr for AgentUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, socket) = if text.starts_with("unix:") {
            let Listen::Unix(path) = text.parse()? else {
                unreachable!("it begins as a Unix socket");
            };
            (Url::parse("http://localhost/"), Some(path))
        } else {
            (Url::parse(text), None)
        };
        let url = url.map_err(|error| error.to_string())?;
        Ok(Self { url, socket })
    }
}

/// Without user name, password and query.
impl fmt::Display for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => Listen::Unix(path.clone()).fmt(f),
            None => f.write_str(&self.url[Position::BeforeHost..Position::AfterPath]),
        }
    }
}
