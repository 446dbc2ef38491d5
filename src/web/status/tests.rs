//! Events that become incidents, states that become sentences, and pages that show nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use super::availability::Period;
use super::incidents::{Outage, Present, Span, Subject, outages};
use super::page::Moment;
use super::*;
use crate::fleet::peer_json::ExactInteger;
use crate::history::{Event, EventKind};

const MINUTE: u64 = 60_000;

/// Reads events: a time in minutes and what happened, such as `5 down` or `5 +lagging`.
fn events(script: &str, peer: Option<&str>) -> Vec<Arc<Event>> {
    let mut health = "up".to_owned();
    let lines = script.split(',').map(str::trim).enumerate();
    lines
        .map(|(i, line)| {
            let (minute, what) = line.split_once(' ').unwrap();
            let at_ms = minute.parse::<u64>().unwrap() * MINUTE;
            let kind = match what {
                "agent" => EventKind::AgentStarted {
                    version: "1".into(),
                },
                "fork" => EventKind::ForkBegan { first_block: None },
                "split" => EventKind::SplitBegan,
                "no-split" => EventKind::SplitEnded,
                "differ" => EventKind::StatesDifferBegan {
                    block: ExactInteger(1),
                    states: Vec::new(),
                },
                "no-differ" => EventKind::StatesDifferEnded,
                "stalled" | "advancing" | "order-unknown" => EventKind::OrderChanged {
                    from: "idle".into(),
                    to: what.trim_start_matches("order-").to_owned().into(),
                },
                _ if what.starts_with('+') => EventKind::ConditionBegan {
                    condition: what[1..].to_owned().into(),
                },
                _ if what.starts_with('-') => EventKind::ConditionEnded {
                    condition: what[1..].to_owned().into(),
                },
                _ => {
                    // `down` or, after a restart, `up>down`.
                    let (from, to) = what.split_once('>').unwrap_or((&health, what));
                    let kind = EventKind::HealthChanged {
                        from: from.to_owned().into(),
                        to: to.to_owned().into(),
                        why: "tcp: refused: 10.0.0.1".to_owned(),
                    };
                    health = to.to_owned();
                    kind
                }
            };
            let is_of_agent = matches!(kind, EventKind::AgentStarted { .. });
            Arc::new(Event {
                id: 100 + i as u64,
                at_ms,
                peer: peer.filter(|_| !is_of_agent).map(str::to_owned),
                network: (!is_of_agent).then(|| "net".to_owned()),
                kind,
            })
        })
        .collect()
}

/// Returns outages as `id state begin..end causes`, in minutes.
fn show(outages: &[Outage]) -> String {
    let shown: Vec<String> = outages
        .iter()
        .map(|it| {
            let end = it.end.map(|end| (end / MINUTE).to_string());
            let causes: Vec<String> = it.causes.iter().map(|it| format!("{it:?}")).collect();
            let again = "*".repeat(it.recurrences as usize);
            format!(
                "{} {}{again} {}..{} {}",
                it.id,
                it.state.as_str(),
                it.begin / MINUTE,
                end.unwrap_or_default(),
                causes.join("+")
            )
        })
        .collect();
    shown.join(", ")
}

fn joined(subject: &Subject, events: &[Arc<Event>], state: State, planned: Vec<Span>) -> String {
    let present = Present {
        network: Some("net".to_owned()),
        state,
        planned,
    };
    let subjects = HashMap::from([(subject.clone(), present)]);
    show(&outages(events, &subjects, 1_000 * MINUTE)[subject])
}

