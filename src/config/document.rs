//! The file as a whole: its top-level sections, read into a [`Config`].

use std::path::PathBuf;

use rustix::system::uname;

use super::file::{Content, Node};
use super::history::history;
use super::keys::{FILE, LIMITS, METRICS, VERDICTS};
use super::networks::Networks;
use super::notify::notify;
use super::peers::peers;
use super::queries::queries;
use super::rhythm;
use super::scalar::{choice, count, listen, name, size, web_url};
use super::section::{Refused, Section, Source, Value};
use super::self_check::self_check;
use super::verdicts::Thresholds;
use super::web::web;
use super::{Config, DEFAULT_LISTEN, Detail, Limits, Mode};

/// Up to this many peers, those that discovery may add included, `detail: auto` is full.
const FULL_DETAIL_PEERS: usize = 200;
/// The largest message a peer sends or takes (PEER-PROTOCOL, section 2).
const LARGEST_MESSAGE: usize = 50_000_000;

pub(super) fn config(source: &Source, root: &Node) -> Result<Config, Refused> {
    if matches!(root.content, Content::Null) {
        return Err(source.report(
            root.position,
            "",
            "the file is empty; a configuration has at least `peers`",
        ));
    }
    let file = Section::open(source, String::new(), root, &FILE)?;
    let listen = file.read("listen", listen);
    let external_url = file.read("external_url", web_url);
    let vantage = file.read("vantage", name);
    let modes = Mode::ALL.map(|mode| (mode.as_str(), mode));
    let mode = file
        .read("mode", |value| choice(value, &modes))
        .map(|mode| mode.unwrap_or(Mode::Central));
    let state_dir = file.read("state_dir", directory);
    let web = web(&file);
    let history = history(&file);
    let limits = limits(&file);
    let details = [
        ("auto", None),
        ("full", Some(Detail::Full)),
        ("lean", Some(Detail::Lean)),
    ];
    let detail = file
        .section("metrics", &METRICS)
        .and_then(|metrics| match metrics {
            Some(metrics) => metrics.read("detail", |value| choice(value, &details)),
            None => Ok(None),
        });
    let rhythm = rhythm::defaults(&file);
    let references = rhythm::references(&file, rhythm);
    let verdicts = Thresholds::read(&file, &VERDICTS, Ok(Thresholds::default()));
    let self_check = self_check(&file);
    let networks = Networks::read(&file, verdicts);
    let known = networks.as_ref().map_err(|refused| *refused);
    let peers = peers(&file, known, [rhythm, references], mode);
    let queries = queries(&file, known);
    let notify = notify(&file);

    let (networks, peers) = (networks?.into_networks()?, peers?);
    let discovered = networks.iter().filter_map(|it| it.discovery.as_ref());
    let most_peers = peers.len() + discovered.map(|it| it.max_peers).sum::<usize>();
    let auto = if most_peers <= FULL_DETAIL_PEERS {
        Detail::Full
    } else {
        Detail::Lean
    };
    Ok(Config {
        listen: listen?.unwrap_or(DEFAULT_LISTEN),
        external_url: external_url?,
        web: web?,
        vantage: vantage?.unwrap_or_else(|| uname().nodename().to_string_lossy().into_owned()),
        mode: mode?,
        state_dir: state_dir?,
        defaults: rhythm?.cadence(),
        references: references?.cadence(),
        self_check: self_check?,
        networks,
        peers,
        others: Vec::new(),
        sample: Vec::new(),
        queries: queries?,
        notify: notify?,
        history: history?,
        limits: limits?,
        detail: detail?.flatten().unwrap_or(auto),
        warnings: Vec::new(),
    })
}

fn directory(value: &Value) -> Result<PathBuf, String> {
    let text = value.text()?;
    if text.is_empty() {
        return Err("is empty; name a directory, or remove the key".to_owned());
    }
    Ok(value.source.resolve(&text))
}

fn limits(file: &Section) -> Result<Limits, Refused> {
    let default = Limits::default();
    let Some(section) = file.section("limits", &LIMITS)? else {
        return Ok(default);
    };
    let polls = |key| section.read(key, |value| count(value, 1..=1_000_000).map(|n| n as usize));
    let max_inflight = polls("max_inflight");
    let per_host_inflight = polls("per_host_inflight");
    let max_response_bytes = section.read("max_response_bytes", |value| {
        size(value, 1024..=LARGEST_MESSAGE)
    });
    Ok(Limits {
        max_inflight: max_inflight?.unwrap_or(default.max_inflight),
        max_response_bytes: max_response_bytes?.unwrap_or(default.max_response_bytes),
        per_host_inflight: per_host_inflight?.unwrap_or(default.per_host_inflight),
    })
}
