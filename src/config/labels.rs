//! The operator's own labels of a peer.

use std::collections::BTreeMap;

use super::file::Content;
use super::scalar::line;
use super::section::{Refused, Section};

/// The labels of the agent's own metrics, and those that Prometheus and its alerts attach themselves.
const RESERVED_LABELS: &[&str] = &[
    "alertname",
    "api",
    "check",
    "condition",
    "controller",
    "genesis",
    "instance",
    "job",
    "le",
    "level",
    "mode",
    "network",
    "peer",
    "peer_key",
    "phase",
    "quantile",
    "query",
    "reason",
    "receiver",
    "request",
    "role",
    "severity",
    "standing",
    "state",
    "transport",
    "url",
    "vantage",
];

/// The labels of one peer: valid for Prometheus, none that is set elsewhere.
pub(super) fn labels(peer: &Section) -> Result<BTreeMap<String, String>, Refused> {
    let mut labels = BTreeMap::new();
    let mut sound = Ok(());
    for (path, key, value) in peer.map("labels")? {
        if let Err(message) = label_name(&key.text) {
            sound = Err(peer.source.report(key.position, path, message));
            continue;
        }
        let text = match value.node.content {
            Content::Null => Err("has no value; give it one or remove the key".to_owned()),
            _ => line(&value),
        };
        match text {
            Ok(text) => {
                labels.insert(key.text.clone(), text);
            }
            Err(message) => sound = Err(peer.source.report(value.node.position, path, message)),
        }
    }
    sound?;
    Ok(labels)
}

fn label_name(text: &str) -> Result<(), String> {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let plain = text.starts_with(starts) && text.chars().all(|c| starts(c) || c.is_ascii_digit());
    if !plain || text.starts_with("__") {
        return Err(
            "not a label name; expected letters, digits and `_`, not first a digit or `__`"
                .to_owned(),
        );
    }
    if RESERVED_LABELS.contains(&text) {
        return Err(format!(
            "{text:?} is a label that the agent or Prometheus sets itself; choose another name, as in `my_{text}`"
        ));
    }
    Ok(())
}
