//! How a rehearsal is reported: its notifications in full, its verdict in a line, and the table of
//! all in `docs/rehearsals.md`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use anyhow::Context;

use super::judge::{Arrival, Heard, Verdict};
use super::pipeline::{Alert, Pace};
use super::rehearsal::{Rehearsal, Way};

/// Annotations of alerts, in the order in which a notification shows them.
const ANNOTATIONS: [&str; 11] = [
    "ended_by",
    "summary",
    "since",
    "description",
    "seen_from",
    "endpoints",
    "at_risk",
    "first_step",
    "page_url",
    "dashboard_url",
    "runbook_url",
];

/// Head of the table.
const HEAD: &str = "\
| rehearsal | what happens | sent by | times | must arrive | after | messages | end | result |
|---|---|---|---|---|---|---|---|---|
";

const TABLE_BEGINS: &str = "<!-- Written by `make rehearsals`. -->\n";
const TABLE_ENDS: &str = "<!-- End of what `make rehearsals` writes. -->\n";

/// Rows of the table, by the name of the rehearsal and how it is played.
pub(super) type Rows = BTreeMap<(String, String, String), String>;

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = &self.notification.group_labels;
        let group: Vec<_> = group
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let (after, group) = (self.after, group.join(" "));
        write!(
            f,
            "{after:.1} s after the fault, to {}, group {group}:",
            self.to
        )?;
        let mut alerts = self.notification.alerts.iter();
        alerts.try_for_each(|alert| fmt_alert(f, alert))
    }
}

