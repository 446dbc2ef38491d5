//! Files for operators: alert rules, their tests, runbooks, routes and dashboards. Everything that
//! they refer to must exist.

mod alert_tests;
mod alertmanager;
mod alerts;
mod dashboard;
mod own_alerts;
mod panels;
mod promql;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files in a folder with this extension, sorted.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let ending = format!(".{extension}");
    let mut found: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(&ending))
        .collect();
    assert!(!found.is_empty(), "no {ending} in {folder}");
    found.sort();
    found
}

/// Returns the file name without extension.
fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}
