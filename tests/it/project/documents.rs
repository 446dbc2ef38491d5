//! The documents: that no link between them leads nowhere, and that README leads to each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::ops::root;

const FOLDERS: [&str; 6] = [
    ".",
    "docs",
    "deploy",
    "alerts/runbooks",
    "tests/peer",
    "tests/browser",
];

struct Document {
    /// Where its links lead, as written.
    links: Vec<String>,
    /// What can stand after `#` in a link to it, as code hosts make it of headings.
    anchors: BTreeSet<String>,
}

impl Document {
    fn read(text: &str) -> Self {
        let (mut links, mut anchors, mut heading) = (Vec::new(), BTreeSet::new(), None);
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    anchors.extend(heading.take().map(|it| anchor(&it)));
                }
                _ => {}
            }
        }
        Self { links, anchors }
    }
}

fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// All documents, by their paths.
fn documents() -> BTreeMap<PathBuf, Document> {
    let root = root();
    let files = FOLDERS.iter().flat_map(|folder| {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    });
    files
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .map(|path| {
            (
                path.canonicalize().unwrap(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .map(|(path, text)| (path, Document::read(&text)))
        .collect()
}

/// The file and the anchor that a link in `document` names; none where it leads out of the project.
fn target<'a>(document: &Path, link: &'a str) -> Option<(PathBuf, Option<&'a str>)> {
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    };
    let file = match file {
        _ if file.contains(':') => return None,
        "" => document.to_owned(),
        _ => document.parent().unwrap().join(file),
    };
    Some((file, anchor))
}

#[test]
fn no_link_leads_nowhere() {
    let documents = documents();
    let mut followed = 0;
    for (path, document) in &documents {
        for link in &document.links {
            let Some((file, anchor)) = target(path, link) else {
                continue;
            };
            let file = file
                .canonicalize()
                .unwrap_or_else(|_| panic!("{}: {link} is not there", path.display()));
            if let Some(anchor) = anchor {
                let anchors = &documents[&file].anchors;
                assert!(
                    anchors.contains(anchor),
                    "{}: {link} is none of {anchors:?}",
                    path.display()
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 100, "only {followed} links are found");
}

#[test]
fn the_readme_leads_to_every_document() {
    let documents = documents();
    let root = root().canonicalize().unwrap();
    let readme = root.join("README.md");
    let links = documents[&readme]
        .links
        .iter()
        .filter_map(|link| target(&readme, link));
    let linked: BTreeSet<_> = links
        .filter_map(|(file, _)| file.canonicalize().ok())
        .collect();
    let wanted = documents
        .keys()
        .filter(|path| path.starts_with(root.join("docs")));
    let missing: Vec<_> = wanted.filter(|path| !linked.contains(*path)).collect();
    assert!(missing.is_empty(), "README does not lead to {missing:?}");
}
