//! A configuration that is printed reads back as the same configuration.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Endpoint, Query};
use convex_peer_monitor::config::{
    self, Alertmanager, BasicAuth, Config, CustomQuery, Detail, Discovery, Heartbeat, HttpOptions,
    Limits, Listen, Mode, Network, Notify, Peer, Polling, Problems, ProcessBy, Published, Receiver,
    Role, Secret, SelfCheck, Service, Severity, Sidecar, Slo, Status, StatusLink, Target, Theme,
    Thresholds, Vantage, Webhook, Window,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{parse, parse_in};

#[test]
fn every_key_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    fs::write(dir.path().join("ca.pem"), ca.cert.pem()).unwrap();
    fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    fs::write(dir.path().join("url"), "https://am.example/s3cret/\n").unwrap();
    fs::write(
        dir.path().join("headers"),
        "X-Tenant: one\r\n\nX-Key: s3cret\n",
    )
    .unwrap();
    fs::write(dir.path().join("web-config.yml"), "").unwrap();
    fs::write(dir.path().join("canary.key"), include_str!("canary.key")).unwrap();
    fs::write(dir.path().join("logo.svg"), "<svg/>").unwrap();
    let config = parse_in(dir.path(), include_str!("every-key.yml")).unwrap();

    let [a, b] = config.peers.as_slice() else {
        panic!("two peers, found {}", config.peers.len());
    };
    let token = a.http.bearer_token.as_ref().map(Secret::expose);
    assert_eq!(
        token,
        Some("s3cret"),
        "without the newline at the end of the file"
    );
    assert_eq!(b.http.headers["x-key"], "s3cret");
    assert!(b.http.headers["x-key"].is_sensitive());
    assert_eq!(a.http.ca, Some(vec![ca.cert.der().to_vec()]));
    let debug = format!("{config:?}");
    assert!(!debug.contains("s3cret"), "{debug}");

    let shown = config::render(&config);
    assert!(!shown.contains("s3cret"), "{shown}");
    let dir_name = dir.path().to_str().unwrap();
    insta::assert_snapshot!(shown.replace(dir_name, "DIR"));
    // Some secrets have a form.
    let filled_in = shown
        .replace(
            "routing_key: <secret>",
            "routing_key: s3cret6789abcdef0123456789abcdef",
        )
        .replace(" token: <secret>", " token: '1:s3cret'")
        .replace("<secret>", "s3cret");
    let again = parse(&filled_in).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again.peers[0], config.peers[0]);
    assert_eq!(
        (again.networks, again.queries, again.self_check),
        (config.networks, config.queries, config.self_check)
    );
    assert!(config.status.is_some());
    assert_eq!(again.status, config.status);
    assert_eq!(
        config.notify.receivers().collect::<Vec<_>>(),
        [
            "am-1",
            "am-2",
            "ops",
            "chat",
            "discord",
            "slack",
            "slack-hook",
            "telegram",
            "ntfy",
            "pages",
            "heartbeat"
        ]
    );
    let urls = config.notify.webhooks.iter();
    let urls: Vec<_> = urls.map(|webhook| webhook.target.url.expose()).collect();
    assert_eq!(
        urls,
        ["https://hooks.example/s3cret", "https://am.example/s3cret/"]
    );
}

/// Any text that a label may have: no control characters and no line separators.
fn text() -> impl Strategy<Value = String> {
    "[\\PC&&[^\u{2028}\u{2029}]]{0,12}"
}

fn name() -> impl Strategy<Value = String> {
    "[\\PC&&[^\u{2028}\u{2029}]]{1,12}".prop_filter("a name", |text| {
        text.trim() == text && !text.contains(['/', '\\']) && !matches!(text.as_str(), "." | "..")
    })
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::new)
}

fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let http = prop::sample::select(vec![
        "http://h",
        "https://h:8443/filled-in",
        "http://[::1]:80",
    ]);
    let tcp = prop::sample::select(vec![
        "tcp://h",
        "tcp://[::1]:1",
        "tcp://[fe80::1%eth0]:1",
        "tcp://10.0.0.1:18888",
    ]);
    (prop::option::of(http), prop::option::of(tcp))
        .prop_filter("at least one", |(http, tcp)| {
            http.is_some() || tcp.is_some()
        })
        .prop_map(|(http, tcp)| {
            let both = [http, tcp].into_iter().flatten();
            both.map(|text| Endpoint::parse(text).expect(text))
                .collect()
        })
}

fn polling() -> impl Strategy<Value = Polling> {
    (
        1_000u64..10_000_000,
        0u64..1_000_000,
        10u64..1_000,
        0u32..100,
        1u32..1000,
        1u32..1000,
        1_000u64..10_000_000,
    )
        .prop_map(
            |(interval, longer, timeout, retries, down_after, up_after, max_age)| Polling {
                interval: Duration::from_millis(interval),
                timeout: Duration::from_millis(timeout),
                retries,
                down_after,
                up_after,
                max_interval: Duration::from_millis(interval + longer),
                connection_max_age: Duration::from_millis(max_age),
            },
        )
}

