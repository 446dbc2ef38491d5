//! Sizes that keep the project readable: entries of `src/`, lines of files of tests, names of
//! functions, and columns of comments.

use std::fs;
use std::path::Path;

use super::imports::sources;

const MAX_ENTRIES: usize = 18;
const MAX_TEST_LINES: usize = 600;
const MAX_NAME: usize = 80;
/// rustfmt only looks after those of code.
const MAX_COMMENT_COLUMNS: usize = 100;

#[test]
fn source_folder_test_files_names_and_comments_are_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("src")).unwrap().count();
    assert!(entries <= MAX_ENTRIES, "src has {entries} entries");
    let mut files = Vec::new();
    for folder in ["src", "crates", "tests", "alerts", "benches"] {
        sources(&root.join(folder), &mut files);
    }
    for path in files {
        let shown = path.strip_prefix(root).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let is_test = shown.starts_with("tests")
            || shown.iter().any(|part| part == "tests")
            || shown.to_str().unwrap().ends_with("tests.rs");
        let lines = text.lines().count();
        assert!(
            !is_test || lines <= MAX_TEST_LINES,
            "{} has {lines} lines",
            shown.display()
        );
        for line in text.lines() {
            assert!(
                !line.trim_start().starts_with("//") || line.chars().count() <= MAX_COMMENT_COLUMNS,
                "{}: too long: {line}",
                shown.display()
            );
            let Some((_, rest)) = line.split_once("fn ") else {
                continue;
            };
            let name = rest.split(['(', '<']).next().unwrap();
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            assert!(
                !is_name || name.len() <= MAX_NAME,
                "{}: {name}",
                shown.display()
            );
        }
    }
}
