//! `ack`, `silence`, `maintenance` and `actions`: what operators do at a running agent.

mod agent_api;
mod args;
mod incident;
mod site;
mod status;

use std::env;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use humantime::format_rfc3339_seconds;
use reqwest::Method;
use serde_json::{Value, json};

use super::print;
use super::runtime::runtime;
use super::terminal::escape;
use agent_api::AgentApi;
pub(super) use args::{
    AckArgs, ActionsArgs, IncidentArgs, MaintenanceArgs, SilenceArgs, StatusArgs,
};
use args::{AgentArgs, ConnectionArgs, LabelArgs, MaintenanceCommand};
pub(super) use incident::incident;
pub(super) use status::status;

/// Longest text of an agent that is printed.
const MAX_CHARS: usize = 500;

/// `ack`: acknowledges an alert.
pub(super) fn ack(args: &AckArgs) -> anyhow::Result<ExitCode> {
    let mut request = about_alerts(Some(&args.alertname), &args.labels);
    request["kind"] = "acknowledgement".into();
    request["comment"] = args.comment.as_str().into();
    request["seconds"] = args.length.map(|it| it.as_secs()).into();
    run(&args.agent.connection, async |api| {
        begin(&api, &args.agent, request).await
    })
}

/// `silence`: silences alerts.
pub(super) fn silence(args: &SilenceArgs) -> anyhow::Result<ExitCode> {
    let mut request = about_alerts(args.alertname.as_deref(), &args.labels);
    request["kind"] = "silence".into();
    request["comment"] = args.comment.as_str().into();
    request["seconds"] = args.length.as_secs().into();
    run(&args.agent.connection, async |api| {
        begin(&api, &args.agent, request).await
    })
}

/// Returns a request with the labels of the alerts that are meant.
fn about_alerts(alertname: Option<&str>, labels: &LabelArgs) -> Value {
    json!({
        "alertname": alertname,
        "severity": labels.severity,
        "peer": labels.peer,
        "network": labels.network,
        "service": labels.service,
    })
}

/// `maintenance`: begins or ends maintenance of a peer or a network.
pub(super) fn maintenance(args: MaintenanceArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        MaintenanceCommand::Start(args) => run(&args.agent.connection, async |api| {
            let (label, name) = find_target(&api, &args.target).await?;
            let starts_at = args.at.map(|at| {
                let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
                since.as_secs()
            });
            let request = json!({
                "kind": "maintenance",
                label: name,
                "comment": args.comment,
                "seconds": args.length.as_secs(),
                "starts_at": starts_at,
            });
            begin(&api, &args.agent, request).await
        }),
        MaintenanceCommand::End(args) => run(&args.agent.connection, async |api| {
            let (label, name) = find_target(&api, &args.target).await?;
            let is_of_target = |action: &&Value| {
                action["kind"] == "maintenance"
                    && action[label] == name
                    && (label == "peer" || action.get("peer").is_none())
            };
            let actions = list(&api).await?;
            let ended: Vec<&Value> = actions.iter().filter(is_of_target).collect();
            if ended.is_empty() {
                bail!(
                    "nobody has begun maintenance of {label} {name}; windows of the configuration \
                     end as configured"
                );
            }
            let mut text = String::new();
            for action in ended {
                text.push_str(&end(&api, &args.agent, &action["id"]).await?);
            }
            Ok(text)
        }),
    }
}

/// `actions`: lists what counts, or ends some of it.
pub(super) fn actions(args: &ActionsArgs) -> anyhow::Result<ExitCode> {
    run(&args.agent.connection, async |api| {
        if let Some(id) = args.end {
            return end(&api, &args.agent, &id.into()).await;
        }
        let actions = list(&api).await?;
        if args.json {
            return Ok(format!("{}\n", Value::Array(actions)));
        }
        Ok(actions.iter().map(line).collect())
    })
}

/// Runs `act` with a client of the agent, and prints what it returns.
fn run(
    args: &ConnectionArgs,
    act: impl AsyncFnOnce(AgentApi) -> anyhow::Result<String>,
) -> anyhow::Result<ExitCode> {
    let api = AgentApi::new(args)?;
    print(&runtime()?.block_on(act(api))?)
}

async fn begin(api: &AgentApi, args: &AgentArgs, mut request: Value) -> anyhow::Result<String> {
    if let Some(fields) = request.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        let by = author(args)?;
        fields.extend(by.map(|by| ("created_by".to_owned(), by.into())));
    }
    let action = api.request(Method::POST, &["actions"], &[], Some(&request));
    Ok(line(&action.await?))
}

async fn end(api: &AgentApi, args: &AgentArgs, id: &Value) -> anyhow::Result<String> {
    let (id, by) = (id.to_string(), author(args)?);
    let query: Vec<(&str, &str)> = by.iter().map(|by| ("created_by", by.as_str())).collect();
    let route = ["actions", id.as_str()];
    let ended = api.request(Method::DELETE, &route, &query, None).await?;
    Ok(format!("ended: {}", line(&ended)))
}

async fn list(api: &AgentApi) -> anyhow::Result<Vec<Value>> {
    match api.request(Method::GET, &["actions"], &[], None).await? {
        Value::Array(actions) => Ok(actions),
        other => bail!("the agent answered {other}; expected a list"),
    }
}

/// Returns the requester: as given, or else the user of this session; none if a password says so.
fn author(args: &AgentArgs) -> anyhow::Result<Option<String>> {
    let session = || env::var("USER").ok().filter(|user| !user.is_empty());
    let author = args.created_by.clone().or_else(session);
    if author.is_none() && args.connection.user.is_none() {
        bail!("nothing says who you are: give --by NAME");
    }
    Ok(author)
}

/// Finds out whether `target` is a peer or a network.
async fn find_target<'a>(
    api: &AgentApi,
    target: &'a str,
) -> anyhow::Result<(&'static str, &'a str)> {
    for (prefix, label) in [("peer:", "peer"), ("network:", "network")] {
        if let Some(name) = target.strip_prefix(prefix) {
            return Ok((label, name));
        }
    }
    let is_peer = api.exists(&["peers", target]).await?;
    let is_network = api.exists(&["networks", target]).await?;
    match (is_peer, is_network) {
        (true, false) => Ok(("peer", target)),
        (false, true) => Ok(("network", target)),
        (true, true) => {
            bail!("{target:?} is a peer and a network; say peer:{target} or network:{target}")
        }
        (false, false) => bail!("the agent watches no peer or network {target:?}"),
    }
}

/// Formats a time, given in seconds since the epoch; empty if it is none.
fn time(seconds: &Value) -> String {
    let since = seconds.as_f64().map(Duration::try_from_secs_f64);
    let time = since.and_then(Result::ok);
    let time = time.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    time.map_or_else(String::new, |time| format_rfc3339_seconds(time).to_string())
}

/// Formats an action in one line.
fn line(action: &Value) -> String {
    let text = |field: &str| escape(action[field].as_str().unwrap_or_default(), MAX_CHARS);
    let time = |field: &str| time(&action[field]);
    let mut line = format!("{} {}", action["id"], text("kind"));
    for label in ["alertname", "severity", "peer", "network", "service"] {
        if action.get(label).is_some() {
            // Writing to a string cannot fail.
            write!(line, " {label}={}", text(label)).unwrap_or_default();
        }
    }
    format!(
        "{line} {}..{} by {}: {}\n",
        time("starts_at"),
        time("ends_at"),
        text("created_by"),
        text("comment")
    )
}