fn fmt_alert(f: &mut fmt::Formatter<'_>, alert: &Alert) -> fmt::Result {
    let labels = alert.labels.iter();
    let labels: Vec<_> = labels
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let (status, labels) = (&alert.status, labels.join(" "));
    write!(f, "\n  {status} since {}: {labels}", alert.starts_at)?;
    for name in ANNOTATIONS {
        if let Some(text) = alert.annotations.get(name).filter(|text| !text.is_empty()) {
            write!(f, "\n    {name}: {text}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} s", self.after)?;
        match self.after_evidence {
            Some(seconds) => write!(f, " ({seconds:.0} s after the evidence)"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.problems.is_empty() {
            "passed"
        } else {
            "FAILED"
        };
        write!(f, "{result}: {}", self.what_arrived())?;
        write!(f, "; messages: {}; end: {}", self.counted(), self.end())?;
        let mut problems = self.problems.iter();
        problems.try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Verdict {
    fn what_arrived(&self) -> String {
        let one = |(wanted, heard): &(_, Option<Heard>)| match heard {
            Some(heard) => format!("{wanted} after {heard}"),
            None => format!("no {wanted}"),
        };
        match &self.arrived[..] {
            [] => "nothing had to arrive".to_owned(),
            all => all.iter().map(one).collect::<Vec<_>>().join(", "),
        }
    }

    /// Returns the number of messages, by receiver.
    fn counted(&self) -> String {
        let counts = self.messages.iter();
        let counts: Vec<_> = counts
            .map(|(to, count)| format!("{count} to {to}"))
            .collect();
        if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        }
    }

    fn end(&self) -> String {
        match &self.ended {
            Some((after, how)) => format!("{how} after {after:.0} s"),
            None if self.arrived.is_empty() => "–".to_owned(),
            None => "fires on".to_owned(),
        }
    }
}

/// Identifies a row.
pub(super) fn key(rehearsal: &Rehearsal, (way, pace): (Way, Pace)) -> (String, String, String) {
    let pace = match pace {
        Pace::Shipped => "as shipped",
        Pace::Fast => "short",
    };
    (
        rehearsal.name.to_owned(),
        way.as_str().to_owned(),
        pace.to_owned(),
    )
}

/// Writes the row of a rehearsal.
pub(super) fn row(rehearsal: &Rehearsal, play: (Way, Pace), verdict: &Verdict) -> String {
    let (name, way, pace) = key(rehearsal, play);
    let must: Vec<_> = rehearsal.must.iter().map(ToString::to_string).collect();
    let must = if must.is_empty() {
        "nothing".to_owned()
    } else {
        must.join("<br>")
    };
    let after = |(_, heard): &(_, Option<Heard>)| {
        heard.map_or_else(|| "missing".to_owned(), |heard| heard.to_string())
    };
    let after: Vec<_> = verdict.arrived.iter().map(after).collect();
    let result = match &verdict.problems[..] {
        [] => "pass".to_owned(),
        problems => format!("FAIL: {}", problems.join("; ")),
    };
    let (story, after, messages) = (rehearsal.story(), after.join("<br>"), verdict.counted());
    let end = verdict.end();
    format!(
        "| `{name}` | {story} | {way} | {pace} | {must} | {after} | {messages} | {end} | {result} |"
    )
}

/// Reads the rows of the table in a document.
pub(super) fn rows(document: &str) -> anyhow::Result<Vec<(String, String, String)>> {
    let (_, table, _) = parts(document)?;
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let key = |cells: Vec<&str>| {
        let name = cells.get(1)?.trim_matches('`');
        Some((
            name.to_owned(),
            (*cells.get(3)?).to_owned(),
            (*cells.get(4)?).to_owned(),
        ))
    };
    cells
        .map(|cells| key(cells).context("a row has too few cells"))
        .collect()
}

/// Replaces rows of the table in a document: those that `order` has and that are neither new nor in
/// it are left out.
pub(super) fn update(
    document: &str,
    order: &[(String, String, String)],
    new: &Rows,
) -> anyhow::Result<String> {
    let (before, table, after) = parts(document)?;
    let lines = table.lines().filter(|line| line.starts_with("| `"));
    let old: BTreeMap<_, _> = rows(document)?.into_iter().zip(lines).collect();
    let mut text = format!("{before}{TABLE_BEGINS}\n{HEAD}");
    for key in order {
        let row = new.get(key).map(String::as_str).or(old.get(key).copied());
        if let Some(row) = row {
            writeln!(text, "{row}")?;
        }
    }
    write!(text, "\n{TABLE_ENDS}{after}")?;
    Ok(text)
}

/// Splits a document into what is before, in and after the part with the table.
fn parts(document: &str) -> anyhow::Result<(&str, &str, &str)> {
    let (before, rest) = document
        .split_once(TABLE_BEGINS)
        .with_context(|| format!("the document has no line {TABLE_BEGINS:?}"))?;
    let (table, after) = rest
        .split_once(TABLE_ENDS)
        .with_context(|| format!("the document has no line {TABLE_ENDS:?}"))?;
    Ok((before, table, after))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use crate::rehearsal::{NOTHING, Wanted, page};

    fn named(name: &str) -> (String, String, String) {
        (name.to_owned(), "agent".to_owned(), "short".to_owned())
    }

    #[test]
    fn new_rows_replace_old_ones_and_what_is_no_longer_rehearsed_is_left_out() {
        let row = |name: &str, result: &str| {
            let (name, way, pace) = named(name);
            format!("| `{name}` | story | {way} | {pace} | {result} |")
        };
        let document = format!(
            "# Title\n\n{TABLE_BEGINS}{}\n{}\n{}\n{TABLE_ENDS}\nMore.\n",
            row("kept", "old"),
            row("played", "old"),
            row("gone", "old"),
        );
        let order = ["played", "added", "kept"].map(named);
        let new = ["played", "added"].map(|name| (named(name), row(name, "new")));
        let updated = update(&document, &order, &new.into()).unwrap();
        assert_eq!(rows(&updated).unwrap(), order);
        assert!(updated.starts_with("# Title\n") && updated.ends_with("\nMore.\n"));
        for line in [
            row("played", "new"),
            row("added", "new"),
            row("kept", "old"),
        ] {
            assert!(updated.contains(&line), "{line}");
        }
    }

    #[test]
    fn a_row_has_the_key_of_what_was_played() {
        const DOWN: Wanted = page("ConvexPeerDown", "p2");
        let rehearsal = Rehearsal {
            name: "death",
            must: &[DOWN],
            ..NOTHING
        };
        let play = (Way::Own, Pace::Shipped);
        let heard = Heard {
            after: 98.7,
            after_evidence: Some(65.0),
        };
        let verdict = Verdict {
            arrived: vec![(DOWN, Some(heard))],
            messages: [("page".to_owned(), 1)].into(),
            ended: Some((400.2, "resolved".to_owned())),
            ..Verdict::default()
        };
        let row = row(&rehearsal, play, &verdict);
        let expected = "| `death` |  | agent | as shipped | page ConvexPeerDown of p2 | 99 s (65 s after the evidence) \
                        | 1 to page | resolved after 400 s | pass |";
        assert_eq!(row, expected);
        let document = format!("{TABLE_BEGINS}{row}\n{TABLE_ENDS}");
        assert_eq!(rows(&document).unwrap(), [key(&rehearsal, play)]);
    }
}
