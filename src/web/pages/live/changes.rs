//! How two drawings of a page differ, as the JSON that `live.js` reads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::web::pages::Content;

/// What has changed; the data of a `news` event.
#[derive(Debug, Default, Serialize)]
struct Changes<'a> {
    title: &'a str,
    icon: &'a str,
    /// HTML by the id of the element that holds it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sections: BTreeMap<&'a str, &'a str>,
    /// Whole rows by their keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rows: BTreeMap<&'a str, &'a str>,
    /// Cells by the key of their row and their place in it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    cells: BTreeMap<&'a str, BTreeMap<usize, &'a str>>,
    /// The keys of all rows in order, if rows or their order have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'a str>>,
}

/// Returns how `after` differs from `before`, which is nothing at first; none if it does not.
pub(super) fn encode(before: Option<&Content>, after: &Content) -> Option<String> {
    let changes = compare(before, after)?;
    Some(serde_json::to_string(&changes).expect("strings can be encoded as JSON"))
}

/// As [`encode`], of title and icon only.
pub(super) fn encode_head(before: Option<&Content>, after: &Content) -> Option<Arc<str>> {
    let is_same =
        before.is_some_and(|before| before.title == after.title && before.icon == after.icon);
    let head = Content {
        title: after.title.clone(),
        icon: after.icon.clone(),
        ..Content::default()
    };
    if is_same {
        return None;
    }
    encode(None, &head).map(Into::into)
}

fn compare<'a>(before: Option<&Content>, after: &'a Content) -> Option<Changes<'a>> {
    let nothing = Content::default();
    let (is_first, before) = (before.is_none(), before.unwrap_or(&nothing));
    let mut changes = Changes {
        title: &after.title,
        icon: &after.icon,
        ..Changes::default()
    };
    let sections: HashMap<&str, &str> = before
        .sections
        .iter()
        .map(|section| (section.id, section.html.as_str()))
        .collect();
    for section in &after.sections {
        if sections.get(section.id) != Some(&section.html.as_str()) {
            changes.sections.insert(section.id, &section.html);
        }
    }
    let rows: HashMap<&str, &str> = before
        .rows
        .iter()
        .map(|row| (row.key.as_str(), row.html.as_str()))
        .collect();
    for row in &after.rows {
        match rows.get(row.key.as_str()) {
            Some(html) if *html == row.html => {}
            Some(html) => match changed_cells(html, &row.html) {
                Some(cells) => {
                    changes.cells.insert(&row.key, cells);
                }
                None => {
                    changes.rows.insert(&row.key, &row.html);
                }
            },
            None => {
                changes.rows.insert(&row.key, &row.html);
            }
        }
    }
    let keys = |content: &'a Content| content.rows.iter().map(|row| row.key.as_str());
    let is_moved = before.rows.len() != after.rows.len()
        || before
            .rows
            .iter()
            .map(|row| row.key.as_str())
            .ne(keys(after));
    if is_moved || is_first {
        changes.order = Some(keys(after).collect());
    }
    let has_changed = is_first
        || before.title != after.title
        || before.icon != after.icon
        || changes.order.is_some()
        || !changes.sections.is_empty()
        || !changes.rows.is_empty()
        || !changes.cells.is_empty();
    has_changed.then_some(changes)
}

/// Returns the cells that differ, by their place in the row; none if the rows differ otherwise. The
/// template of a row has one line for its beginning, one for each cell, and one for its end.
fn changed_cells<'a>(before: &str, after: &'a str) -> Option<BTreeMap<usize, &'a str>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let is_same_shape = old.len() == new.len() && old.first() == new.first();
    is_same_shape.then(|| {
        let lines = old.iter().zip(&new).enumerate().skip(1);
        lines
            .filter(|(_, (old, new))| old != new)
            .map(|(line, (_, new))| (line - 1, *new))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use crate::web::pages::{Section, TableRow};

    use super::*;

    fn content(title: &str, rows: &[(&str, &str)]) -> Content {
        Content {
            title: title.to_owned(),
            icon: "i".to_owned(),
            sections: vec![Section::new("summary", "one".to_owned())],
            rows: rows
                .iter()
                .map(|(key, html)| TableRow {
                    key: (*key).to_owned(),
                    html: (*html).to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn only_changes_are_sent() {
        let (a, b) = ("<tr>\n<th>a\n<td>1\n</tr>", "<tr>\n<th>b\n<td>1\n</tr>");
        let first = content("t", &[("a", a), ("b", b)]);
        assert_eq!(
            encode(None, &content("t", &[("a", "<tr>")])).unwrap(),
            r#"{"title":"t","icon":"i","sections":{"summary":"one"},"rows":{"a":"<tr>"},"order":["a"]}"#
        );
        for (case, after, expected) in [
            ("nothing", content("t", &[("a", a), ("b", b)]), None),
            (
                "a cell",
                content("t", &[("a", a), ("b", "<tr>\n<th>b\n<td>2\n</tr>")]),
                Some(r#""cells":{"b":{"1":"<td>2"}}}"#),
            ),
            (
                "the row itself",
                content("t", &[("a", a), ("b", "<tr class=x>\n<th>b\n<td>1\n</tr>")]),
                Some(r#""rows":{"b":"<tr class=x>\n<th>b\n<td>1\n</tr>"}}"#),
            ),
            (
                "another column",
                content("t", &[("a", a), ("b", "<tr>\n<th>b\n<td>1\n<td>2\n</tr>")]),
                Some(r#""rows":{"b":"<tr>\n<th>b\n<td>1\n<td>2\n</tr>"}}"#),
            ),
            (
                "the order",
                content("t", &[("b", b), ("a", a)]),
                Some(r#""order":["b","a"]}"#),
            ),
            (
                "a row is gone",
                content("t", &[("a", a)]),
                Some(r#""order":["a"]}"#),
            ),
        ] {
            let expected = expected.map(|it| format!(r#"{{"title":"t","icon":"i",{it}"#));
            assert_eq!(encode(Some(&first), &after), expected, "{case}");
        }
    }

    #[test]
    fn a_row_that_comes_back_is_sent_whole() {
        let both = content("t", &[("a", "<a>"), ("b", "<b>")]);
        let news = encode(Some(&content("t", &[("a", "<a>")])), &both).unwrap();
        assert!(news.contains(r#""rows":{"b":"<b>"}"#), "{news}");
    }

    #[test]
    fn the_head_changes_with_title_and_icon_only() {
        let before = content("t", &[("a", "<a>")]);
        assert_eq!(encode_head(Some(&before), &content("t", &[])), None);
        assert_eq!(
            encode_head(Some(&before), &content("u", &[])).as_deref(),
            Some(r#"{"title":"u","icon":"i","order":[]}"#)
        );
    }
}
