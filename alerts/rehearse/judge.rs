//! Compares what arrived with what must arrive. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use convex_peer_monitor::alerting::RULES;

use super::pipeline::{Alert, Notification};
use super::rehearsal::{End, Rehearsal, Wanted};

/// A notification that arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// Seconds after the beginning of the fault; negative before it.
    pub(super) after: f64,
    /// The same moment.
    pub(super) at: SystemTime,
    /// The receiver.
    pub(super) to: String,
    pub(super) notification: Notification,
}

/// When an alert first arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Heard {
    /// Seconds after the beginning of the fault.
    pub(super) after: f64,
    /// Seconds after the agent had the evidence, of alerts that the agent sends to an Alertmanager.
    pub(super) after_evidence: Option<f64>,
}

/// What came of a rehearsal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// The alerts that had to arrive, and when each of them first did.
    pub(super) arrived: Vec<(Wanted, Option<Heard>)>,
    /// Number of notifications, by receiver.
    pub(super) messages: BTreeMap<String, usize>,
    /// Number of notifications that repeat the one before in their group.
    pub(super) duplicates: usize,
    /// When the last of them ended, in seconds after the fault, and how.
    pub(super) ended: Option<(f64, String)>,
    /// Whether all have ended that should.
    pub(super) is_over: bool,
    /// The problem.
    pub(super) problems: Vec<String>,
}

impl Verdict {
    /// The verdict on a rehearsal that could not be played.
    pub(super) fn failed(error: String) -> Self {
        Self {
            problems: vec![error],
            ..Self::default()
        }
    }

    /// Returns whether all that had to arrive did, and ended as it should.
    pub(super) fn is_complete(&self) -> bool {
        self.is_over && self.arrived.iter().all(|(_, heard)| heard.is_some())
    }
}

/// Judges what arrived in a rehearsal in which the cause ends at `cause_ends`, if it does.
pub(super) fn judge(
    rehearsal: &Rehearsal,
    cause_ends: Option<Duration>,
    arrivals: &[Arrival],
) -> Verdict {
    let mut verdict = Verdict::default();
    // What each group of each receiver said last: its alerts, and whether each fires.
    let mut said = BTreeMap::new();
    for arrival in arrivals {
        let Arrival {
            after,
            to,
            notification,
            ..
        } = arrival;
        *verdict.messages.entry(to.clone()).or_default() += 1;
        let alerts: BTreeMap<_, _> = notification
            .alerts
            .iter()
            .map(|alert| (&alert.labels, alert.is_firing()))
            .collect();
        if said.insert((to, &notification.group_labels), alerts.clone()) == Some(alerts) {
            verdict.duplicates += 1;
        }
        for alert in &notification.alerts {
            let is_known = [rehearsal.must, rehearsal.may]
                .concat()
                .iter()
                .any(|wanted| is(*wanted, alert));
            if alert.is_firing() && !is_known {
                verdict.problem(format!("false {} to {to} after {after:.0} s", title(alert)));
            }
        }
    }
    if verdict.duplicates > 0 {
        verdict.problem(format!("{} duplicates", verdict.duplicates));
    }
    let count: usize = verdict.messages.values().sum();
    if let Some(most) = rehearsal.messages.filter(|most| count > *most) {
        verdict.problem(format!("{count} messages, at most {most} expected"));
    }
    for wanted in rehearsal.must {
        verdict.follow(*wanted, rehearsal.end, cause_ends, arrivals);
    }
    verdict.is_over = match rehearsal.end {
        End::None | End::Unchecked => true,
        End::Resolved(_) => rehearsal
            .must
            .iter()
            .all(|wanted| last(*wanted, arrivals) == Some(false)),
        End::By(reasons) => {
            let ended = verdict.ended.as_ref();
            ended.is_some_and(|(_, how)| reasons.contains(&how.as_str()))
        }
    };
    if !verdict.is_over {
        verdict.problem(match rehearsal.end {
            End::By(reasons) => format!("no alert has ended by {}", reasons.join(" or ")),
            End::None | End::Unchecked | End::Resolved(_) => "not all alerts have ended".to_owned(),
        });
    }
    verdict
}

