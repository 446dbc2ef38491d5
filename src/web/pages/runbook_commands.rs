//! Fills the names of one peer into the commands of a runbook, so that they can be copied to a
//! shell as they are.

use convex_client::Transport;
use url::Url;

use crate::config::{Config, Listen};
use crate::fleet::{PeerRecord, Snapshot};

use super::path_segment;

/// Programs that a runbook runs. Other code in a runbook is a name or a file.
const PROGRAMS: [&str; 14] = [
    "chronyc",
    "convex-peer-monitor",
    "curl",
    "df",
    "dig",
    "du",
    "jcmd",
    "journalctl",
    "jstack",
    "kill",
    "openssl",
    "ss",
    "systemctl",
    "timedatectl",
];

/// Where runbooks expect the agent: its default address.
const DEFAULT_AGENT: &str = "http://127.0.0.1:18880";

/// Whether a piece of code is a command to run.
pub(super) fn is_command(code: &str) -> bool {
    let mut words = code.split(' ');
    words
        .next()
        .is_some_and(|program| PROGRAMS.contains(&program))
}

/// The names that replace the placeholders of runbooks.
pub(super) struct RunbookNames {
    /// Name of the peer.
    pub(super) peer: String,
    /// Name of its network.
    pub(super) network: String,
    /// Transports and URLs of its endpoints.
    endpoints: Vec<(Transport, String)>,
    /// Id of its process, if it runs on this host.
    pid: Option<i32>,
    agent: AgentAddress,
}

/// How curl reaches this agent.
pub(super) struct AgentAddress {
    /// Without a slash at its end.
    url: String,
    /// Path of its Unix socket.
    socket: Option<String>,
}

impl AgentAddress {
    pub(super) fn of(config: &Config) -> Self {
        match &config.listen {
            Listen::Unix(path) if config.external_url.is_none() => Self {
                url: "http://localhost".to_owned(),
                socket: Some(path.to_string_lossy().into_owned()),
            },
            listen => Self {
                url: config.url_at(listen).trim_end_matches('/').to_owned(),
                socket: None,
            },
        }
    }
}

impl RunbookNames {
    /// Returns the names of a peer that the agent at `agent` watches.
    pub(super) fn new(record: &PeerRecord, snapshot: &Snapshot, agent: AgentAddress) -> Self {
        let endpoints = record.endpoints.iter();
        let process = record.process(snapshot.now);
        Self {
            peer: record.peer.name.clone(),
            network: record.peer.network.clone(),
            endpoints: endpoints
                .map(|endpoint| (endpoint.transport, endpoint.url.clone()))
                .collect(),
            pid: process.and_then(|process| process.pid),
            agent,
        }
    }

    /// Fills the names into a command. What this peer does not have stays as it is.
    pub(super) fn fill(&self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        let is_endpoint = |word: &&str| word.contains("://HOST");
        let mut wanted: Vec<Transport> = Vec::new();
        for word in words.iter().filter(|word| is_endpoint(word)) {
            wanted.push(if word.starts_with("tcp://") {
                Transport::Tcp
            } else {
                Transport::Http
            });
        }
        let first_endpoint = words.iter().position(&is_endpoint);
        let mut filled = Vec::new();
        for (i, word) in words.iter().enumerate() {
            if Some(i) == first_endpoint {
                filled.extend(self.endpoints_over(&wanted));
            } else if !is_endpoint(word) {
                filled.push(self.fill_word(word));
            }
        }
        filled.join(" ")
    }

    /// Returns the endpoints over these transports, quoted for a shell; all if it has none of them.
    fn endpoints_over(&self, wanted: &[Transport]) -> Vec<String> {
        let quoted = |of: &dyn Fn(Transport) -> bool| {
            let endpoints = self
                .endpoints
                .iter()
                .filter(|(transport, _)| of(*transport));
            endpoints.map(|(_, url)| quote(url)).collect::<Vec<_>>()
        };
        let found = quoted(&|transport| wanted.contains(&transport));
        if found.is_empty() {
            quoted(&|_| true)
        } else {
            found
        }
    }

