//! Which peers `probe` polls: those of the configuration, some of them by name, or endpoints.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use convex_client::Endpoint;

use crate::agent::Source;
use crate::config::{self, Config, Limits, Peer, SelfCheck};

/// Why there is nothing to poll.
#[derive(Debug)]
pub(super) enum Refused {
    /// The command line is wrong.
    Usage(String),
    /// The configuration is wrong.
    Config(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => write!(f, "error: {message}"),
            Self::Config(message) => f.write_str(message),
        }
    }
}

/// What to poll, and how.
pub(super) struct Selection {
    pub(super) peers: Vec<Arc<Peer>>,
    pub(super) limits: Limits,
    pub(super) self_check: SelfCheck,
}

/// Returns the peers that are named by `words`, each an endpoint or the name of a configured peer,
/// or else all configured ones. The configuration is read only if it is needed, from `file` or
/// where `run` looks for it.
pub(super) fn select(words: &[String], file: Option<PathBuf>) -> Result<Selection, Refused> {
    if words.iter().all(|word| is_endpoint(word)) && !words.is_empty() && file.is_none() {
        let peers = words.iter().map(|word| by_endpoint(word));
        return Ok(Selection {
            peers: peers.collect::<Result<_, _>>()?,
            limits: Limits::default(),
            self_check: SelfCheck::default(),
        });
    }
    let file = file.or_else(config::find);
    let is_given = file.is_some();
    let source = Source {
        file,
        ..Source::default()
    };
    let loaded = source.load();
    let config = loaded.map_err(|errors| Refused::Config(errors.to_string()))?;
    let Config {
        peers,
        limits,
        self_check,
        ..
    } = config;
    let named = words.iter().map(|word| {
        if is_endpoint(word) {
            return by_endpoint(word);
        }
        let named = peers.iter().find(|peer| peer.name == *word);
        named
            .cloned()
            .ok_or_else(|| unknown(word, &peers, is_given))
    });
    let named: Vec<_> = named.collect::<Result<_, _>>()?;
    Ok(Selection {
        peers: if words.is_empty() { peers } else { named },
        limits,
        self_check,
    })
}

fn is_endpoint(word: &str) -> bool {
    word.contains("://")
}

fn by_endpoint(word: &str) -> Result<Arc<Peer>, Refused> {
    match Endpoint::parse(word) {
        Ok(endpoint) => Ok(Arc::new(Peer::from_endpoint(endpoint))),
        Err(error) => Err(Refused::Usage(error.to_string())),
    }
}

/// Says what a word that names no peer may stand for.
fn unknown(word: &str, peers: &[Arc<Peer>], is_configured: bool) -> Refused {
    let is_duration = humantime::parse_duration(word).is_ok();
    Refused::Usage(match Endpoint::parse(word) {
        _ if is_duration => {
            format!("{word} is neither a peer nor an endpoint; did you mean --watch={word}?")
        }
        Err(error) if word.contains([':', '.', '@', '/']) || word == "localhost" => {
            error.to_string()
        }
        _ if !is_configured => format!(
            "{word:?} is not an endpoint, and there is no configuration with a peer of this name; \
             give an endpoint, as in tcp://{word}:18888, or --config FILE"
        ),
        _ => match config::nearest(word, peers.iter().map(|peer| peer.name.as_str())) {
            Some(name) => format!("no peer is called {word:?}; did you mean {name:?}?"),
            None => format!("no peer in the configuration is called {word:?}"),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn peers_are_selected_by_name_and_by_endpoint() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("peers.yml");
        let peers = "peers:\n\
                     - { name: a, endpoints: ['tcp://127.0.0.1:1'] }\n\
                     - { name: berlin-1, endpoints: ['tcp://127.0.0.1:2'] }\n";
        fs::write(&file, peers).unwrap();
        let select = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let selected = select(&words, Some(file.clone()));
            selected
                .map(|selection| {
                    selection
                        .peers
                        .iter()
                        .map(|peer| peer.name.clone())
                        .collect::<Vec<_>>()
                })
                .map_err(|refused| refused.to_string())
        };
        assert_eq!(select(&[]).unwrap(), ["a", "berlin-1"]);
        assert_eq!(select(&["berlin-1"]).unwrap(), ["berlin-1"]);
        let both = select(&["tcp://127.0.0.1:3", "a"]).unwrap();
        assert_eq!(both, ["tcp://127.0.0.1:3", "a"]);
        for (word, hint) in [
            ("berlin1", "did you mean \"berlin-1\"?"),
            ("paris", "no peer in the configuration is called \"paris\""),
            ("2s", "did you mean --watch=2s?"),
            ("localhost:18888", "did you mean tcp://localhost:18888?"),
            ("http://h/api/v1/query", "give what stands before /api"),
            (
                "user:hunter2@host",
                "must not carry a user name or password",
            ),
        ] {
            let error = select(&[word]).unwrap_err();
            assert!(error.contains(hint), "{word}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