#[test]
fn events_of_a_peer_are_joined_into_incidents() {
    use State::{Down, Operational, Unknown};
    for (script, state, expected) in [
        (
            "5 +refused, 5 down, 9 -refused, 9 up",
            Operational,
            "101 down 5..9 Unreachable",
        ),
        ("5 down", Down, "100 down 5.. Unreachable"),
        // What the public does not notice is no incident.
        ("5 +certificate_expiring, 5 degraded", Operational, ""),
        (
            "5 +certificate_expiring, 5 degraded, 7 +lagging, 9 -lagging",
            Operational,
            "102 degraded 7..9 Behind",
        ),
        // It gets worse: still the same incident, with the worst state and every cause.
        (
            "5 +lagging, 5 degraded, 7 +timeout, 7 down, 9 up",
            Operational,
            "101 down 5..9 Behind+Slow",
        ),
        (
            "5 fork, 5 degraded, 9 up",
            Operational,
            "101 degraded 5..9 Apart",
        ),
        // It comes back within ten minutes: the same incident. Later: another one.
        (
            "5 down, 6 up, 8 down, 9 up, 30 down, 31 up",
            Operational,
            "100 down* 5..9 Unreachable, 104 down 30..31 Unreachable",
        ),
        // While the agent cannot tell, the incident goes on.
        (
            "5 down, 6 unknown, 20 down, 21 up",
            Operational,
            "100 down 5..21 Unreachable",
        ),
        ("5 down, 6 unknown", Unknown, "100 down 5.. Unreachable"),
        // A restart: the first health is no event if it is up. It ended while nobody watched.
        ("5 down, 9 agent", Operational, "100 down 5..9 Unreachable"),
        (
            "5 down, 9 agent, 12 unknown>down, 15 up",
            Operational,
            "100 down 5..15 Unreachable",
        ),
        (
            "5 +lagging, 5 degraded, 9 agent, 50 +refused, 50 up>down, 55 up",
            Operational,
            "101 degraded 5..9 Behind, 104 down 50..55 Unreachable",
        ),
        // Labels of a later version mean nothing.
        ("5 +telepathy, 5 degraded", Operational, ""),
    ] {
        let events = events(script, Some("p"));
        let found = joined(&Subject::Peer("p".to_owned()), &events, state, Vec::new());
        assert_eq!(found, expected, "{script}");
    }
}

#[test]
fn events_of_a_network_are_joined_into_incidents() {
    use State::{Degraded, Operational, Unknown};
    for (script, state, expected) in [
        (
            "5 stalled, 9 advancing",
            Operational,
            "100 down 5..9 Stalled",
        ),
        (
            "5 differ, 6 split, 8 no-split, 9 no-differ",
            Operational,
            "100 down 5..9 Split+StatesDiffer",
        ),
        (
            "5 differ, 9 agent",
            Operational,
            "100 degraded 5..9 StatesDiffer",
        ),
        (
            "5 differ, 9 agent, 10 differ",
            Degraded,
            "100 degraded 5.. StatesDiffer",
        ),
        (
            "5 stalled, 9 order-unknown",
            Unknown,
            "100 down 5.. Stalled",
        ),
        (
            "5 stalled, 9 order-unknown",
            Operational,
            "100 down 5..9 Stalled",
        ),
        ("5 order-unknown, 9 advancing", Operational, ""),
    ] {
        let events = events(script, None);
        let found = joined(
            &Subject::Network("net".to_owned()),
            &events,
            state,
            Vec::new(),
        );
        assert_eq!(found, expected, "{script}");
    }
}

#[test]
fn what_was_planned_is_no_incident() {
    let span = |begin: u64, end: u64| Span {
        begin: begin * MINUTE,
        end: end * MINUTE,
    };
    for (script, planned, expected) in [
        ("5 down, 9 up", vec![span(4, 10)], ""),
        (
            "5 down, 9 up",
            vec![span(4, 7)],
            "100 down 7..9 Unreachable",
        ),
        ("5 down, 9 up", vec![span(6, 9), span(4, 6)], ""),
        (
            "5 down, 9 up",
            vec![span(6, 10)],
            "100 down 5..9 Unreachable",
        ),
        (
            "5 down, 9 up",
            vec![span(0, 5)],
            "100 down 5..9 Unreachable",
        ),
    ] {
        let events = events(script, Some("p"));
        let found = joined(
            &Subject::Peer("p".to_owned()),
            &events,
            State::Operational,
            planned.clone(),
        );
        assert_eq!(found, expected, "{script} {planned:?}");
    }
    let action = |minute: u64, id, peer: Option<&str>, began: Option<(u64, u64)>| {
        let (action, labels) = ("maintenance".into(), "network=\"net\"".to_owned());
        let kind = match began {
            Some((begin, end)) => EventKind::ActionBegan {
                action,
                labels,
                created_by: "ann".to_owned(),
                comment: "disk".to_owned(),
                starts_at_ms: Some(begin * MINUTE),
                ends_at_ms: Some(end * MINUTE),
            },
            None => EventKind::ActionEnded {
                action,
                labels,
                why: "ended by ann".to_owned(),
            },
        };
        Arc::new(Event {
            id,
            at_ms: minute * MINUTE,
            peer: peer.map(str::to_owned),
            network: Some("net".to_owned()),
            kind,
        })
    };
    let outage = events("5 down, 9 up", Some("p"));
    for (before, after, expected) in [
        // Of the whole network, announced ahead, and as long as planned.
        (action(1, 1, None, Some((4, 20))), None, ""),
        // Ended early.
        (
            action(1, 1, None, Some((4, 20))),
            Some(action(7, 200, None, None)),
            "100 down 7..9 Unreachable",
        ),
        // Of another peer.
        (
            action(1, 1, Some("q"), Some((4, 20))),
            None,
            "100 down 5..9 Unreachable",
        ),
    ] {
        let mut events = vec![before];
        events.extend(outage.iter().cloned());
        events.extend(after);
        let found = joined(
            &Subject::Peer("p".to_owned()),
            &events,
            State::Operational,
            Vec::new(),
        );
        assert_eq!(found, expected);
    }
}