fn http_options() -> impl Strategy<Value = HttpOptions> {
    let header_names = prop::collection::btree_set("x-[a-z!#$&]{1,8}", 0..3);
    let server_name = prop::option::of("[a-z]{1,9}\\.example");
    let proxy = prop::option::of(Just("http://proxy:3128/".parse().expect("a URL")));
    (header_names, any::<bool>(), server_name, proxy).prop_map(
        |(names, token, server_name, proxy)| {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.insert(
                    HeaderName::try_from(name).expect("a header name"),
                    HeaderValue::from_static("filled-in"),
                );
            }
            HttpOptions {
                headers,
                bearer_token: token.then(|| "filled-in".into()),
                server_name,
                proxy,
                ..HttpOptions::default()
            }
        },
    )
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    (
        1_000u64..86_400_000,
        1u64..1_000_000,
        0u64..86_400_000,
        (1_000u64..86_400_000, 1_000u64..86_400_000),
        1u64..86_400_000,
        1u64..100_000_000,
        0.0..1e9,
        0.0..1e9,
    )
        .prop_map(
            |(stall, lag_blocks, lag, (lag_time, grace), skew, certificate, own, controller)| {
                Thresholds {
                    stall_after: Duration::from_millis(stall),
                    lag_blocks,
                    lag_for: Duration::from_millis(lag),
                    lag_time: Duration::from_millis(lag_time),
                    restart_grace: Duration::from_millis(grace),
                    clock_skew: Duration::from_millis(skew),
                    certificate: Duration::from_secs(certificate),
                    own_stake_margin_cvm: own,
                    controller_balance_cvm: controller,
                }
            },
        )
}

fn window() -> impl Strategy<Value = Window> {
    // Up to the end of the year 9999.
    let seconds = 0u64..253_402_000_000;
    (
        seconds,
        1u64..86_400,
        0u32..1_000_000_000,
        prop::option::of(text()),
    )
        .prop_map(|(from, lasts, nanos, comment)| {
            let from = SystemTime::UNIX_EPOCH + Duration::new(from, nanos);
            Window {
                from,
                to: from + Duration::from_secs(lasts),
                comment,
            }
        })
}

fn discovery() -> impl Strategy<Value = Option<Discovery>> {
    let http_port = prop::option::of(1u16..);
    let found = (1u64..86_400, 1usize..100_000, any::<bool>(), http_port);
    prop::option::of(found.prop_map(
        |(interval, max_peers, allow_private, http_port)| Discovery {
            interval: Duration::from_secs(interval),
            max_peers,
            allow_private,
            http_port,
        },
    ))
}

fn network() -> impl Strategy<Value = Network> {
    (
        prop::option::of(hash()),
        thresholds(),
        discovery(),
        10u64..86_400,
        prop::option::of(10u64..86_400),
        slo(),
    )
        .prop_map(
            |(genesis, verdicts, discovery, stake_interval, consensus_interval, slo)| Network {
                name: String::new(),
                genesis,
                verdicts,
                discovery,
                stake_interval: Duration::from_secs(stake_interval),
                consensus_interval: consensus_interval.map(Duration::from_secs),
                slo,
                // Its key is in a file, which is not made here.
                canary: None,
            },
        )
}

/// A service level that one peer can meet.
fn slo() -> impl Strategy<Value = Slo> {
    (50_000u32..=99_999, 1u64..=365).prop_map(|(thousandths, days)| Slo {
        objective_percent: f64::from(thousandths) / 1_000.0,
        window: Duration::from_secs(days * 86_400),
        serving_min: 1,
    })
}

fn self_check() -> impl Strategy<Value = SelfCheck> {
    let references = prop::collection::vec(endpoints().prop_map(|all| all[0].clone()), 0..10);
    (references, prop::option::of("[a-z]{1,9}\\.example")).prop_map(|(references, dns_name)| {
        SelfCheck {
            references,
            dns_name,
        }
    })
}

/// Queries by name, without networks.
fn queries() -> impl Strategy<Value = BTreeMap<String, CustomQuery>> {
    let sources = ["(balance #13)", "\"$ ${x}\"", "[1 2.5 :k]", "*juice*\n"];
    let query = (prop::sample::select(sources.to_vec()), text(), 1u64..86_400);
    let query = query.prop_map(|(source, help, interval)| CustomQuery {
        name: String::new(),
        query: Query::read(source).expect(source),
        help,
        networks: Vec::new(),
        interval: Duration::from_secs(interval),
    });
    prop::collection::btree_map("[a-z_][a-z0-9_]{0,8}", query, 0..3)
}

