//! docs/configuration.md describes exactly the keys that exist, with their types, bounds and
//! defaults.

use convex_peer_monitor::config::{self, Config, Errors};
use humantime::parse_duration;
use serde_json::{Value, json};

use super::valid;

const REFERENCE: &str = include_str!("../../../docs/configuration.md");

/// The key file of a canary.
const KEY_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/config/canary.key");

/// One row of a table of keys.
struct Row {
    /// For example `peers[].interval`; several if the row describes the same key of several
    /// mappings.
    keys: Vec<&'static str>,
    kind: &'static str,
    default: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    let rows = REFERENCE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [keys, kind, default, _meaning] = cells[..] else {
            panic!("not four cells: {line}")
        };
        Row {
            keys: in_backticks(keys).collect(),
            kind,
            default,
        }
    })
}

/// The rows before those of the web configuration file, which come last.
fn main_rows() -> impl Iterator<Item = Row> {
    rows().take_while(|row| !row.keys.contains(&"tls_server_config"))
}

fn in_backticks(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

/// A configuration with an entry in each list, in which `key` has this value or is missing.
pub(super) fn with(key: &str, value: Option<&Value>) -> Value {
    let mut file = json!({
        "state_dir": "state",
        "networks": [{
            "name": "n",
            "discovery": { "enabled": true },
            "canary": { "account": 1, "key_file": KEY_FILE, "daily_budget_cvm": 1 },
        }],
        "peers": [{
            "name": "p",
            "endpoints": ["http://127.0.0.1:1", "tcp://127.0.0.1:2"],
            "maintenance": [{ "from": "2026-12-01T10:00:00Z", "to": "2026-12-01T11:00:00Z" }],
        }],
        "queries": [{ "name": "q", "source": "1" }],
        "notify": {
            "alertmanagers": [{ "name": "a", "url": "http://127.0.0.1:1" }],
            "webhooks": [{ "name": "w", "url": "http://127.0.0.1:1" }],
            "receivers": [{ "name": "r", "type": "discord", "url": "http://127.0.0.1:1" }],
            "heartbeat": { "url": "http://127.0.0.1:1" },
        },
        "vantages": [{ "name": "v", "url": "http://127.0.0.1:1" }],
        "status": {
            "title": "t",
            "links": [{ "text": "l", "url": "http://127.0.0.1:1" }],
            "networks": [{ "network": "n", "name": "N" }],
            "peers": [{ "peer": "p", "name": "P" }],
        },
    });
    let mut mapping = &mut file;
    let mut steps: Vec<_> = key.split('.').collect();
    let last = steps.pop().unwrap();
    for step in steps {
        mapping = match step.strip_suffix("[]") {
            Some(entries) => &mut mapping[entries][0],
            None => &mut mapping[step],
        };
    }
    if mapping.is_null() {
        *mapping = json!({}); // A mapping that is not in the list above.
    }
    match value {
        Some(value) => mapping[last] = value.clone(),
        None => drop(mapping.as_object_mut().unwrap().remove(last)),
    }
    file
}

fn parse(file: &Value) -> Result<Config, Errors> {
    super::parse(&file.to_string()) // JSON is valid YAML.
}

/// Returns the error about `key` with this value, or none if it is valid.
pub(super) fn error(key: &str, value: &Value) -> Option<String> {
    let mut file = with(key, Some(value));
    if key != "defaults.timeout" {
        file["defaults"]["timeout"] = json!("10ms"); // Shorter than any interval.
    }
    let path = key.replace("[]", "[0]");
    let errors = parse(&file).err()?;
    let mut of_key = errors.problems().iter().filter(|it| it.path == path);
    of_key.next().map(|problem| problem.message.clone())
}

/// Reads a value of the reference: a number or a text.
fn value(text: &str) -> Value {
    text.parse::<u64>()
        .map_or_else(|_| json!(text), Value::from)
}

/// Returns the bounds of a key, each with a value just beyond it, except bounds that depend on
/// other keys.
fn bounds(kind: &str) -> Vec<(Value, Value)> {
    let (unit, range) = kind.split_once(", ").unwrap_or(("", kind));
    let (from, to) = match range.split_once(" to ") {
        Some((from, to)) => (from, to),
        None => match range.strip_prefix("from ") {
            Some(rest) => (rest.split(',').next().unwrap(), ""),
            None => return Vec::new(),
        },
    };
    let beyond = |end: &str, by: f64| match unit {
        "duration" => {
            let seconds = parse_duration(end).unwrap().as_secs_f64() + by * 0.001;
            json!(format!("{:.0}ms", seconds * 1_000.0))
        }
        "size" => {
            let bytes = end.parse::<bytesize::ByteSize>().unwrap().as_u64();
            json!(bytes.checked_add_signed(if by < 0.0 { -1 } else { 1 }))
        }
        "percentage" => {
            let percent = end.trim_end_matches('%').parse::<f64>().unwrap();
            json!(format!("{}%", percent + by * 0.0005))
        }
        "number" => json!(end.parse::<f64>().unwrap() + by * 0.5),
        _ => json!(end.parse::<i64>().unwrap() + if by < 0.0 { -1 } else { 1 }),
    };
    [(from, -1.0), (to, 1.0)]
        .into_iter()
        .filter(|(end, _)| end.starts_with(|first: char| first.is_ascii_digit()))
        .map(|(end, by)| (value(end), beyond(end, by)))
        .collect()
}

/// Returns the allowed values of a key with a fixed choice.
fn choices(kind: &'static str) -> Vec<Value> {
    let between: String = kind.split('`').step_by(2).collect();
    if kind == "boolean" || kind == "`true` or `false`" {
        vec![json!(true), json!(false)]
    } else if kind.starts_with('`') && between.replace(" or ", "").replace(", ", "").is_empty() {
        in_backticks(kind).map(|word| json!(word)).collect()
    } else {
        Vec::new()
    }
}

/// Returns the default of `key`, if the reference gives a value or names another key.
fn default_of(key: &str) -> Option<Value> {
    let row = main_rows().find(|row| row.keys.contains(&key))?;
    let (mapping, name) = key.rsplit_once('.').unwrap_or(("", key));
    let default = row.default;
    if default == "of its network" {
        return default_of(&format!("verdicts.{name}"));
    }
    if let Some(section) = default.strip_prefix("of ") {
        return default_of(&format!("{}.{name}", section.trim_matches('`')));
    }
    let default = default.split(", or ").next().unwrap();
    let word = default.trim_matches('`');
    let sibling = format!("{mapping}.{word}");
    if default.starts_with('`') && config::keys().any(|known| known == sibling) {
        return default_of(&sibling);
    }
    match word {
        "true" | "false" => Some(json!(word == "true")),
        _ if default.starts_with('`') || word.starts_with(|first: char| first.is_ascii_digit()) => {
            Some(value(word))
        }
        _ => None,
    }
}

#[test]
fn the_reference_describes_exactly_the_keys_that_exist() {
    let known: Vec<_> = config::keys().collect();
    let missing: Vec<_> = known
        .iter()
        .filter(|key| !REFERENCE.contains(&format!("`{key}`")))
        .collect();
    assert!(missing.is_empty(), "it does not describe {missing:?}");
    let invented: Vec<_> = rows()
        .flat_map(|row| row.keys)
        .filter(|key| !known.iter().any(|it| it == key))
        .collect();
    assert!(invented.is_empty(), "{invented:?} do not exist");
}

#[test]
fn the_example_of_the_reference_is_valid() {
    let example = REFERENCE
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    assert_eq!(valid(example.expect("an example")).peers.len(), 2);
}

#[test]
fn the_bounds_of_the_reference_are_enforced() {
    let mut tried = 0;
    for row in main_rows() {
        let bounds = bounds(row.kind);
        for key in &row.keys {
            for (bound, beyond) in &bounds {
                assert_eq!(error(key, bound), None, "{key}: {bound}");
                assert!(
                    error(key, beyond).is_some(),
                    "{key}: {beyond} is beyond {bound}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 50, "only {tried} bounds found");
}

#[test]
fn the_choices_of_the_reference_are_enforced() {
    let mut tried = 0;
    for row in main_rows() {
        let choices = choices(row.kind);
        for key in row.keys.iter().filter(|_| !choices.is_empty()) {
            for choice in &choices {
                assert_eq!(error(key, choice), None, "{key}: {choice}");
            }
            assert!(error(key, &json!("something")).is_some(), "{key}");
            tried += 1;
        }
    }
    assert!(tried > 5, "only {tried} choices found");
}

#[test]
fn the_required_keys_of_the_reference_are_required() {
    let mut tried = 0;
    for row in main_rows().filter(|row| row.default == "required") {
        for key in row.keys.iter().filter(|key| !key.ends_with("_file")) {
            let errors = parse(&with(key, None)).expect_err(key).to_string();
            let name = key.rsplit('.').next().unwrap();
            assert!(errors.contains(name), "{key}: {errors}");
            tried += 1;
        }
    }
    assert!(tried > 10, "only {tried} required keys found");
}

#[test]
fn the_defaults_of_the_reference_apply() {
    let rendered =
        |key: &str, value: Option<&Value>| Some(config::render(&parse(&with(key, value)).ok()?));
    let mut tried = 0;
    for row in main_rows() {
        for key in &row.keys {
            let Some(default) = default_of(key) else {
                continue;
            };
            let without = rendered(key, None);
            assert!(
                without.is_some() && rendered(key, Some(&default)) == without,
                "{key}: {default}"
            );
            tried += 1;
            // Another value must make a difference, or the comparison proves nothing.
            let others = bounds(row.kind)
                .into_iter()
                .map(|(bound, _)| bound)
                .chain(choices(row.kind));
            let mut others = others
                .filter(|it| *it != default)
                .filter_map(|it| rendered(key, Some(&it)))
                .peekable();
            assert!(
                others.peek().is_none() || others.any(|it| Some(it) != without),
                "{key}"
            );
        }
    }
    assert!(tried > 40, "only {tried} defaults found");
}