impl Verdict {
    fn problem(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Finds when a wanted alert arrived, and checks each end of it.
    fn follow(
        &mut self,
        wanted: Wanted,
        end: End,
        cause_ends: Option<Duration>,
        arrivals: &[Arrival],
    ) {
        let of_it = arrivals.iter().flat_map(|arrival| {
            let alerts = arrival.notification.alerts.iter();
            let alerts = alerts.filter(move |alert| is(wanted, alert));
            alerts.map(move |alert| (arrival, alert))
        });
        let (firing, ended): (Vec<_>, Vec<_>) = of_it.partition(|(_, alert)| alert.is_firing());
        let first = firing.first().map(|(arrival, alert)| Heard {
            after: arrival.after,
            after_evidence: after_evidence(arrival, alert),
        });
        if first.is_none() {
            self.problem(format!("missing {wanted}"));
        }
        self.arrived.push((wanted, first));
        for (arrival, alert) in ended {
            let after = arrival.after;
            let reason = alert.annotations.get("ended_by").map(String::as_str);
            let how = reason.filter(|reason| !reason.is_empty());
            let is_true = match end {
                End::None => false,
                End::Unchecked => true,
                End::Resolved(_) => {
                    let since = cause_ends.map_or(f64::INFINITY, |ends| ends.as_secs_f64());
                    how.is_none() && after >= since
                }
                End::By(reasons) => how.is_some_and(|how| reasons.contains(&how)),
            };
            let how = how.unwrap_or("resolved").to_owned();
            if !is_true {
                self.problem(format!(
                    "{wanted} ended ({how}) after {after:.0} s, which is not true"
                ));
            }
            self.ended = Some((after, how));
        }
    }
}

/// Returns how long after the evidence an alert arrived: it started when its cause had lasted for
/// the time that its rule asks for.
fn after_evidence(arrival: &Arrival, alert: &Alert) -> Option<f64> {
    let severity = label(alert, "severity");
    let rule = RULES
        .iter()
        .find(|rule| rule.name == alert.name() && rule.severity.as_str() == severity)?;
    let started = humantime::parse_rfc3339_weak(alert.annotations.get("started_at")?).ok()?;
    let since_start = arrival.at.duration_since(started).ok()?;
    Some((since_start + rule.hold_duration).as_secs_f64())
}

/// Returns whether the last that arrived about the alerts is that one fires; `None` if nothing did.
fn last(wanted: Wanted, arrivals: &[Arrival]) -> Option<bool> {
    let mut states = BTreeMap::new();
    for arrival in arrivals {
        for alert in &arrival.notification.alerts {
            if is(wanted, alert) {
                states.insert(&alert.labels, alert.is_firing());
            }
        }
    }
    (!states.is_empty()).then(|| states.into_values().any(|firing| firing))
}

fn is(wanted: Wanted, alert: &Alert) -> bool {
    wanted.is(alert.name(), label(alert, "severity"), about(alert))
}

/// Returns what an alert is about: a peer, a service or an agent, or `""` for a network.
fn about(alert: &Alert) -> &str {
    let names = ["peer", "service", "vantage"];
    let mut labels = names.iter().map(|name| label(alert, name));
    labels.find(|text| !text.is_empty()).unwrap_or_default()
}

fn label<'a>(alert: &'a Alert, name: &str) -> &'a str {
    alert.labels.get(name).map_or("", String::as_str)
}