fn sidecar() -> impl Strategy<Value = Option<Sidecar>> {
    let file = || "/[a-z$]{1,9}".prop_map(PathBuf::from);
    let process = prop_oneof![
        file().prop_map(ProcessBy::PidFile),
        text().prop_map(|text| ProcessBy::Command(format!("java {text}"))),
    ];
    let sidecar = (process, prop::option::of(file()));
    prop::option::of(sidecar.prop_map(|(process, store)| Sidecar { process, store }))
}

fn peer() -> impl Strategy<Value = Peer> {
    let labels = prop::collection::btree_map("my_[a-z0-9]{1,8}", text(), 0..3);
    let account = prop::option::of(0..=i64::MAX.cast_unsigned());
    let role = prop::sample::select(vec![Role::Own, Role::Reference]);
    let every = prop::option::of((1u64..100_000_000).prop_map(Duration::from_secs));
    let windows = prop::collection::vec(window(), 0..3);
    let verdicts = (thresholds(), every, windows, sidecar(), any::<bool>());
    let service = prop::option::of(name());
    (
        name(),
        (role, service),
        endpoints(),
        prop::option::of(hash()),
        labels,
        account,
        http_options(),
        polling(),
        verdicts,
    )
        .prop_map(
            |(name, (role, service), endpoints, key, labels, account, http, polling, verdicts)| {
                Peer {
                    name,
                    network: String::new(),
                    genesis: None,
                    role,
                    service: service.filter(|_| role == Role::Own),
                    endpoints,
                    key,
                    labels,
                    account,
                    http,
                    polling,
                    verdicts: verdicts.0,
                    expect_block_every: verdicts.1,
                    validator: verdicts.4,
                    maintenance: verdicts.2,
                    sidecar: verdicts.3,
                    sampled: None,
                    discovered: false,
                }
            },
        )
}

fn target() -> impl Strategy<Value = Target> {
    let basic_auth = prop::option::of("[a-z$]{1,9}".prop_map(|username| BasicAuth {
        username,
        password: "filled-in".into(),
    }));
    let paths = prop::sample::select(vec!["", "/filled-in"]);
    ("[a-z]{1,9}", paths, http_options(), basic_auth).prop_map(
        |(host, path, mut http, mut basic_auth)| {
            http.server_name = None;
            if http.bearer_token.is_some() || http.headers.contains_key("authorization") {
                basic_auth = None;
            }
            Target {
                url: format!("https://{host}{path}").as_str().into(),
                http,
                basic_auth,
            }
        },
    )
}

/// Receivers whose secrets have no form of their own, and that nothing is warned about.
fn receivers() -> impl Strategy<Value = Vec<Receiver>> {
    let services = prop::sample::select(vec![
        Service::Slack {
            channel: "#$ops".to_owned(),
        },
        Service::Ntfy {
            topic: "filled-in".into(),
        },
    ]);
    let severity = prop::sample::select(Severity::ALL.to_vec());
    let receiver = (services, severity, target());
    let receiver = receiver.prop_map(|(service, min_severity, mut target)| {
        target.http = HttpOptions {
            bearer_token: Some("filled-in".into()),
            proxy: target.http.proxy,
            ..HttpOptions::default()
        };
        target.basic_auth = None;
        Receiver {
            name: String::new(),
            service,
            target,
            min_severity,
            networks: Vec::new(),
        }
    });
    prop::collection::btree_map("[a-z]{1,8}", receiver, 0..3).prop_map(|receivers| {
        let named = receivers.into_iter().map(|(name, receiver)| Receiver {
            name: format!("chat-{name}"),
            ..receiver
        });
        named.collect()
    })
}

fn notify() -> impl Strategy<Value = Notify> {
    let names = || prop::collection::btree_set("[a-z]{1,8}", 0..3);
    let severity = prop::sample::select(Severity::ALL.to_vec());
    let heartbeat = prop::option::of((target(), 1u64..86_400));
    let labels = prop::collection::btree_map("my_[a-z0-9]{1,8}", text(), 0..3);
    let webhook = (any::<bool>(), severity, receivers());
    (labels, names(), names(), target(), webhook, heartbeat).prop_map(
        |(labels, alertmanagers, webhooks, target, webhook, heartbeat)| {
            let (send_resolved, min_severity, receivers) = webhook;
            let alertmanager = |name: String| Alertmanager {
                name: format!("am-{name}"),
                target: target.clone(),
            };
            let webhook = |name: String| Webhook {
                name: format!("hook-{name}"),
                target: target.clone(),
                send_resolved,
                min_severity,
            };
            Notify {
                labels,
                alertmanagers: alertmanagers.into_iter().map(alertmanager).collect(),
                webhooks: webhooks.into_iter().map(webhook).collect(),
                receivers,
                heartbeat: heartbeat.map(|(target, seconds)| Heartbeat {
                    target,
                    interval: Duration::from_secs(seconds),
                }),
            }
        },
    )
}

