//! The matrix of a large network as a picture: a small square for each pair of peers that is not as
//! it should be.

use std::collections::BTreeMap;

use cad3::Hash;

use crate::fleet::{Heard, Hearing};
use crate::web::pages::format::{Markup, push_fmt};

/// Side of a square in the picture's units.
const CELL: usize = 4;

/// What the squares of one colour mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Excused,
    Unread,
    Older,
    Missing,
}

impl Class {
    /// Returns the class of what one peer holds of another; none for the newest order.
    fn of(hearing: &Hearing, key: &Hash) -> Option<Self> {
        let cell = hearing.cells.get(key)?;
        match cell.heard {
            Heard::Current => None,
            Heard::Unread => Some(Self::Unread),
            Heard::Older | Heard::Nothing if !cell.is_judged => Some(Self::Excused),
            Heard::Older => Some(Self::Older),
            Heard::Invalid | Heard::Nothing => Some(Self::Missing),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Excused => "excused",
            Self::Unread => "unread",
            Self::Older => "older",
            Self::Missing => "nothing",
        }
    }
}

/// Draws a row for each of `rows` and a column for each of `columns`. What should be there and is
/// not stands out; what a peer hears is the background.
pub(super) fn draw(rows: &[&Hearing], columns: &[Hash]) -> Markup {
    let mut paths: BTreeMap<Class, String> = BTreeMap::new();
    let mut known = String::new();
    for (y, hearing) in rows.iter().enumerate() {
        let cells = columns.iter().enumerate();
        let is_other = |key: &Hash| *key != hearing.key && hearing.cells.contains_key(key);
        runs(
            cells
                .clone()
                .map(|(x, key)| (x, is_other(key).then_some(()))),
            |(), x, length| {
                square(&mut known, x, y, length);
            },
        );
        let class = |key: &Hash| Class::of(hearing, key).filter(|_| *key != hearing.key);
        runs(cells.map(|(x, key)| (x, class(key))), |class, x, length| {
            square(paths.entry(class).or_default(), x, y, length);
        });
    }
    let (width, height) = (columns.len() * CELL, rows.len() * CELL);
    let mut svg = format!(
        r#"<svg class="large-matrix" role="img" viewBox="0 0 {width} {height}" aria-label="{} rows: the peers whose beliefs were read; {} columns: the registered peers. The table below names what is missing."><path class="current" d="{known}"/>"#,
        rows.len(),
        columns.len()
    );
    for (class, path) in paths {
        push_fmt(
            &mut svg,
            format_args!(r#"<path class="{}" d="{path}"/>"#, class.as_str()),
        );
    }
    svg.push_str("</svg>");
    Markup(svg)
}

/// Calls `found` with each run of equal values: the value, where it begins, and its length.
fn runs<T: Copy + PartialEq>(
    values: impl Iterator<Item = (usize, Option<T>)>,
    mut found: impl FnMut(T, usize, usize),
) {
    let mut run: Option<(T, usize, usize)> = None;
    for (x, value) in values {
        run = match (run, value) {
            (Some((same, start, length)), Some(value)) if same == value => {
                Some((same, start, length + 1))
            }
            (ended, value) => {
                if let Some((value, start, length)) = ended {
                    found(value, start, length);
                }
                value.map(|value| (value, x, 1))
            }
        };
    }
    if let Some((value, start, length)) = run {
        found(value, start, length);
    }
}

/// Adds a rectangle of so many squares.
fn square(path: &mut String, x: usize, y: usize, length: usize) {
    let (x, y, width, height) = (x * CELL, y * CELL, length * CELL - 1, CELL - 1);
    push_fmt(path, format_args!("M{x} {y}h{width}v{height}h-{width}z"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_are_one_run() {
        let mut found = Vec::new();
        let values = [None, Some('a'), Some('a'), Some('b'), None, Some('a')];
        runs(values.into_iter().enumerate(), |value, x, length| {
            found.push((value, x, length));
        });
        assert_eq!(found, [('a', 1, 2), ('b', 3, 1), ('a', 5, 1)]);
    }
}
