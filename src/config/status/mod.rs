//! The status page for the public: which peers and networks it shows, under which names, and how it
//! looks. Nothing is published that is not named here.

mod colour;
mod logo;
mod theme;

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use super::Listen;
use super::keys::{STATUS, STATUS_LINK, STATUS_NETWORK, STATUS_PEER, nearest};
use super::networks::Networks;
use super::peers::Peer;
use super::scalar::{line, listen, web_url};
use super::section::Section;
use super::source::Reported;
use super::value::Value;

pub use colour::Colour;
pub use logo::{Logo, LogoKind};
pub use theme::{Palette, Theme};

/// Longest public text, in characters.
const MAX_TEXT_CHARS: usize = 500;

/// Longest public name, in characters.
const MAX_NAME_CHARS: usize = 60;

/// Longest `id`, in characters.
const MAX_ID_CHARS: usize = 60;

/// The status page for the public.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Heading of the page.
    pub title: String,
    /// A sentence below the heading.
    pub description: Option<String>,
    /// Where the agent serves the page itself; `None`: it does not.
    pub listen: Option<Listen>,
    /// Links at the end of the page.
    pub links: Vec<StatusLink>,
    /// Published networks, in file order.
    pub networks: Vec<Published>,
    /// Published peers, in file order.
    pub peers: Vec<Published>,
    /// Colours and logo.
    pub theme: Theme,
}

/// A peer or a network that the page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its name in the configuration, which the page does not show.
    pub internal: String,
    /// Its name on the page.
    pub name: String,
    /// Names its files and its place on the page; unique.
    pub id: String,
}

/// A link on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusLink {
    /// What it says.
    pub text: String,
    /// Where it leads.
    pub url: Url,
}

/// Reads `status`.
pub(super) fn status(
    file: &Section,
    networks: Result<&Networks, Reported>,
    peers: Result<&[Arc<Peer>], Reported>,
    operators: &Operators,
) -> Result<Option<Arc<Status>>, Reported> {
    let Some(section) = file.section("status", &STATUS)? else {
        return Ok(None);
    };
    let title = section.require("title", short_text);
    let description = section.read("description", short_text);
    let address = section.read("listen", |value| operators.accept(listen(value)?));
    let links = links(&section);
    let mut ids = Ids::default();
    let networks = networks.and_then(|networks| {
        let names = networks.names();
        published(&section, &NETWORKS, &names, &mut ids)
    });
    let peers = peers.and_then(|peers| {
        let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        published(&section, &PEERS, &names, &mut ids)
    });
    let theme = theme::theme(&section);
    let status = Status {
        title: title?,
        description: description?,
        listen: address?,
        links: links?,
        networks: networks?,
        peers: peers?,
        theme: theme?,
    };
    if status.networks.is_empty() && status.peers.is_empty() {
        let message = "would show nothing, as it names nothing; add `peers` or `networks`";
        return Err(file.report_key("status", message));
    }
    Ok(Some(Arc::new(status)))
}

/// The listener of the agent's own pages, which are not for the public.
#[derive(Clone, Debug)]
pub(super) struct Operators {
    pub(super) listen: Option<Listen>,
    /// Whether every client needs a certificate.
    pub(super) requires_certificate: bool,
}

impl Operators {
    /// Checks where the page is to be served.
    fn accept(&self, address: Listen) -> Result<Listen, String> {
        let own = self.listen.as_ref();
        if own.is_some_and(|own| own.conflicts_with(&address)) {
            return Err(format!(
                "{address} is the agent's own `listen`, with pages that are not for the public; choose \
                 another one"
            ));
        }
        // Over a Unix socket there is no TLS, and so no certificate.
        if self.requires_certificate && matches!(address, Listen::Tcp(_)) {
            return Err(
                "`client_auth_type` of web.config_file wants a certificate of every client, which \
                 visitors do not have; remove this key, and serve what `status export` writes"
                    .to_owned(),
            );
        }
        Ok(address)
    }
}

/// One of the two lists of what is published.
struct List {
    key: &'static str,
    /// The key that names the peer or network.
    of: &'static str,
    keys: &'static super::keys::Keys,
}

const NETWORKS: List = List {
    key: "networks",
    of: "network",
    keys: &STATUS_NETWORK,
};

const PEERS: List = List {
    key: "peers",
    of: "peer",
    keys: &STATUS_PEER,
};

