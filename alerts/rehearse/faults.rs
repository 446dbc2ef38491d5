//! Faults that can be rehearsed, each with the alert that it must raise.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use convex_simulator::{Fault, Script};

use super::pipeline::Pace;

/// Number of peers. With seven, the loss of one does not put the quorum at risk, which would be
/// another page.
pub(super) const PEERS: usize = 7;

/// What a fault must raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// This alert. Others may arrive before it.
    Alert(&'static str),
    /// All of these alerts, each with its severity.
    All(&'static [(&'static str, &'static str)]),
    /// Any alert.
    Any,
    /// No alert, for this reason.
    Nothing(&'static str),
}

use Expected::{Alert, All, Any, Nothing};

/// All kinds of faults, without times.
const REHEARSALS: &[(&str, Expected)] = &[
    ("stall:all", Alert("ConvexConsensusStalled")),
    ("fork:2", Alert("ConvexStateDiverged")),
    // ConvexStateDiverged as well, if another peer was seen at the block where it stands. It lags
    // until its order was compared.
    ("minority-fork:2", Alert("ConvexPeerForked")),
    // It lags until its belief was read twice, of peers that were registered for five minutes.
    ("isolate:2", Alert("ConvexPeerIsolated")),
    ("unheard:2", Alert("ConvexPeerUnheard")),
    ("duplicate-key:2,3", Alert("ConvexPeerIdentityChanged")),
    ("ahead=1h:2", Alert("ConvexConsensusStalled")),
    ("late=1s:2", Nothing("a second is less than lag_for")),
    ("lag=40:2", Alert("ConvexPeerLagging")),
    // The peer lags as well, but only this alert says that final blocks are lost.
    ("recede=20:2", Alert("ConvexFinalityReceding")),
    // The peer catches up within ten seconds.
    ("restart=100:2", Nothing("a restart is an event")),
    (
        "claim=4611686018427387904:2",
        Nothing("the claim of one peer moves no head"),
    ),
    ("skew=-20s:2", Alert("ConvexClockSkew")),
    ("wrong-genesis:2", Alert("ConvexPeerWrongNetwork")),
    ("wrong-key:2", Alert("ConvexPeerIdentityChanged")),
    ("tarpit:2", Alert("ConvexPeerDown")),
    (
        "slow=1s:2",
        Nothing("ConvexLatencyHigh needs at least a day of history of the peer"),
    ),
    ("garbage:2", Alert("ConvexPeerDown")),
    ("huge-frame:2", Alert("ConvexPeerDown")),
    ("half-reply:2", Alert("ConvexPeerDown")),
    ("refuse:2", Alert("ConvexPeerDown")),
    ("reset:2", Alert("ConvexPeerDown")),
    ("old-api:2", Nothing("peers of that release are supported")),
    ("new-api:2", Nothing("peers of that release are supported")),
    (
        "map-status:2",
        Nothing("a status in that form is supported"),
    ),
    ("low-stake:2", Alert("ConvexOwnStakeBelowMinimum")),
    ("stake=0.01:2", Alert("ConvexOwnStakeBelowMinimum")),
    ("unregistered:2", Alert("ConvexPeerUnregistered")),
    ("silent-stake:2", Alert("ConvexWeightDecayed")),
    ("half-dead:2", Alert("ConvexQueriesHang")),
    ("http-500:2", Alert("ConvexPeerDegraded")),
    ("query-error=JUICE:2", Alert("ConvexPeerDegraded")),
    ("busy:2", Any),
    // It lags: ConvexPeerDegraded says later that it executes nothing.
    ("frozen:2", Alert("ConvexPeerLagging")),
    (UPGRADE, All(UPGRADE_ALERTS)),
];

/// An upgrade that three of the seven peers cannot execute. It is played in acts.
const UPGRADE: &str = "upgrade=21d:1-4";

/// The alerts weeks before, on the last day, and when those that can execute it freeze as well.
const UPGRADE_ALERTS: &[(&str, &str)] = &[
    ("ConvexUpgradePending", "info"),
    ("ConvexUpgradeUnsupported", "warning"),
    ("ConvexUpgradeAtRisk", "warning"),
    ("ConvexUpgradeUnsupported", "critical"),
    ("ConvexUpgradeAtRisk", "critical"),
    ("ConvexUpgradeFailed", "critical"),
];

/// The acts of the rehearsal of an upgrade that begins at this time: it is scheduled for three weeks
/// later, then for twelve hours later, then for half a minute later, when all peers freeze. Returns
/// the faults, and how long it takes until the last act.
fn upgrade_acts(begins: Duration, pace: Pace) -> (Vec<String>, Duration) {
    // As long as the slowest alert of the act takes, with the waits of its route.
    let (weeks, day) = match pace {
        Pace::Shipped => (17 * 60, 6 * 60),
        Pace::Fast => (60, 40),
    };
    let at =
        |seconds| humantime::format_duration(begins + Duration::from_secs(seconds)).to_string();
    let (first, second, third, due) = (at(0), at(weeks), at(weeks + day), at(weeks + day + 30));
    let acts = vec![
        format!("{UPGRADE}:{first}..{second}"),
        format!("upgrade=12h:1-4:{second}..{third}"),
        format!("upgrade={due}:1-4:{third}"),
        format!("frozen:1-4:{due}"),
    ];
    (acts, Duration::from_secs(weeks + day + 30))
}

/// Time before the fault, in which the network is healthy and the whole pipeline sees it.
const fn lead(pace: Pace) -> Duration {
    Duration::from_secs(match pace {
        Pace::Shipped => 60,
        Pace::Fast => 15,
    })
}

/// Limit for the alert, from the beginning of the fault. The slowest takes a minute in the agent,
/// ten in the rules and one in Alertmanager; who hears whom is judged after five minutes, and takes
/// three more.
const fn timeout(pace: Pace) -> Duration {
    Duration::from_secs(match pace {
        Pace::Shipped => 15 * 60,
        Pace::Fast => 10 * 60,
    })
}

/// A fault to inject, and what it must raise.
#[derive(Debug)]
pub(super) struct Rehearsal {
    spec: String,
    pub(super) script: Script,
    /// Limit for the expected alerts, from the beginning of the fault.
    pub(super) timeout: Duration,
    /// When the fault begins, after the start of the network.
    pub(super) begins: Duration,
    pub(super) expected: Expected,
}

impl Rehearsal {
    /// Parses a kind of fault, or a full fault. Without times, it begins after the lead time.
    pub(super) fn read(text: &str, pace: Pace) -> Result<Self, String> {
        let known = REHEARSALS.iter().find(|(spec, _)| kind(spec) == text);
        let (spec, expected) = known.copied().unwrap_or((text, Any));
        let fault = Fault::parse(spec, PEERS).map_err(|error| error.to_string())?;
        if spec == UPGRADE {
            let begins = lead(pace);
            let (acts, lasts) = upgrade_acts(begins, pace);
            let acts_of = acts.iter().map(String::as_str);
            return Ok(Self {
                script: Script::parse(acts_of, PEERS).map_err(|error| error.to_string())?,
                timeout: lasts + timeout(pace),
                spec: acts.join(" "),
                begins,
                expected,
            });
        }
        let spec = if fault.from.is_zero() && fault.to.is_none() {
            format!("{spec}:{}", humantime::format_duration(lead(pace)))
        } else {
            spec.to_owned()
        };
        let fault = Fault::parse(&spec, PEERS).map_err(|error| error.to_string())?;
        let script = Script::parse([spec.as_str()], PEERS).map_err(|error| error.to_string())?;
        Ok(Self {
            spec,
            script,
            timeout: timeout(pace),
            begins: fault.from,
            expected,
        })
    }
}

/// Returns the kind of a fault.
fn kind(spec: &str) -> &str {
    spec.split([':', '=']).next().unwrap_or_default()
}

impl Expected {
    /// Returns whether what arrived so far, names and severities, is all that is expected.
    pub(super) fn is_met(self, arrived: &BTreeSet<(String, String)>) -> bool {
        let has = |name: &str, severity: Option<&str>| {
            let mut arrived = arrived.iter();
            arrived.any(|it| it.0 == name && severity.is_none_or(|severity| it.1 == severity))
        };
        match self {
            Alert(name) => has(name, None),
            All(alerts) => alerts
                .iter()
                .all(|(name, severity)| has(name, Some(*severity))),
            Self::Any => !arrived.is_empty(),
            Nothing(_) => false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alert(name) => f.write_str(name),
            All(alerts) => {
                let alerts = alerts.iter();
                let alerts = alerts.map(|(name, severity)| format!("{name} ({severity})"));
                f.write_str(&alerts.collect::<Vec<_>>().join(", "))
            }
            Self::Any => f.write_str("an alert"),
            Nothing(_) => f.write_str("no alert"),
        }
    }
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must raise {}", self.spec, self.expected)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use convex_simulator::FAULT_KINDS;

    use super::*;
    use crate::pipeline::root;

    #[test]
    fn every_kind_of_fault_can_be_rehearsed_by_name() {
        let known: BTreeSet<&str> = REHEARSALS.iter().map(|(spec, _)| kind(spec)).collect();
        let kinds = FAULT_KINDS
            .iter()
            .map(|(written, _)| written.split(['=', '[']).next().unwrap());
        assert_eq!(known, kinds.collect());
        for (spec, expected) in REHEARSALS {
            let rehearsal = Rehearsal::read(kind(spec), Pace::Shipped).unwrap();
            assert_eq!(rehearsal.expected, *expected, "{spec}");
            assert_eq!(rehearsal.begins, lead(Pace::Shipped), "{spec}");
        }
    }

    #[test]
    fn expected_alerts_exist_in_the_rules() {
        let rules = root().join("alerts/convex-peer-monitor.rules.yml");
        let rules = std::fs::read_to_string(rules).unwrap();
        for (spec, expected) in REHEARSALS {
            let names = match expected {
                Alert(name) => vec![*name],
                All(alerts) => alerts.iter().map(|(name, _)| *name).collect(),
                Any | Nothing(_) => Vec::new(),
            };
            for name in names {
                assert!(rules.contains(&format!("- alert: {name}\n")), "{spec}");
            }
        }
    }

    #[test]
    fn a_full_fault_keeps_its_times_and_accepts_any_alert() {
        let rehearsal = Rehearsal::read("lag=40:3:30s..90s", Pace::Shipped).unwrap();
        assert_eq!(rehearsal.begins, Duration::from_secs(30));
        assert_eq!(rehearsal.expected, Any);
        let timeless = Rehearsal::read("lag=40:3", Pace::Fast).unwrap();
        assert_eq!(timeless.begins, lead(Pace::Fast));
    }

    #[test]
    fn all_alerts_of_an_upgrade_have_to_arrive_with_their_severities() {
        let mut arrived = BTreeSet::new();
        for (name, severity) in UPGRADE_ALERTS {
            assert!(!All(UPGRADE_ALERTS).is_met(&arrived));
            arrived.insert(((*name).to_owned(), (*severity).to_owned()));
        }
        assert!(All(UPGRADE_ALERTS).is_met(&arrived));
    }

    #[test]
    fn an_unknown_fault_is_rejected_with_the_list_of_kinds() {
        let error = Rehearsal::read("explode", Pace::Shipped).unwrap_err();
        assert!(error.contains("expected one of: stall, fork"), "{error}");
    }
}
