//! The page of the active configuration: as it counts, with all defaults and without secrets.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::config::{SECRET, embedded, render};
use crate::history::EventKind;

use super::format::{Timestamp, sanitize};
use super::navigation::Place;
use super::{Pages, Shell, html_response, relative_times};

/// Most entries of a list that are shown.
const MAX_ENTRIES: usize = 100;

/// Lists, whose entries are compared with no default.
const LISTS: [&str; 4] = ["peers", "queries", "notify", "vantages"];

#[derive(Template)]
#[template(path = "pages/configuration.html")]
struct ConfigurationPage<'a> {
    shell: Shell<'a>,
    loaded: Timestamp,
    /// The file; none if the built-in default is active.
    file: Option<String>,
    /// Whether the last attempt to load another one failed.
    is_outdated: bool,
    /// The event that says why.
    refusal: Option<u64>,
    warnings: Vec<String>,
    sections: Vec<ConfigSection>,
    secret: &'static str,
}

/// A key of the file with what belongs to it, or all that have a single value.
#[derive(Debug, PartialEq, Eq)]
struct ConfigSection {
    name: String,
    lines: Vec<ConfigLine>,
    /// Number of entries of a list that are not shown.
    more: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct ConfigLine {
    text: String,
    /// Whether it is as without a configuration; of a peer, as in `defaults` and of its network.
    is_default: bool,
}

/// `GET /configuration`
pub(super) async fn page(State(pages): State<Pages>) -> Response {
    let state = &pages.state;
    let active = state.active_config.get();
    let times = relative_times(&state.fleet.snapshot());
    let is_refusal =
        |event: &crate::history::Event| matches!(event.kind, EventKind::ConfigRefused { .. });
    let refusal = state.history.newest_events(is_refusal, 1);
    // Rendering thousands of peers takes too long for the threads that poll.
    let config = std::sync::Arc::clone(&active.config);
    let sections =
        tokio::task::spawn_blocking(move || sections(&render(&config), &render(&embedded())));
    let sections = match sections.await {
        Ok(sections) => sections,
        Err(error) => return super::internal_error(&error),
    };
    let page = ConfigurationPage {
        shell: Shell::new(state, "Configuration · Convex peers".to_owned())
            .at(Place::Configuration),
        loaded: times.at(active.loaded),
        file: state
            .config_file
            .as_ref()
            .map(|file| sanitize(&file.to_string_lossy())),
        is_outdated: !active.reload_successful,
        refusal: refusal.first().map(|event| event.id),
        warnings: active
            .config
            .warnings
            .lines()
            .map(|line| sanitize(&line))
            .collect(),
        sections,
        secret: SECRET,
    };
    html_response(page.render())
}

/// Splits a rendered configuration by its keys, and compares it with the rendered default.
fn sections(rendered: &str, default: &str) -> Vec<ConfigSection> {
    let defaults = blocks(default);
    let defaults: BTreeMap<&str, &[&str]> = defaults
        .iter()
        .map(|(name, lines)| (*name, lines.as_slice()))
        .collect();
    let mut general = ConfigSection {
        name: "General".to_owned(),
        lines: Vec::new(),
        more: 0,
    };
    let mut others = Vec::new();
    let blocks_rendered = blocks(rendered);
    // What most peers have from elsewhere in the file.
    let inherited: BTreeSet<&str> = blocks_rendered
        .iter()
        .filter(|(name, _)| matches!(*name, "defaults" | "references" | "networks"))
        .flat_map(|(_, lines)| lines.iter().skip(1).copied())
        .collect();
    for (name, lines) in blocks_rendered {
        let is_list = LISTS.contains(&name);
        let same = defaults.get(name).filter(|_| !is_list);
        let is_default = |line: &&str| {
            same.is_some_and(|same| same.contains(line))
                || (name == "peers" && inherited.contains(line))
        };
        let line = |line: &str| ConfigLine {
            text: sanitize(line),
            is_default: is_default(&line),
        };
        if let [single] = lines[..] {
            general.lines.push(line(single));
            continue;
        }
        let is_entry = |line: &&&str| line.starts_with("- ");
        let entries = lines.iter().filter(is_entry).count();
        let mut seen = 0;
        let shown = lines.iter().skip(1).take_while(|line| {
            seen += usize::from(is_entry(line));
            seen <= MAX_ENTRIES
        });
        others.push(ConfigSection {
            name: name.to_owned(),
            lines: shown.map(|text| line(text)).collect(),
            more: entries.saturating_sub(MAX_ENTRIES),
        });
    }
    std::iter::once(general).chain(others).collect()
}

/// Splits YAML by its first level: each key with all lines that belong to it.
fn blocks(yaml: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in yaml.lines() {
        match blocks.last_mut() {
            Some((_, lines)) if line.starts_with([' ', '-']) => lines.push(line),
            _ => {
                let name = line.split(':').next().unwrap_or_default();
                blocks.push((name, vec![line]));
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(section: &ConfigSection) -> Vec<(&str, bool)> {
        let lines = section.lines.iter();
        lines
            .map(|line| (line.text.as_str(), line.is_default))
            .collect()
    }

    #[test]
    fn values_are_grouped_by_their_keys_and_compared_with_the_defaults() {
        let default = "listen: a\nmode: central\nlimits:\n  one: 1\n  two: 2\npeers:\n- name: x\n";
        let rendered =
            "listen: b\nmode: central\nlimits:\n  one: 1\n  two: 3\npeers:\n- name: x\n  key: y\n";
        let sections = sections(rendered, default);
        let names: Vec<&str> = sections.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["General", "limits", "peers"]);
        assert_eq!(
            shown(&sections[0]),
            [("listen: b", false), ("mode: central", true)]
        );
        assert_eq!(
            shown(&sections[1]),
            [("  one: 1", true), ("  two: 3", false)]
        );
        assert_eq!(
            shown(&sections[2]),
            [("- name: x", false), ("  key: y", false)],
            "an entry of a list is nobody's default"
        );
    }

    #[test]
    fn what_a_peer_has_from_elsewhere_is_default() {
        let rendered = "defaults:\n  retries: 1\nnetworks:\n- name: n\n  verdicts:\n    lag_blocks: 10\n\
                        peers:\n- name: x\n  retries: 1\n  verdicts:\n    lag_blocks: 20\n";
        let sections = sections(rendered, "");
        assert_eq!(
            shown(&sections[3]),
            [
                ("- name: x", false),
                ("  retries: 1", true),
                ("  verdicts:", true),
                ("    lag_blocks: 20", false)
            ]
        );
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let entries = "- name: x\n  role: own\n".repeat(MAX_ENTRIES + 20);
        let sections = sections(&format!("peers:\n{entries}"), "");
        assert_eq!(sections[1].lines.len(), 2 * MAX_ENTRIES);
        assert_eq!(sections[1].more, 20);
    }

    #[test]
    fn the_built_in_configuration_is_all_default() {
        let rendered = render(&embedded());
        for section in sections(&rendered, &rendered) {
            let is_list = LISTS.contains(&section.name.as_str());
            if !is_list {
                assert!(section.lines.iter().all(|line| line.is_default));
            }
        }
    }
}