fn component(name: &str, state: State) -> Component {
    Component {
        id: name.to_lowercase(),
        name: name.to_owned(),
        state,
        cause: None,
        bars: None,
    }
}

fn palette() -> PublicPalette {
    let colour = || "#000000".to_owned();
    PublicPalette {
        background: colour(),
        text: colour(),
        quiet: colour(),
        line: colour(),
        accent: colour(),
        up: colour(),
        degraded: colour(),
        down: colour(),
    }
}

fn status(peers: Vec<Component>) -> PublicStatus {
    let mut status = PublicStatus {
        title: "Gateways".to_owned(),
        description: None,
        at: 90 * 86_400,
        is_stale: false,
        state: State::Unknown,
        summary: String::new(),
        networks: Vec::new(),
        peers,
        maintenance: Vec::new(),
        incidents: Vec::new(),
        links: Vec::new(),
        theme: PublicTheme {
            light: palette(),
            dark: palette(),
            logo: None,
        },
    };
    status.conclude();
    status
}

#[test]
fn the_state_is_one_sentence() {
    use State::{Degraded, Down, Maintenance, Operational, Unknown};
    for (states, expected) in [
        (vec![Operational; 3], "Everything is operational."),
        (vec![Down, Operational], "a is down."),
        (vec![Down, Down, Operational], "a and b are down."),
        (vec![Down; 3], "Everything is down."),
        (vec![Down], "a is down."),
        (
            vec![Down, Degraded, Operational, Unknown],
            "a is down; b is degraded; the state of d is not known at the moment.",
        ),
        (
            vec![Unknown, Operational],
            "The state of a is not known at the moment.",
        ),
        (
            vec![Unknown; 2],
            "The state of everything is not known at the moment.",
        ),
        (vec![Maintenance, Operational], "a is under maintenance."),
        (
            [vec![Down; 4], vec![Operational; 4]].concat(),
            "4 of 8 are down.",
        ),
    ] {
        let names = "abcdefgh".chars().map(String::from);
        let peers = names
            .zip(&states)
            .map(|(name, state)| component(&name, *state));
        assert_eq!(status(peers.collect()).summary, expected, "{states:?}");
    }
}

#[test]
fn a_stale_page_claims_no_state() {
    let mut peer = component("Paris", State::Down);
    peer.cause = Some("It could not be reached".to_owned());
    let stale = status(vec![peer, component("Oslo", State::Operational)]).gone_stale();
    for file in render(&stale).unwrap() {
        let content = file.content.to_lowercase();
        let is_text = file.path != "style.css";
        for claim in [
            "operational",
            "could not be reached",
            "state down",
            "\"state\":\"down\"",
        ] {
            assert!(
                !is_text || !content.contains(claim),
                "{}: {claim}",
                file.path
            );
        }
    }
    let page = &render(&stale).unwrap()[2].content;
    assert!(
        page.contains(
            "The monitor has not answered since <time datetime=\"1970-04-01T00:00:00Z\">"
        )
    );
}