/// Names an alert: severity, name and subject.
fn title(alert: &Alert) -> String {
    let (severity, name, about) = (label(alert, "severity"), alert.name(), about(alert));
    match about {
        "" => format!("{severity} {name}"),
        about => format!("{severity} {name} of {about}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::{ANY, NOTHING, page, seconds, ticket};

    const DOWN: Wanted = page("ConvexPeerDown", "p2");

    /// Arrivals as in `12 page +ConvexPeerDown/p2 -ConvexPeerLagging/p2`: after 12 s, to `page`,
    /// one alert that fires and one that is resolved. `~REASON` after an alert is its `ended_by`.
    fn arrivals(lines: &[&str]) -> Vec<Arrival> {
        lines.iter().map(|line| arrival(line)).collect()
    }

    fn arrival(line: &str) -> Arrival {
        let mut words = line.split(' ');
        let after = words.next().and_then(|word| word.parse().ok());
        let to = words.next().unwrap_or_default();
        Arrival {
            after: after.unwrap_or_default(),
            at: SystemTime::UNIX_EPOCH,
            to: to.to_owned(),
            notification: Notification {
                group_labels: BTreeMap::new(),
                alerts: words.map(|word| alert(to, word)).collect(),
            },
        }
    }

    fn alert(to: &str, word: &str) -> Alert {
        let (word, ended_by) = word.split_once('~').unwrap_or((word, ""));
        let (name, peer) = word[1..].split_once('/').unwrap_or((&word[1..], ""));
        let severity = if to == "page" { "critical" } else { "warning" };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let labels = [("alertname", name), ("severity", severity), ("peer", peer)];
        Alert {
            status: if word.starts_with('+') {
                "firing".to_owned()
            } else {
                "resolved".to_owned()
            },
            labels: labels.map(owned).into(),
            annotations: [("ended_by", ended_by)].map(owned).into(),
            starts_at: String::new(),
        }
    }

    #[test]
    fn what_arrived_is_compared_with_what_must_and_may() {
        const LAGS: Wanted = ticket("ConvexPeerLagging", ANY);
        let lasting = Rehearsal {
            must: &[DOWN],
            may: &[LAGS],
            ..NOTHING
        };
        let quiet = NOTHING;
        let over = Rehearsal {
            end: End::Resolved(seconds(60)),
            ..lasting
        };
        let maintained = Rehearsal {
            end: End::By(&["maintenance"]),
            ..lasting
        };
        let once = Rehearsal {
            messages: Some(1),
            ..lasting
        };
        for (rehearsal, lines, problems) in [
            (&quiet, &[][..], &[][..]),
            (
                &quiet,
                &["9 ticket +ConvexPeerLagging/p1"],
                &["false warning ConvexPeerLagging of p1 to ticket after 9 s"],
            ),
            (&lasting, &["9 page +ConvexPeerDown/p2"], &[]),
            (&lasting, &[], &["missing page ConvexPeerDown of p2"]),
            (
                &lasting,
                &["9 page +ConvexPeerDown/p3"],
                &[
                    "false critical ConvexPeerDown of p3 to page after 9 s",
                    "missing page ConvexPeerDown of p2",
                ],
            ),
            (
                &lasting,
                &[
                    "9 page +ConvexPeerDown/p2",
                    "9 ticket +ConvexPeerLagging/p1",
                ],
                &[],
            ),
            (
                &lasting,
                &["9 page +ConvexPeerDown/p2", "9 page +ConvexPeerDown/p2"],
                &["1 duplicates"],
            ),
            (
                &lasting,
                &["9 page +ConvexPeerDown/p2", "70 page -ConvexPeerDown/p2"],
                &["page ConvexPeerDown of p2 ended (resolved) after 70 s, which is not true"],
            ),
            (
                &once,
                &[
                    "9 page +ConvexPeerDown/p2",
                    "9 ticket +ConvexPeerLagging/p1",
                ],
                &["2 messages, at most 1 expected"],
            ),
            (
                &over,
                &["9 page +ConvexPeerDown/p2", "70 page -ConvexPeerDown/p2"],
                &[],
            ),
            (
                &over,
                &["9 page +ConvexPeerDown/p2"],
                &["not all alerts have ended"],
            ),
            (
                &over,
                &["9 page +ConvexPeerDown/p2", "50 page -ConvexPeerDown/p2"],
                &["page ConvexPeerDown of p2 ended (resolved) after 50 s, which is not true"],
            ),
            (
                &maintained,
                &[
                    "9 page +ConvexPeerDown/p2",
                    "70 page -ConvexPeerDown/p2~maintenance",
                ],
                &[],
            ),
            (
                &maintained,
                &["9 page +ConvexPeerDown/p2", "70 page -ConvexPeerDown/p2"],
                &[
                    "page ConvexPeerDown of p2 ended (resolved) after 70 s, which is not true",
                    "no alert has ended by maintenance",
                ],
            ),
        ] {
            let ends = Some(Duration::from_secs(60));
            let verdict = judge(rehearsal, ends, &arrivals(lines));
            assert_eq!(verdict.problems, problems, "{lines:?}");
        }
    }

    #[test]
    fn the_evidence_is_as_old_as_the_rule_asks_for_when_an_alert_starts() {
        let mut arrival = arrival("98 page +ConvexPeerDown/p2");
        arrival.at = SystemTime::UNIX_EPOCH + Duration::from_secs(110);
        let alert = &mut arrival.notification.alerts[0];
        let started = ("started_at".to_owned(), "1970-01-01T00:01:45Z".to_owned());
        alert.annotations.extend([started]);
        let alert = &arrival.notification.alerts[0];
        assert_eq!(after_evidence(&arrival, alert), Some(65.0));
    }

    #[test]
    fn times_messages_and_the_end_are_recorded() {
        let rehearsal = Rehearsal {
            must: &[DOWN],
            end: End::Resolved(seconds(60)),
            ..NOTHING
        };
        let lines = [
            "9 page +ConvexPeerDown/p2",
            "20 page +ConvexPeerDown/p2",
            "70 page -ConvexPeerDown/p2",
        ];
        let verdict = judge(&rehearsal, Some(Duration::from_secs(60)), &arrivals(&lines));
        let heard = Heard {
            after: 9.0,
            after_evidence: None,
        };
        assert_eq!(verdict.arrived, [(DOWN, Some(heard))]);
        assert_eq!(verdict.messages["page"], 3);
        assert_eq!(verdict.duplicates, 1);
        assert_eq!(verdict.ended, Some((70.0, "resolved".to_owned())));
        assert!(verdict.is_complete());
        assert!(!judge(&rehearsal, None, &arrivals(&lines[..1])).is_complete());
    }
}