fn vantages() -> impl Strategy<Value = Vec<Vantage>> {
    let names = prop::collection::btree_set("[a-z]{1,8}", 0..3);
    (names, target()).prop_map(|(names, target)| {
        let vantage = |name| Vantage {
            name,
            target: target.clone(),
        };
        names.into_iter().map(vantage).collect()
    })
}

/// A status page of the first network and the first peer, without their names.
fn status() -> impl Strategy<Value = Option<Status>> {
    let words = || "[a-z$<] [a-z$]{1,9}";
    let link =
        ("[a-z$]{1,9}", "https://[a-z]{1,9}/[a-z$]{0,9}").prop_map(|(text, url)| StatusLink {
            text,
            url: url.parse().expect("a URL"),
        });
    let links = prop::collection::vec(link, 0..3);
    let status = (
        words(),
        prop::option::of(words()),
        prop::option::of(1u16..),
        links,
        words(),
    );
    let status = status.prop_map(|(title, description, port, links, name)| {
        let published = |id: &str| Published {
            internal: String::new(),
            name: name.clone(),
            id: id.to_owned(),
        };
        Status {
            title,
            description,
            listen: port.map(|port| Listen::Tcp(([127, 0, 0, 2], port).into())),
            links,
            networks: vec![published("net")],
            peers: vec![published("peer-1")],
            theme: Theme::default(),
        }
    });
    prop::option::of(status)
}

prop_compose! {
    fn any_config()(
        port in any::<u16>(),
        external_url in prop::option::of("https://[a-z]{1,9}/[a-z$]{0,9}"),
        vantage in name(),
        networks in prop::collection::btree_map(name(), network(), 1..4),
        peers in prop::collection::vec((peer(), any::<prop::sample::Index>()), 1..5),
        (mode, (defaults, references), state_dir, self_check, queries, (notify, vantages)) in (
            prop::sample::select(Mode::ALL.to_vec()),
            (polling(), polling()),
            prop::option::of("/[a-z$]{1,9}"),
            self_check(),
            queries(),
            (notify(), vantages()),
        ),
        inflight in 1usize..1_000_000,
        bytes in 1024usize..50_000_000,
        max_bytes in 4u64 << 20..1 << 40,
        detail in prop::sample::select(vec![Detail::Full, Detail::Lean]),
        status in status(),
    ) -> Config {
        let networks: Vec<_> = networks.into_iter().map(|(name, network)| Network { name, ..network }).collect();
        let queries = queries.into_iter().map(|(name, query)| CustomQuery {
            name,
            networks: vec![networks[0].name.clone()],
            ..query
        }).collect();
        let peers: BTreeMap<_, _> = peers.into_iter().map(|(mut peer, index)| {
            let network: &Network = index.get(&networks);
            peer.network.clone_from(&network.name);
            peer.genesis = network.genesis;
            peer.sidecar = peer.sidecar.filter(|_| mode == Mode::Sidecar);
            (peer.name.clone(), Arc::new(peer))
        }).collect();
        let status = status.map(|mut status| {
            status.networks[0].internal.clone_from(&networks[0].name);
            status.peers[0].internal.clone_from(peers.keys().next().expect("a peer"));
            Arc::new(status)
        });
        Config {
            listen: Listen::Tcp(([127, 0, 0, 1], port).into()),
            external_url: external_url.map(|url| url.parse().expect("a URL")),
            web: Arc::default(),
            vantage,
            mode,
            state_dir: state_dir.map(PathBuf::from),
            defaults,
            references,
            self_check,
            queries,
            notify,
            vantages,
            networks,
            peers: peers.into_values().collect(),
            others: Vec::new(),
            sample: Vec::new(),
            history: config::History { max_bytes },
            limits: Limits { max_inflight: inflight, max_response_bytes: bytes, per_host_inflight: inflight },
            detail,
            status,
            warnings: Problems::default(),
        }
    }
}

proptest! {
    #[test]
    fn a_printed_configuration_with_its_secrets_reads_back_equal(config in any_config()) {
        let shown = config::render(&config);
        prop_assert!(!shown.contains("filled-in"));
        let text = shown.replace(config::SECRET, "filled-in");
        match parse(&text) {
            Ok(again) => prop_assert_eq!(again, config),
            Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
        }
    }

    #[test]
    fn any_text_is_valid_or_has_errors(text in "[a-z:\\-\\[\\]{}&*!|>'\"#%@`,? \n\t$]{0,80}") {
        if let Err(errors) = parse(&text) {
            prop_assert!(!errors.problems().is_empty());
        }
    }
}
