//! The top-level keys of the file, read into a [`Config`].

use std::path::PathBuf;

use rustix::system::uname;
use url::Url;

use super::error::Problems;
use super::external_url::external_url;
use super::history::history;
use super::keys::{FILE, METRICS, VERDICTS};
use super::limits::limits;
use super::listen::Listen;
use super::networks::Networks;
use super::notify::{Notify, notify};
use super::peers::peers;
use super::polling;
use super::queries::queries;
use super::scalar::{choice, listen, name};
use super::section::Section;
use super::self_check::self_check;
use super::source::{Reported, Source};
use super::status::{Operators, status};
use super::value::Value;
use super::vantages::vantages;
use super::verdicts::Thresholds;
use super::web::{Tls, Web, web};
use super::yaml::{Content, Node};
use super::{Config, DEFAULT_LISTEN, Detail, Mode};

/// Maximum number of peers, discovered ones included, for which `detail: auto` means full.
const FULL_DETAIL_PEERS: usize = 200;

pub(super) fn config(source: &Source, root: &Node) -> Result<Config, Reported> {
    if matches!(root.content, Content::Null) {
        return Err(source.report(
            root.position,
            "",
            "the file is empty; a configuration has at least `peers`",
        ));
    }
    let file = Section::open(source, String::new(), root, &FILE)?;
    let listen = file.read("listen", listen);
    let external_url = file.read("external_url", external_url);
    let vantage = file.read("vantage", name);
    let modes = Mode::ALL.map(|mode| (mode.as_str(), mode));
    let mode = file
        .read("mode", |value| choice(value, &modes))
        .map(Option::unwrap_or_default);
    let state_dir = file.read("state_dir", directory);
    let web = web(&file);
    let history = history(&file);
    let limits = limits(&file);
    let detail = detail(&file);
    let defaults = polling::defaults(&file);
    let references = polling::references(&file, defaults);
    let verdicts = Thresholds::read(&file, &VERDICTS, Ok(Thresholds::default()));
    let self_check = self_check(&file);
    let networks = Networks::read(&file, verdicts);
    let known = networks.as_ref().map_err(|reported| *reported);
    let peers = peers(&file, known, [defaults, references], mode);
    let queries = queries(&file, known);
    let notify = notify(&file, known);
    let vantages = vantages(&file);
    let operators = Operators {
        listen: listen
            .clone()
            .ok()
            .map(|listen| listen.unwrap_or(DEFAULT_LISTEN)),
        requires_certificate: requires_certificate(web.as_deref()),
    };
    let links = check_links(&file, &listen, &external_url, &notify);
    let watched = peers.as_deref().map_err(|reported| *reported);
    let status = status(&file, known, watched, &operators);

    links?;
    let (networks, peers) = (networks?, peers?);
    let state_dir = state_dir?;
    let slo = networks.check_slo(&file, &peers);
    networks.check_canaries(&file, &peers, state_dir.as_deref())?;
    slo?;
    let networks = networks.into_networks()?;
    let discovery = networks.iter().filter_map(|it| it.discovery.as_ref());
    let max_peers = peers.len() + discovery.map(|it| it.max_peers).sum::<usize>();
    let auto = if max_peers <= FULL_DETAIL_PEERS {
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
        state_dir,
        defaults: defaults?.into(),
        references: references?.into(),
        self_check: self_check?,
        networks,
        peers,
        others: Vec::new(),
        sample: Vec::new(),
        queries: queries?,
        notify: notify?,
        vantages: vantages?,
        history: history?,
        limits: limits?,
        detail: detail?.unwrap_or(auto),
        status: status?,
        warnings: Problems::default(),
    })
}

/// Notifications link to the agent's pages, and services refuse links that are no URLs.
fn check_links(
    file: &Section,
    listen: &Result<Option<Listen>, Reported>,
    external_url: &Result<Option<Url>, Reported>,
    notify: &Result<Notify, Reported>,
) -> Result<(), Reported> {
    let has_no_url = matches!(
        (listen, external_url),
        (Ok(Some(Listen::Unix(_))), Ok(None))
    );
    let notifies = notify
        .as_ref()
        .is_ok_and(|notify| notify.receivers().next().is_some());
    if has_no_url && notifies {
        return Err(file.report_value(
            "listen",
            "a Unix socket has no URL that notifications could link to; set `external_url`",
        ));
    }
    Ok(())
}

fn requires_certificate(web: Result<&Web, &Reported>) -> bool {
    let tls = web.ok().and_then(|web| web.tls.as_ref());
    tls.is_some_and(Tls::requires_certificate)
}

fn directory(value: &Value) -> Result<PathBuf, String> {
    let text = value.text()?;
    if text.is_empty() {
        return Err("is empty; set a directory or remove the key".to_owned());
    }
    Ok(value.source.resolve(&text))
}

/// Reads `metrics.detail`; `None` stands for `auto`.
fn detail(file: &Section) -> Result<Option<Detail>, Reported> {
    let Some(metrics) = file.section("metrics", &METRICS)? else {
        return Ok(None);
    };
    let details = [
        ("auto", None),
        ("full", Some(Detail::Full)),
        ("lean", Some(Detail::Lean)),
    ];
    let detail = metrics.read("detail", |value| choice(value, &details))?;
    Ok(detail.flatten())
}
