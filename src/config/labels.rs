//! Labels that the operator adds to peers and alerts.

use std::collections::BTreeMap;

use super::scalar::line;
use super::section::{NO_VALUE, Section};
use super::source::Reported;
use super::yaml::Content;

/// Labels of the agent's own metrics, and labels that Prometheus and its alerts add.
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
    "release",
    "request",
    "role",
    "severity",
    "standing",
    "state",
    "transport",
    "url",
    "vantage",
];

/// Reads `labels` of a section: valid for Prometheus, and none that is reserved.
pub(super) fn labels(section: &Section) -> Result<BTreeMap<String, String>, Reported> {
    let mut labels = BTreeMap::new();
    let mut result = Ok(());
    for (path, key, value) in section.map("labels")? {
        if let Err(message) = check_name(&key.text) {
            result = Err(section.source.report(key.position, path, message));
            continue;
        }
        let text = match value.node.content {
            Content::Null => Err(NO_VALUE.to_owned()),
            _ => line(&value),
        };
        match text {
            Ok(text) => {
                labels.insert(key.text.clone(), text);
            }
            Err(message) => {
                result = Err(section.source.report(value.node.position, path, message));
            }
        }
    }
    result?;
    Ok(labels)
}

fn check_name(text: &str) -> Result<(), String> {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let plain = text.starts_with(starts) && text.chars().all(|c| starts(c) || c.is_ascii_digit());
    if !plain || text.starts_with("__") {
        return Err(
            "not a label name; expected letters, digits and `_`, not beginning with a digit or `__`"
                .to_owned(),
        );
    }
    if RESERVED_LABELS.contains(&text) {
        return Err(format!(
            "{text:?} is reserved for the agent or Prometheus; \
             choose another name, such as `my_{text}`"
        ));
    }
    Ok(())
}
