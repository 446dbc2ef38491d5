//! The file as a whole: its top-level sections, read into a [`Config`].

use std::time::Duration;

use super::file::{Content, Node};
use super::keys::{FILE, LIMITS, METRICS, VERDICTS, WEB};
use super::networks::Networks;
use super::peers::peers;
use super::rhythm::{self, Defaults};
use super::scalar::{choice, count, listen, name, size, web_url};
use super::section::{Refused, Section, Source};
use super::{Config, DEFAULT_LISTEN, Detail, Limits};

/// Up to this many peers `detail: auto` is full.
const FULL_DETAIL_PEERS: usize = 200;
/// The largest message a peer sends or takes (PEER-PROTOCOL, section 2).
const LARGEST_MESSAGE: usize = 50_000_000;
/// When a certificate's end becomes a condition.
pub(super) const CERTIFICATE: Duration = Duration::from_secs(21 * 86_400);

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
    let mode = file.read("mode", |value| {
        if choice(value, &[("central", true), ("sidecar", false)])? {
            Ok(())
        } else {
            Err("sidecar is not yet supported by this version; write central".to_owned())
        }
    });
    let web = file.section("web", &WEB);
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
    let certificate = rhythm::certificate(&file, &VERDICTS);
    let defaults = rhythm.and_then(|rhythm| {
        Ok(Defaults {
            rhythm,
            certificate: certificate?.unwrap_or(CERTIFICATE),
        })
    });
    let networks = Networks::read(&file);
    let peers = peers(
        &file,
        networks.as_ref().map_err(|refused| *refused),
        defaults,
    );

    mode?;
    web?;
    let peers = peers?;
    let auto = if peers.len() <= FULL_DETAIL_PEERS {
        Detail::Full
    } else {
        Detail::Lean
    };
    Ok(Config {
        listen: listen?.unwrap_or(DEFAULT_LISTEN),
        external_url: external_url?,
        vantage: vantage?
            .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned()),
        networks: networks?.into_networks()?,
        peers,
        limits: limits?,
        detail: detail?.flatten().unwrap_or(auto),
    })
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
