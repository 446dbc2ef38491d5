//! Each kind of fault that the simulator knows, and the alert that it must raise.

use convex_simulator::Fault as SimulatorFault;

use super::pipeline::Pace;
use super::rehearsal::{
    ANY, End, Fault, NOTHING, Rehearsal, SEVEN, Setup, Span, Special, Wanted, Way, during, info,
    lasting, paced, page, seconds, ticket,
};

/// Peers of the network in which a given fault is played.
const PEERS: usize = NOTHING.setup.peers;

const PEER: &str = "sim-2";

/// A fault that lasts, and what must and may be heard of it.
const fn kind(
    name: &'static str,
    faults: &'static [Fault],
    must: &'static [Wanted],
    may: &'static [Wanted],
) -> Rehearsal {
    Rehearsal {
        name,
        faults,
        must,
        may,
        listen: seconds(30),
        ..NOTHING
    }
}

/// A fault of transactions alone, which only a canary finds: first two rounds fail at the first of
/// its two peers, then at both.
const fn transactions(name: &'static str, faults: &'static [Fault]) -> Rehearsal {
    Rehearsal {
        setup: CANARY,
        plays: BOTH,
        ..kind(name, faults, WRITES_FAIL, WRITES_FAIL_AT_ONE)
    }
}

const WRITES_FAIL: &[Wanted] = &[page("ConvexWritesFailing", "")];
const WRITES_FAIL_AT_ONE: &[Wanted] = &[ticket("ConvexWritesFailing", ANY)];

const BOTH: &[(Way, Pace)] = &[(Way::Prometheus, Pace::Fast), (Way::Own, Pace::Fast)];

const CANARY: Setup = Setup {
    special: Special::Canary,
    ..SEVEN
};

const DEGRADED: Wanted = ticket("ConvexPeerDegraded", PEER);
const DOWN: Wanted = page("ConvexPeerDown", PEER);
const LAGGING: Wanted = ticket("ConvexPeerLagging", PEER);
const STATES_DIFFER: Wanted = ticket("ConvexStatesDiffer", "");

/// Faults of each kind, by the name of the kind.
pub(super) static FAULTS: &[Rehearsal] = &[
    kind(
        "stall",
        &[lasting("stall:all")],
        &[page("ConvexConsensusStalled", "")],
        &[],
    ),
    // The alert that comes first holds back the other one, or follows it.
    kind(
        "fork",
        &[lasting("fork:2")],
        &[page("ConvexStateDiverged|ConvexPeerForked", PEER)],
        &[STATES_DIFFER],
    ),
    // It lags until its order was compared.
    kind(
        "minority-fork",
        &[lasting("minority-fork:2")],
        &[page("ConvexPeerForked", PEER)],
        &[
            LAGGING,
            DEGRADED,
            STATES_DIFFER,
            page("ConvexStateDiverged", PEER),
        ],
    ),
    // It lags until its belief was read twice, of peers that were registered for five minutes.
    kind(
        "isolate",
        &[lasting("isolate:2")],
        &[page("ConvexPeerIsolated", PEER)],
        &[LAGGING, DEGRADED],
    ),
    kind(
        "unheard",
        &[lasting("unheard:2")],
        &[page("ConvexPeerUnheard", PEER)],
        &[],
    ),
    kind(
        "duplicate-key",
        &[lasting("duplicate-key:2,3")],
        &[page("ConvexPeerIdentityChanged", "sim-3")],
        &[],
    ),
    kind(
        "ahead",
        &[lasting("ahead=1h:2")],
        &[page("ConvexConsensusStalled", "")],
        &[],
    ),
    // A second is less than lag_for.
    kind("late", &[lasting("late=1s:2")], &[], &[]),
    kind("lag", &[lasting("lag=40:2")], &[LAGGING], &[DEGRADED]),
    // It lags as well, but only this alert says that final blocks are lost.
    kind(
        "recede",
        &[lasting("recede=20:2")],
        &[page("ConvexFinalityReceding", PEER)],
        &[LAGGING, DEGRADED],
    ),
    // The peer catches up within ten seconds.
    kind("restart", &[lasting("restart=100:2")], &[], &[LAGGING]),
    // The claim of one peer moves no head.
    kind("claim", &[lasting("claim=4611686018427387904:2")], &[], &[]),
    kind(
        "skew",
        &[lasting("skew=-20s:2")],
        &[page("ConvexClockSkew", PEER)],
        &[],
    ),
    kind(
        "wrong-genesis",
        &[lasting("wrong-genesis:2")],
        &[page("ConvexPeerWrongNetwork", PEER)],
        &[],
    ),
    kind(
        "wrong-key",
        &[lasting("wrong-key:2")],
        &[page("ConvexPeerIdentityChanged", PEER)],
        &[],
    ),
    kind("tarpit", &[lasting("tarpit:2")], &[DOWN], &[]),
    // ConvexLatencyHigh needs at least a day of history of the peer.
    kind("slow", &[lasting("slow=500ms:2")], &[], &[]),
    kind("garbage", &[lasting("garbage:2")], &[DOWN], &[]),
    kind("huge-frame", &[lasting("huge-frame:2")], &[DOWN], &[]),
    kind("half-reply", &[lasting("half-reply:2")], &[DOWN], &[]),
    Rehearsal {
        end: End::Resolved(paced(30, 300)),
        ..kind(
            "refuse",
            &[during("refuse:2", seconds(0), paced(30, 300))],
            &[DOWN],
            &[],
        )
    },
    kind("reset", &[lasting("reset:2")], &[DOWN], &[]),
    kind("old-api", &[lasting("old-api:2")], &[], &[]),
    kind("new-api", &[lasting("new-api:2")], &[], &[]),
    kind("map-status", &[lasting("map-status:2")], &[], &[]),
    kind(
        "low-stake",
        &[lasting("low-stake:2")],
        &[page("ConvexOwnStakeBelowMinimum", PEER)],
        &[],
    ),
    kind(
        "stake",
        &[lasting("stake=0.01:2")],
        &[page("ConvexOwnStakeBelowMinimum", PEER)],
        &[],
    ),
    kind(
        "unregistered",
        &[lasting("unregistered:2")],
        &[page("ConvexPeerUnregistered", PEER)],
        &[],
    ),
    kind(
        "silent-stake",
        &[lasting("silent-stake:2")],
        &[ticket("ConvexWeightDecayed", PEER)],
        &[],
    ),
    Rehearsal {
        end: End::Resolved(paced(30, 300)),
        ..kind(
            "half-dead",
            &[during("half-dead:2", seconds(0), paced(30, 300))],
            &[page("ConvexQueriesHang", PEER)],
            &[],
        )
    },
    kind("http-500", &[lasting("http-500:2")], &[DEGRADED], &[]),
    kind(
        "query-error",
        &[lasting("query-error=JUICE:2")],
        &[DEGRADED],
        &[],
    ),
    kind("busy", &[lasting("busy:2")], &[DEGRADED], &[]),
    transactions("tx-hang", &[lasting("tx-hang:all")]),
    transactions("tx-lose", &[lasting("tx-lose:all")]),
    // The canary backs off, so that this takes longest.
    transactions("tx-error", &[lasting("tx-error=LOAD:all")]),
    // It lags: ConvexPeerDegraded says later that it executes nothing.
    kind("frozen", &[lasting("frozen:2")], &[LAGGING], &[DEGRADED]),
    // An upgrade that three of the seven peers cannot execute. It is scheduled for three weeks
    // later, then for twelve hours later, then for half a minute later, when all peers freeze.
    Rehearsal {
        end: End::Unchecked,
        ..kind(
            "upgrade",
            &[
                during("upgrade=21d:1-4", seconds(0), WEEKS),
                during("upgrade=12h:1-4", WEEKS, DAY),
                Fault {
                    from: DAY,
                    ..lasting("upgrade={due}:1-4")
                },
                Fault {
                    from: FREEZE,
                    ..lasting("frozen:1-4")
                },
            ],
            &[
                info("ConvexUpgradePending", ""),
                ticket("ConvexUpgradeUnsupported", ANY),
                ticket("ConvexUpgradeAtRisk", ""),
                page("ConvexUpgradeUnsupported", ANY),
                page("ConvexUpgradeAtRisk", ""),
                page("ConvexUpgradeFailed", ""),
            ],
            &[],
        )
    },
];

