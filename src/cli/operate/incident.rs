//! `incident`: lists the incidents of the status page, and sets what it says about them.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::terminal::escape;

use super::args::{IncidentArgs, IncidentCommand};
use super::{MAX_CHARS, author, run, time};

/// `incident`: lists incidents, or sets the note on one.
pub(in crate::cli) fn incident(args: IncidentArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        IncidentCommand::List(args) => run(&args.connection, async |api| {
            let answer = api.request(Method::GET, &["incidents"], &[], None).await?;
            let Value::Array(incidents) = answer else {
                bail!("the agent answered {answer}; expected a list");
            };
            if args.json {
                return Ok(format!("{}\n", Value::Array(incidents)));
            }
            Ok(incidents.iter().map(line).collect())
        }),
        IncidentCommand::Note(args) => run(&args.agent.connection, async |api| {
            let id = args.id.to_string();
            let route = ["incidents", id.as_str(), "note"];
            let by = author(&args.agent)?;
            let incident = if let Some(text) = &args.text {
                let mut body = json!({ "text": text });
                if let Some(by) = by {
                    body["created_by"] = by.into();
                }
                api.request(Method::PUT, &route, &[], Some(&body)).await?
            } else {
                let query = by.iter().map(|by| ("created_by", by.as_str()));
                let query: Vec<(&str, &str)> = query.collect();
                api.request(Method::DELETE, &route, &query, None).await?
            };
            Ok(line(&incident))
        }),
    }
}

/// Formats an incident in one line, and its note in another.
fn line(incident: &Value) -> String {
    let text = |field: &str| escape(incident[field].as_str().unwrap_or_default(), MAX_CHARS);
    let mut line = format!(
        "{} {} {} {}..{} {}\n",
        incident["id"],
        text("component"),
        text("state"),
        time(&incident["begins_at"]),
        time(&incident["ends_at"]),
        text("cause"),
    );
    if let Some(note) = incident["note"]["text"].as_str() {
        let by = incident["note"]["created_by"].as_str().unwrap_or_default();
        // Writing to a string cannot fail.
        writeln!(
            line,
            "  note by {}: {}",
            escape(by, MAX_CHARS),
            escape(note, 1_000)
        )
        .unwrap_or_default();
    }
    line
}
