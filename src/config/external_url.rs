//! `external_url`: the URL at which users reach the agent. Its path is the prefix of every link, so
//! it must not be mistaken for a route of the agent.

use url::Url;

use super::scalar::web_url;
use super::value::Value;

/// The first path segments of the agent's routes.
const ROUTES: [&str; 18] = [
    "-",
    "actions",
    "alerts",
    "api",
    "badge",
    "charts.js",
    "config",
    "configuration",
    "events",
    "evidence",
    "icon.svg",
    "live",
    "live.js",
    "metrics",
    "networks",
    "peers",
    "runbooks",
    "style.css",
];

pub(super) fn external_url(value: &Value) -> Result<Url, String> {
    let url = web_url(value)?;
    let prefix = path_prefix(&url);
    let problem = |what: &str| Err(format!("{} {what}", value.quoted()));
    if prefix.contains("//") {
        return problem("has an empty segment in its path; remove one of the slashes");
    }
    let first = prefix.split('/').nth(1).unwrap_or_default();
    if ROUTES.contains(&first) {
        let what = format!(
            "has a path that begins with the agent's own /{first}; choose another, such as /convex/"
        );
        return problem(&what);
    }
    Ok(url)
}

/// The path without a slash at its end.
pub(super) fn path_prefix(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Adds the first segments of the paths that follow `before` in the sources below `dir`.
    fn add_segments(dir: &Path, before: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add_segments(&path, before, found);
                continue;
            }
            if path.ends_with("tests.rs") {
                continue;
            }
            let source = fs::read_to_string(path).unwrap();
            let program = source.split("#[cfg(test)]").next().unwrap_or_default();
            for path in program.split(before).skip(1) {
                let segment = path.split(['/', '"']).next().unwrap_or_default();
                found.insert(segment.to_owned());
            }
        }
    }

    #[test]
    fn the_first_segment_of_every_route_is_reserved() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        let mut found = BTreeSet::new();
        for before in [".route(\"/", ".route(\n            \"/", "path = \"/"] {
            add_segments(&web, before, &mut found);
        }
        found.remove("");
        assert_eq!(found, ROUTES.map(str::to_owned).into());
    }
}