/// When the upgrade is put forward to the next day, and to the next half minute, and when it is
/// due: as late as the slowest alert of the act before, with the waits of its route.
const WEEKS: Span = paced(60, 17 * 60);
const DAY: Span = paced(100, 23 * 60);
const FREEZE: Span = paced(130, 23 * 60 + 30);

const ANYTHING: &[Wanted] = &[page(ANY, ANY)];

/// Reads a fault as it is given to the simulator. Its times count from when all peers were up. Any
/// alert may come of it.
pub(super) fn read(text: &str) -> Result<Rehearsal, String> {
    let fault = SimulatorFault::parse(text, PEERS).map_err(|error| error.to_string())?;
    // For as long as the program runs.
    let text: &'static str = text.to_owned().leak();
    let is_timed = !fault.from.is_zero() || fault.to.is_some();
    let spec = match text.rsplit_once(':') {
        Some((spec, _)) if is_timed => spec,
        _ => text,
    };
    let to = fault.to.map(|to| seconds(to.as_secs()));
    // Only transactions show faults of transactions.
    let setup = if spec.starts_with("tx-") {
        CANARY
    } else {
        SEVEN
    };
    let fault = Fault {
        spec,
        from: seconds(fault.from.as_secs()),
        to,
    };
    Ok(Rehearsal {
        setup,
        end: to.map_or(End::None, End::Resolved),
        ..kind(text, vec![fault].leak(), ANYTHING, &[])
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::collections::BTreeSet;

    use convex_simulator::FAULT_KINDS;

    use super::*;

    #[test]
    fn every_kind_of_fault_can_be_rehearsed_by_name() {
        let known: BTreeSet<&str> = FAULTS.iter().map(|rehearsal| rehearsal.name).collect();
        let kinds = FAULT_KINDS
            .iter()
            .map(|(written, _)| written.split(['=', '[']).next().unwrap());
        assert_eq!(known, kinds.collect());
        for rehearsal in FAULTS {
            let kind = rehearsal.faults[0].spec.split(['=', ':']).next().unwrap();
            assert_eq!(rehearsal.name, kind);
        }
    }

    #[test]
    fn a_given_fault_keeps_its_times_and_raises_any_alert() {
        let timed = read("lag=40:3:30s..90s").unwrap();
        let [fault] = timed.faults else {
            panic!("{timed:?}")
        };
        let expected = during("lag=40:3", seconds(30), seconds(90));
        assert_eq!(
            (fault.spec, fault.from, fault.to),
            (expected.spec, expected.from, expected.to)
        );
        assert_eq!(timed.end, End::Resolved(seconds(90)));
        assert!(timed.must[0].is("ConvexPeerLagging", "warning", "sim-3"));
        assert_eq!(read("lag=40:3").unwrap().faults[0].spec, "lag=40:3");
    }

    #[test]
    fn an_unknown_fault_is_rejected_with_the_list_of_kinds() {
        let error = read("explode").unwrap_err();
        assert!(error.contains("expected one of: stall, fork"), "{error}");
    }
}