    fn fill_word(&self, word: &str) -> String {
        if let Some(path) = word.strip_prefix(DEFAULT_AGENT) {
            let path = path.replace("PEER", &path_segment(&self.peer));
            let url = quote(&format!("{}{path}", self.agent.url));
            return match &self.agent.socket {
                Some(socket) => format!("--unix-socket {} {url}", quote(socket)),
                None => url,
            };
        }
        let host = || {
            let url = Url::parse(self.https_or_first()?).ok()?;
            let port = url.port_or_known_default().unwrap_or(443);
            Some((url.host_str()?.to_owned(), port))
        };
        let filled = match word {
            "HOST" => host().map(|(host, _)| quote(&host)),
            "HOST:443" => host().map(|(host, port)| quote(&format!("{host}:{port}"))),
            "PID" => self.pid.map(|pid| pid.to_string()),
            _ => None,
        };
        filled.unwrap_or_else(|| word.to_owned())
    }

    /// Returns the URL of the endpoint with TLS, or of the first one.
    fn https_or_first(&self) -> Option<&str> {
        let mut urls = self.endpoints.iter().map(|(_, url)| url.as_str());
        let with_tls = urls.clone().find(|url| url.starts_with("https://"));
        with_tls.or_else(|| urls.next())
    }
}

/// Quotes a word for a shell, if it needs that.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(peer: &str, endpoints: &[(Transport, &str)]) -> RunbookNames {
        RunbookNames {
            peer: peer.to_owned(),
            network: "main".to_owned(),
            endpoints: endpoints
                .iter()
                .map(|(transport, url)| (*transport, (*url).to_owned()))
                .collect(),
            pid: None,
            agent: AgentAddress {
                url: "https://mon.example/convex".to_owned(),
                socket: None,
            },
        }
    }

    #[test]
    fn a_command_gets_the_endpoints_and_the_name_of_the_peer() {
        let both = [
            (Transport::Http, "https://a.example:8443"),
            (Transport::Tcp, "tcp://a.example:18888"),
        ];
        let http_only = [(Transport::Http, "http://[::1]:8080")];
        for (command, endpoints, expected) in [
            (
                "convex-peer-monitor probe tcp://HOST:18888 https://HOST",
                &both[..],
                "convex-peer-monitor probe https://a.example:8443 tcp://a.example:18888",
            ),
            (
                "convex-peer-monitor probe --json tcp://HOST:18888",
                &both[..],
                "convex-peer-monitor probe --json tcp://a.example:18888",
            ),
            (
                "convex-peer-monitor probe tcp://HOST:18888",
                &http_only[..],
                "convex-peer-monitor probe 'http://[::1]:8080'",
            ),
            (
                "openssl s_client -connect HOST:443 -servername HOST </dev/null",
                &both[..],
                "openssl s_client -connect a.example:8443 -servername a.example </dev/null",
            ),
            (
                "curl -s http://127.0.0.1:18880/api/v1/peers/PEER",
                &both[..],
                "curl -s https://mon.example/convex/api/v1/peers/a%20b%27",
            ),
            (
                "curl -X POST http://127.0.0.1:18880/-/reload",
                &both[..],
                "curl -X POST https://mon.example/convex/-/reload",
            ),
            (
                "jcmd PID GC.class_histogram",
                &both[..],
                "jcmd PID GC.class_histogram",
            ),
            ("journalctl -k", &both[..], "journalctl -k"),
        ] {
            assert_eq!(names("a b'", endpoints).fill(command), expected);
        }
    }

    #[test]
    fn a_command_for_an_agent_on_a_unix_socket_names_the_socket() {
        let config = |listen: &str| Config {
            listen: listen.parse().unwrap(),
            ..crate::config::embedded()
        };
        for (listen, expected) in [
            ("[::]:18880", "curl -s 'http://[::1]:18880/config'"),
            (
                "unix:/run/the agent.sock",
                "curl -s --unix-socket '/run/the agent.sock' http://localhost/config",
            ),
        ] {
            let mut names = names("p", &[]);
            names.agent = AgentAddress::of(&config(listen));
            let command = "curl -s http://127.0.0.1:18880/config";
            assert_eq!(names.fill(command), expected);
        }
    }

    #[test]
    fn what_an_address_holds_never_becomes_a_command() {
        let evil = [(Transport::Http, "http://a/$(reboot)';reboot;'")];
        assert_eq!(
            names("p", &evil).fill("convex-peer-monitor probe https://HOST"),
            r"convex-peer-monitor probe 'http://a/$(reboot)'\'';reboot;'\'''"
        );
    }

    #[test]
    fn commands_are_told_from_other_code() {
        for command in ["timedatectl", "curl -s http://127.0.0.1:18880/config"] {
            assert!(is_command(command), "{command}");
        }
        for other in ["down_after", "timeout", "/networks/NAME", "set-peer-stake"] {
            assert!(!is_command(other), "{other}");
        }
    }
}