/// Ids and public names that are used already, each with its line.
#[derive(Default)]
struct Ids(BTreeMap<String, usize>);

impl Ids {
    fn claim(
        &mut self,
        section: &Section,
        name: &str,
        given: Option<String>,
    ) -> Result<String, Reported> {
        let key = if given.is_some() { "id" } else { "name" };
        let id = given.unwrap_or_else(|| id_of(name));
        if id.is_empty() {
            let message = format!(
                "{name:?} has no letter from a to z and no digit to name files by; add `id`, such as `id: gateway-1`"
            );
            return Err(section.report_value(key, message));
        }
        let position = section.value_position(key).unwrap_or(section.position);
        if let Some(line) = self.0.get(&id) {
            let message = format!(
                "names files {id:?} as the entry on line {line} does; choose another name, or add an `id` of its own"
            );
            return Err(section.report(position, key, message));
        }
        self.0.insert(id.clone(), position.line);
        Ok(id)
    }
}

fn published(
    status: &Section,
    list: &List,
    names: &[&str],
    ids: &mut Ids,
) -> Result<Vec<Published>, Reported> {
    let mut chosen: BTreeMap<String, usize> = BTreeMap::new();
    let mut read = Vec::new();
    for (path, node) in status.list(list.key)?.into_iter().flatten() {
        let section = Section::open(status.source, path, node, list.keys);
        read.push(section.and_then(|section| {
            let internal = section.require(list.of, |value| known(value, list.of, names));
            let name = section.require("name", public_name);
            let id = section.read("id", id);
            let (internal, name) = (internal?, name?);
            if let Some(line) = chosen.insert(internal.clone(), section.position.line) {
                let message =
                    format!("{internal:?} is published already, by line {line}; remove one");
                return Err(section.report_value(list.of, message));
            }
            let id = ids.claim(&section, &name, id?)?;
            Ok(Published { internal, name, id })
        }));
    }
    read.into_iter().collect()
}

/// Parses the name of a configured peer or network.
fn known(value: &Value, what: &str, names: &[&str]) -> Result<String, String> {
    let text = value.text()?;
    if names.contains(&text.as_str()) {
        return Ok(text);
    }
    let quoted = value.quoted();
    Err(match nearest(&text, names.iter().copied()) {
        Some(name) => format!("no {what} is called {quoted}; did you mean {name:?}?"),
        None => format!(
            "no {what} of this file is called {quoted}; discovered ones cannot be published"
        ),
    })
}

fn links(status: &Section) -> Result<Vec<StatusLink>, Reported> {
    let items = status.list("links")?.into_iter().flatten();
    let links: Vec<_> = items
        .map(|(path, node)| {
            let section = Section::open(status.source, path, node, &STATUS_LINK)?;
            let text = section.require("text", public_name);
            let url = section.require("url", web_url);
            Ok(StatusLink {
                text: text?,
                url: url?,
            })
        })
        .collect();
    links.into_iter().collect()
}

fn short_text(value: &Value) -> Result<String, String> {
    limited(value, MAX_TEXT_CHARS)
}

fn public_name(value: &Value) -> Result<String, String> {
    limited(value, MAX_NAME_CHARS)
}

/// Parses a line of text that is not blank.
fn limited(value: &Value, max_chars: usize) -> Result<String, String> {
    let text = line(value)?;
    let count = text.chars().count();
    if text.trim().is_empty() {
        return Err("is empty; write what visitors shall read, or remove the key".to_owned());
    }
    if count > max_chars {
        return Err(format!(
            "has {count} characters; expected at most {max_chars}"
        ));
    }
    Ok(text)
}

fn id(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > MAX_ID_CHARS || !text.chars().all(is_plain) {
        return Err(format!(
            "{} is not an id; expected up to {MAX_ID_CHARS} of a to z, 0 to 9 and `-`",
            value.quoted()
        ));
    }
    Ok(text)
}

/// Makes an id of a public name.
fn id_of(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_letters_and_digits_of_the_name() {
        for (name, expected) in [
            ("Gateway Paris", "gateway-paris"),
            ("  EU/1 (main) ", "eu-1-main"),
            ("<script>../..", "script"),
            ("Zürich", "z-rich"),
            ("東京", ""),
        ] {
            assert_eq!(id_of(name), expected);
        }
    }
}
