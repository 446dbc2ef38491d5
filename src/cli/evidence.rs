//! `evidence`: lists and exports the evidence that the agent keeps.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use unicode_width::UnicodeWidthStr;

use crate::agent::Source;
use crate::config;
use crate::history::{Document, EvidenceError, EvidenceStore, Signatures, read_evidence};

use super::args::{EvidenceArgs, EvidenceCommand, EvidenceExportArgs, EvidenceListArgs};
use super::terminal::escape;
use super::{BAD_CONFIG, print, write_file};

/// Headings of the list.
const HEADINGS: [&str; 7] = [
    "ID",
    "TIME",
    "NETWORK",
    "PEER",
    "CONDITION",
    "BYTES",
    "SIGNATURES",
];

/// Longest text that is printed of one value of a file.
const MAX_CHARS: usize = 100;

/// Shown for what an unreadable file does not say.
const UNKNOWN: &str = "-";

/// Runs a command on evidence.
pub(super) fn evidence(args: EvidenceArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        EvidenceCommand::List(args) => list(args),
        EvidenceCommand::Export(args) => export(args),
    }
}

/// Returns the evidence in the state directory of a configuration, or the exit code after its
/// errors were printed.
fn store(file: Option<PathBuf>) -> anyhow::Result<Result<EvidenceStore, ExitCode>> {
    let source = Source {
        file: file.or_else(config::find),
        ..Source::default()
    };
    let config = match source.load() {
        Ok(config) => config,
        Err(errors) => {
            writeln!(io::stderr(), "{errors}")?;
            return Ok(Err(ExitCode::from(BAD_CONFIG)));
        }
    };
    let state_dir = config.state_dir.with_context(|| match &source.file {
        Some(file) => format!(
            "{} sets no state_dir, so no evidence is kept; set state_dir, or name another \
             configuration with --config",
            file.display()
        ),
        None => "there is no configuration file, so no evidence is kept; name one with --config"
            .to_owned(),
    })?;
    Ok(Ok(EvidenceStore::in_state_dir(&state_dir)))
}

fn list(args: EvidenceListArgs) -> anyhow::Result<ExitCode> {
    let rows: Vec<Row> = if args.files.is_empty() {
        let store = match store(args.config)? {
            Ok(store) => store,
            Err(code) => return Ok(code),
        };
        let files = store.list()?.files.into_iter();
        files
            .map(|file| Row::new(file.id.clone(), store.read(&file.id)))
            .collect()
    } else {
        let name = |path: &Path| {
            let stem = path.file_stem().unwrap_or(OsStr::new(UNKNOWN));
            escape(&stem.to_string_lossy(), MAX_CHARS)
        };
        let files = args.files.iter();
        files
            .map(|path| Row::new(name(path), read_evidence(path)))
            .collect()
    };
    if rows.is_empty() {
        return print("no evidence\n");
    }
    print(&table(&rows))?;
    Ok(if rows.iter().all(|row| row.is_valid) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn export(args: EvidenceExportArgs) -> anyhow::Result<ExitCode> {
    let store = match store(args.config)? {
        Ok(store) => store,
        Err(code) => return Ok(code),
    };
    let text = match store.read(&args.id) {
        Err(error @ EvidenceError::Unknown { .. }) => {
            anyhow::bail!("{error}; `convex-peer-monitor evidence list` prints the ids")
        }
        read => read?,
    };
    if args.output.as_os_str() == "-" {
        return print(&String::from_utf8_lossy(&text));
    }
    let written = write_file(&args.output, &text);
    written.with_context(|| format!("cannot write {}", args.output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A row of the list.
struct Row {
    cells: [String; HEADINGS.len()],
    /// Whether the file could be read and all its signatures are valid.
    is_valid: bool,
}

impl Row {
    fn new(id: String, read: Result<Vec<u8>, impl ToString>) -> Self {
        let read = read.map_err(|error| error.to_string());
        let bytes = read.as_ref().map_or(0, Vec::len);
        match read.and_then(|text| Document::read(&text)) {
            Ok(document) => {
                let signatures = document.signatures();
                let incident = &document.incident;
                let [network, peer, condition] =
                    [&incident.network, &incident.peer, &*incident.condition]
                        .map(|text| escape(text, MAX_CHARS));
                Self {
                    is_valid: signatures.invalid.is_empty(),
                    cells: [
                        id,
                        humantime::format_rfc3339_seconds(document.recorded).to_string(),
                        network,
                        peer,
                        condition,
                        bytes.to_string(),
                        summary(&signatures),
                    ],
                }
            }
            Err(error) => {
                let mut cells = HEADINGS.map(|_| UNKNOWN.to_owned());
                cells[0] = id;
                cells[HEADINGS.len() - 1] = escape(&error, 2 * MAX_CHARS);
                Self {
                    cells,
                    is_valid: false,
                }
            }
        }
    }
}

/// Says how many signatures are valid, and what is wrong with the first other one.
fn summary(signatures: &Signatures) -> String {
    let Signatures { total, invalid } = signatures;
    match invalid.first() {
        None => format!("{total} valid"),
        Some(first) => format!("{} of {total} not valid: {first}", invalid.len()),
    }
}

/// Aligns the columns.
fn table(rows: &[Row]) -> String {
    let headings = HEADINGS.map(str::to_owned);
    let lines = || {
        [&headings]
            .into_iter()
            .chain(rows.iter().map(|row| &row.cells))
    };
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| {
            lines()
                .map(|cells| cells[column].width())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for cells in lines() {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let padding = width - cell.width();
            line.push_str(cell);
            line.push_str(&" ".repeat(padding + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
