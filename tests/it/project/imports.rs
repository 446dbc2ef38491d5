//! Modules depend on each other only as ARCHITECTURE.md allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules that each module may use. Cargo enforces the dependencies between crates.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "alerting",
        &[
            "config",
            "failure",
            "fleet",
            "poller",
            "retry",
            "self_check",
            "supervisor",
        ],
    ),
    ("config", &[]),
    ("failure", &["label_enum"]),
    (
        "fleet",
        &[
            "config",
            "failure",
            "label_enum",
            "self_check",
            "sidecar",
            "supervisor",
        ],
    ),
    (
        "history",
        &["config", "failure", "fleet", "label_enum", "supervisor"],
    ),
    ("label_enum", &[]),
    (
        "metrics",
        &["config", "failure", "fleet", "self_check", "sidecar"],
    ),
    (
        "poller",
        &["config", "failure", "fleet", "retry", "supervisor"],
    ),
    ("retry", &[]),
    (
        "self_check",
        &["config", "failure", "label_enum", "supervisor"],
    ),
    ("sidecar", &["config", "label_enum", "supervisor"]),
    ("supervisor", &[]),
    (
        "survey",
        &["config", "fleet", "history", "poller", "supervisor"],
    ),
    (
        "web",
        &[
            "alerting",
            "config",
            "failure",
            "fleet",
            "history",
            "metrics",
            "poller",
            "sidecar",
            "supervisor",
        ],
    ),
];

/// Modules that may use all others.
const UNRESTRICTED: [&str; 4] = ["agent", "cli", "lib", "main"];

pub(super) fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the top-level module, path and text of each source file.
fn modules() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let module = |path: PathBuf| {
        let first = path
            .strip_prefix(&src)
            .unwrap()
            .components()
            .next()
            .unwrap();
        let name = first
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        let text = fs::read_to_string(&path).unwrap();
        (name, path, text)
    };
    files.into_iter().map(module).collect()
}

/// Returns the modules that follow `crate::` in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let inside = group.split('}').next().unwrap_or_default();
            found.extend(inside.split(',').map(|item| first_word(item.trim())));
        } else {
            found.insert(first_word(rest));
        }
    }
    found
}

fn first_word(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    &text[..end]
}

#[test]
fn modules_import_only_allowed_modules() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let tops: BTreeSet<String> = modules().into_iter().map(|(name, ..)| name).collect();
    for (name, path, text) in modules() {
        if UNRESTRICTED.contains(&name.as_str()) {
            continue;
        }
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} has no row in this test"));
        for other in named(&text) {
            let ours = tops.contains(other) && other != name;
            assert!(
                !ours || allowed.contains(&other),
                "{}: {name} must not use {other}",
                path.display()
            );
        }
    }
}

#[test]
fn an_unmaintained_dependency_is_used_in_one_file() {
    for (dependency, file) in [
        ("backoff::", "src/retry.rs"),
        ("serde_yaml::", "src/config/yaml.rs"),
    ] {
        for (_, path, text) in modules() {
            assert!(
                !text.contains(dependency) || path.ends_with(file),
                "{} uses {dependency}",
                path.display()
            );
        }
    }
}

/// Files that start tasks which end by themselves: with a connection, a request, a job, or the last
/// who looks at a page.
const SHORT_TASKS: [&str; 5] = [
    "src/history/recorder.rs",
    "src/history/writer.rs",
    "src/self_check/runner.rs",
    "src/web/listener/mod.rs",
    "src/web/pages/live.rs",
];

#[test]
fn long_lived_tasks_are_started_by_the_supervisor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let starts_tasks = |text: &str| {
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        program.contains("spawn(async") || program.contains("tokio::spawn(")
    };
    let starters: BTreeSet<String> = modules()
        .into_iter()
        .filter(|(_, path, text)| !path.ends_with("tests.rs") && starts_tasks(text))
        .map(|(_, path, _)| path.strip_prefix(root).unwrap().display().to_string())
        .collect();
    let expected = SHORT_TASKS.into_iter().chain(["src/supervisor/mod.rs"]);
    assert_eq!(starters, expected.map(str::to_owned).collect());
}