#[test]
fn hostile_texts_stay_texts() {
    const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}]]>\u{0}";
    let mut peer = component(HOSTILE, State::Down);
    peer.id = "p".to_owned();
    peer.cause = Some(HOSTILE.to_owned());
    peer.bars = Some(PublicBars {
        hours: vec![[u32::MAX; 3]; 1_000],
        days: vec![[u32::MAX; 3]; 1_000],
    });
    let mut status = status(vec![peer]);
    status.title = HOSTILE.to_owned();
    status.description = Some(HOSTILE.to_owned());
    status.theme.light.accent = "red;}</style><script>".to_owned();
    status.theme.light.down = "\"/><script>".to_owned();
    status.maintenance.push(PublicMaintenance {
        components: vec![HOSTILE.to_owned()],
        begins_at: 0,
        ends_at: u64::MAX,
    });
    status.incidents.push(PublicIncident {
        id: u64::MAX,
        component: HOSTILE.to_owned(),
        state: State::Down,
        cause: HOSTILE.to_owned(),
        begins_at: u64::MAX,
        ends_at: None,
        recurrences: u32::MAX,
        note: Some(PublicNote {
            text: HOSTILE.repeat(100),
            at: u64::MAX,
        }),
    });
    status.links.push(PublicLink {
        text: HOSTILE.to_owned(),
        url: "https://x.example/\"><script>".to_owned(),
    });
    for file in render(&status).unwrap() {
        if file.path != DATA_FILE {
            assert!(!file.content.contains("<script"), "{}", file.path);
            assert!(
                !file.content.contains(['\u{202e}', '\u{0}']),
                "{}",
                file.path
            );
        }
    }
}

#[test]
fn each_period_has_the_share_of_its_own_bars() {
    let mut days = vec![[86_400, 0, 0]; 90];
    days[0] = [0, 86_400, 0];
    days[89] = [0, 0, 0];
    let bars = PublicBars {
        hours: vec![[0, 3_600, 0]; 24],
        days,
    };
    let at = Moment(90 * 86_400 - 1).time();
    let ratios = Period::ALL.map(|period| bars.total(period, at).ratio());
    assert_eq!(ratios, [Some(0.0), Some(1.0), Some(88.0 / 89.0)]);
    let coverage = bars.total(Period::Month, at).coverage();
    assert!((coverage - 29.0 / 30.0).abs() < 1e-4, "{coverage}");
}

/// A page with the most that is usual: 50 peers for 90 days, of which each was down for a part of
/// every tenth day, a logo, and as many incidents as are shown.
fn large_page() -> PublicStatus {
    let peers = (0..50_u32).map(|peer| {
        let day = |day: u32| {
            let is_bad = (day + peer).is_multiple_of(10);
            let down = if is_bad { 60 * (day + 1) } else { 0 };
            [86_400 - down, down, 0]
        };
        Component {
            bars: Some(PublicBars {
                hours: (0..24)
                    .map(|hour| {
                        if (hour + peer).is_multiple_of(10) {
                            [3_000, 600, 0]
                        } else {
                            [3_600, 0, 0]
                        }
                    })
                    .collect(),
                days: (0..90).map(day).collect(),
            }),
            ..component(
                &format!("Gateway {peer} in a town with a name"),
                State::Operational,
            )
        }
    });
    let mut status = status(peers.collect());
    status.theme.logo = Some("x".repeat(32 * 1024 * 4 / 3));
    let incident = |i: u64| PublicIncident {
        id: 1_796_022_000_000 + i,
        component: format!("Gateway {i} in a town with a name"),
        state: State::Down,
        cause: "Its data differed from that of most of the network".to_owned(),
        begins_at: status.at - 86_400 * i / 2,
        ends_at: Some(status.at - 86_400 * i / 2 + 600),
        recurrences: 0,
        note: Some(PublicNote {
            text: "A disk was full. It has been replaced by a larger one.".to_owned(),
            at: status.at,
        }),
    };
    status.incidents = (0..100).map(incident).collect();
    status
}

#[test]
fn fifty_peers_and_ninety_days_are_less_than_a_megabyte() {
    let files = render(&large_page()).unwrap();
    let sizes = files
        .iter()
        .map(|file| (file.path.as_str(), file.content.len()));
    let total: usize = sizes.clone().map(|(_, size)| size).sum();
    let largest: Vec<_> = sizes.filter(|(_, size)| *size > 10_000).collect();
    assert!(total < 1_000_000, "{total} bytes: {largest:?}");
}
