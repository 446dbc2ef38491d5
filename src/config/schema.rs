//! The JSON Schema of the configuration, for editors: made from the table of valid keys.

use serde_json::{Map, Value, json};

use super::keys::{FILE, Keys, Shape};

/// A text with a variable of the environment, whose value no editor knows.
const VARIABLE: &str = r"\$\{";

/// Returns the JSON Schema of the configuration. What it rejects is invalid; what it accepts need
/// not be valid: bounds, and what depends on other keys, are not part of it.
#[must_use]
pub fn schema() -> Value {
    let mut schema = mapping(&FILE);
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "Configuration of convex-peer-monitor".into();
    schema
}

fn mapping(keys: &Keys) -> Value {
    let properties: Map<String, Value> = keys
        .shapes()
        .map(|(key, shape)| (key.to_owned(), value(shape)))
        .collect();
    let mut mapping = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !keys.required().is_empty() {
        mapping["required"] = keys.required().into();
    }
    mapping
}

fn value(shape: Shape) -> Value {
    let text = || json!({ "type": "string" });
    let like =
        |pattern: &str| json!({ "type": "string", "pattern": format!("{pattern}|{VARIABLE}") });
    let texts = || json!({ "type": "array", "items": text() });
    let either = |shapes: &[Value]| json!({ "anyOf": shapes });
    let duration = || like(r"^\s*(0|([0-9]+\s*[A-Za-zµ]+\s*)+)$");
    match shape {
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Whole => json!({ "type": "integer" }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Duration => duration(),
        Shape::DurationOrZero => either(&[duration(), json!({ "const": 0 })]),
        Shape::Percentage => like(r"^[0-9.]+\s*%$"),
        Shape::Text => text(),
        Shape::TextOrWhole => json!({ "type": ["string", "integer"] }),
        Shape::Choice(texts) => either(&[json!({ "enum": texts }), like("^$")]),
        Shape::Texts => texts(),
        Shape::OwnOrTexts => either(&[json!({ "const": "own" }), like("^$"), texts()]),
        Shape::TextMap => json!({ "type": "object", "additionalProperties": text() }),
        Shape::Section(keys) => mapping(keys),
        Shape::Sections(keys) => json!({ "type": "array", "items": mapping(keys) }),
    }
}
