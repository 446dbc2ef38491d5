//! The JSON Schema of the configuration agrees with the reader.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use convex_peer_monitor::config;
use serde_json::{Value, json};

use super::reference::{error, with};
use super::{environment, parse};

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&config::schema()).unwrap()
}

/// Returns the YAML as JSON, as editors read it.
fn json_of(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap()
}

fn keys() -> impl Iterator<Item = String> {
    let web = [
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "rate_limit",
    ];
    config::keys().filter(move |key| !web.iter().any(|web| key.starts_with(web)))
}

/// Adds the paths of all keys of a schema.
fn add_paths(schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        paths.insert(path.clone());
        add_paths(value, &path, paths);
        add_paths(&value["items"], &format!("{path}[]"), paths);
    }
}

#[test]
fn the_schema_has_exactly_the_keys_of_the_reader() {
    let mut paths = BTreeSet::new();
    add_paths(&config::schema(), "", &mut paths);
    let read: BTreeSet<String> = keys().collect();
    let basic_auth = |path: &String| path.contains(".basic_auth.");
    let others = paths.iter().filter(|path| !basic_auth(path)).cloned();
    let others: BTreeSet<String> = others.collect();
    let expected = read.iter().filter(|path| !basic_auth(path)).cloned();
    assert_eq!(others, expected.collect());
    // Written once for all servers.
    let of_each = paths.iter().filter(|path| basic_auth(path));
    let names: BTreeSet<&str> = of_each.filter_map(|path| path.rsplit('.').next()).collect();
    assert_eq!(names, ["password", "password_file", "username"].into());
}

#[test]
fn what_the_schema_rejects_is_an_error_for_the_reader_too() {
    let validator = validator();
    let values = [
        json!(true),
        json!(7),
        json!(-1.5),
        json!("text"),
        json!("5s"),
        json!("99%"),
        json!("http://127.0.0.1:1"),
        json!("own"),
        json!("0x00"),
        json!([]),
        json!(["text"]),
        json!([{}]),
        json!({}),
        json!({ "a": "b" }),
        json!(null),
    ];
    for key in keys().filter(|key| !key.contains('*')) {
        let mut rejected = 0;
        for value in &values {
            let mut file = with(&key, Some(value));
            if key != "defaults" && key != "defaults.timeout" {
                file["defaults"]["timeout"] = json!("10ms"); // Shorter than any interval.
            }
            let is_valid = validator.is_valid(&file);
            rejected += usize::from(!is_valid);
            let is_error = parse(&file.to_string()).is_err();
            assert!(is_valid || is_error, "{key}: {value} is valid");
        }
        assert!(rejected >= 2, "{key}: the schema says nothing");
    }
}

#[test]
fn each_choice_of_the_schema_is_one_of_the_reader() {
    let mut choices = Vec::new();
    let mut schemas = vec![(String::new(), config::schema())];
    while let Some((path, schema)) = schemas.pop() {
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = match path.as_str() {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            schemas.push((path.clone(), value.clone()));
            schemas.push((format!("{path}[]"), value["items"].clone()));
            let texts = value["anyOf"][0]["enum"].as_array();
            choices.extend(
                texts
                    .into_iter()
                    .flatten()
                    .map(|it| (path.clone(), it.clone())),
            );
        }
    }
    assert!(choices.len() > 15, "{choices:?}");
    for (key, choice) in choices {
        let is_known = error(&key, &choice).is_none_or(|error| !error.contains("is not allowed"));
        assert!(is_known, "{key}: {choice}");
    }
}

#[test]
fn keys_that_the_schema_requires_are_required_by_the_reader() {
    let validator = validator();
    let whole = with("limits.max_inflight", Some(&json!(7)));
    assert!(
        validator.is_valid(&whole),
        "{:?}",
        validator.iter_errors(&whole).collect::<Vec<_>>()
    );
    for key in keys().filter(|key| !key.contains('*')) {
        let without = with(&key, None);
        if !validator.is_valid(&without) {
            let errors = parse(&without.to_string()).unwrap_err().to_string();
            assert!(
                errors.contains("is missing") || errors.contains("no endpoint"),
                "{key}: {errors}"
            );
        }
    }
}

#[test]
fn valid_configurations_validate() {
    let validator = validator();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = vec![include_str!("every-key.yml").to_owned()];
    for entry in fs::read_dir(root.join("deploy")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(".example.yml") {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
    assert!(texts.len() >= 4, "the examples of deploy/");
    let documents = fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let blocks = documents.split("```yaml\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
    let complete: Vec<String> = blocks.filter(|block| parse(block).is_ok()).collect();
    assert!(
        !complete.is_empty(),
        "the examples of docs/configuration.md"
    );
    texts.extend(complete);
    for text in texts {
        let value = json_of(&text);
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|it| it.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?} in\n{text}");
    }
    assert!(environment("HOST").is_some());
    let variable =
        "peers: [{ name: a, role: '${ROLE}', interval: '${PACE}', endpoints: [http://a] }]";
    assert!(validator.is_valid(&json_of(variable)));
}

#[test]
fn faulty_configurations_do_not_validate() {
    let validator = validator();
    for text in [
        include_str!("everything-wrong.yml"),
        "peers: 1",
        "listen: 18880\npeers: [{ name: a, endpoints: [http://a] }]",
        "peers: [{ name: a, url: http://a }]",
        "peers: [{ name: a, endpoints: http://a }]",
        "peers: [{ name: a, endpoints: [http://a], interval: 5 }]",
        "peers: [{ name: a, endpoints: [http://a], role: mine }]",
        "peers: [{ name: a, endpoints: [http://a], verdicts: { lag_block: 1 } }]",
        "networks: [{ name: n }]",
    ] {
        assert!(!validator.is_valid(&json_of(text)), "{text}");
    }
}
