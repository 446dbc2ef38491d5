//! Rehearsals of more than one fault of the simulator: several agents, trouble of the agent's own
//! host, and changes of the configuration while something is wrong.

use super::pipeline::Pace;
use super::pipeline::Pace::{Fast, Shipped};
use super::rehearsal::Act::{
    Add, CutOff, FindNames, Kill, LoseNames, Maintain, Pause, Rename, Restart, Resume, SetClock,
    StartAlertmanager, Starve, StopAlertmanager,
};
use super::rehearsal::Way;
use super::rehearsal::Way::{Own, Prometheus, Webhook};
use super::rehearsal::{
    ANY, End, NOTHING, PAIR, Rehearsal, SEVEN, Setup, Span, Special, Wanted, during, lasting,
    paced, page, seconds, ticket,
};

const DOWN: Wanted = page("ConvexPeerDown", "sim-2");
const AT_ONCE: Span = seconds(0);
/// When an outage was paged.
const PAGED: Span = paced(30, 150);
/// Long enough after a page that a resolve would have arrived.
const LONG_PAGED: Span = paced(150, 480);
const BOTH: &[(Way, Pace)] = &[(Prometheus, Fast), (Own, Fast)];
const SHIPPED: &[(Way, Pace)] = &[(Prometheus, Shipped), (Own, Shipped)];
const OWN_SHIPPED: &[(Way, Pace)] = &[(Own, Shipped)];

/// The network can lose no further peer when one is gone.
const FOUR: Setup = Setup { peers: 4, ..SEVEN };

const NAMED: Setup = Setup {
    special: Special::Named,
    ..SEVEN
};

/// What an agent may report about itself while its host has a problem.
const OWN_TROUBLE: &[Wanted] = &[
    ticket("ConvexMonitorUnhealthy", "a"),
    ticket("ConvexMonitorMissesPolls", "a"),
];

pub(super) static CASES: &[Rehearsal] = &[
    // Times at defaults.
    Rehearsal {
        name: "death",
        story: "a peer dies",
        faults: &[lasting("refuse:2")],
        must: &[DOWN],
        plays: SHIPPED,
        ..NOTHING
    },
    Rehearsal {
        name: "forked",
        story: "a peer leaves the history of the network and stands still",
        faults: &[lasting("minority-fork:2")],
        must: &[page("ConvexPeerForked", "sim-2")],
        may: &[
            ticket("ConvexPeerLagging", "sim-2"),
            ticket("ConvexStatesDiffer", ""),
            page("ConvexStateDiverged", "sim-2"),
        ],
        plays: OWN_SHIPPED,
        ..NOTHING
    },
    Rehearsal {
        name: "split",
        story: "half of the network goes on with another history",
        setup: FOUR,
        faults: &[lasting("fork:50%")],
        must: &[page("ConvexNetworkSplit", "")],
        may: &[ticket("ConvexStatesDiffer", "")],
        plays: OWN_SHIPPED,
        ..NOTHING
    },
    Rehearsal {
        name: "network-reset",
        story: "all peers serve a new genesis",
        faults: &[lasting("wrong-genesis:all")],
        must: &[page("ConvexNetworkReset", "")],
        messages: Some(1),
        plays: SHIPPED,
        ..NOTHING
    },
    Rehearsal {
        name: "stalled",
        story: "the network finalises nothing any more",
        faults: &[lasting("stall:all")],
        must: &[page("ConvexConsensusStalled", "")],
        plays: OWN_SHIPPED,
        ..NOTHING
    },
    // Few and true pages.
    Rehearsal {
        name: "rolling-restart",
        story: "each peer is restarted for 40 s, one after the other",
        faults: &[
            during("refuse:1", seconds(0), seconds(40)),
            during("refuse:2", seconds(70), seconds(110)),
            during("refuse:3", seconds(140), seconds(180)),
            during("refuse:4", seconds(210), seconds(250)),
            during("refuse:5", seconds(280), seconds(320)),
            during("refuse:6", seconds(350), seconds(390)),
            during("refuse:7", seconds(420), seconds(460)),
        ],
        plays: SHIPPED,
        ..NOTHING
    },
    Rehearsal {
        name: "new-peer",
        story: "a peer is added, and fails three polls soon after",
        setup: Setup {
            special: Special::Incomplete,
            ..SEVEN
        },
        faults: &[during("refuse:7", seconds(180), seconds(225))],
        acts: &[(AT_ONCE, Add(7))],
        listen: seconds(400),
        plays: SHIPPED,
        ..NOTHING
    },
    Rehearsal {
        name: "wrong-network-once",
        story: "one poll of a peer (14 s) shows another genesis",
        faults: &[during("wrong-genesis:2", seconds(0), seconds(14))],
        // It has another state as well, which is compared between two polls.
        may: &[ticket("ConvexStatesDiffer", "")],
        listen: seconds(180),
        plays: SHIPPED,
        ..NOTHING
    },
    Rehearsal {
        name: "reset-once",
        story: "one poll of each peer (14 s) shows another genesis",
        faults: &[during("wrong-genesis:all", seconds(0), seconds(14))],
        listen: seconds(180),
        plays: SHIPPED,
        ..NOTHING
    },
    Rehearsal {
        name: "many-down",
        story: "20 of 70 peers die at once",
        setup: Setup { peers: 70, ..SEVEN },
        faults: &[lasting("refuse:51-70")],
        must: &[page("ConvexPeerDown", ANY)],
        messages: Some(1),
        plays: &[(Webhook, Shipped)],
        ..NOTHING
    },
    Rehearsal {
        name: "half-dead-webhook",
        story: "a peer answers its status and no queries",
        faults: &[lasting("half-dead:2")],
        must: &[page("ConvexQueriesHang", "sim-2")],
        messages: Some(1),
        plays: &[(Webhook, Shipped)],
        ..NOTHING
    },
    Rehearsal {
        name: "key-rotated",
        story: "a peer answers with another key than the pinned one, and the network can lose no other",
        setup: FOUR,
        faults: &[lasting("wrong-key:2")],
        must: &[page("ConvexPeerIdentityChanged", "sim-2")],
        listen: paced(30, 300),
        messages: Some(1),
        plays: &[(Prometheus, Fast), (Webhook, Shipped)],
        ..NOTHING
    },
    Rehearsal {
        name: "all-in-maintenance",
        story: "all peers are in maintenance and one is down",
        setup: Setup {
            special: Special::Maintained,
            ..FOUR
        },
        faults: &[lasting("refuse:2")],
        listen: paced(30, 300),
        plays: BOTH,
        ..NOTHING
    },
    // Several agents.
    Rehearsal {
        name: "vantages-disagree",
        story: "one of two agents does not reach a peer",
        setup: PAIR,
        acts: &[(AT_ONCE, CutOff(2, 2))],
        must: &[ticket("ConvexVantagesDisagree", "sim-2")],
        listen: paced(45, 300),
        messages: Some(1),
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "agent-cut-off",
        story: "one of two agents reaches no peer, and the other one sees the network advance",
        setup: PAIR,
        acts: &[(AT_ONCE, CutOff(1, 4))],
        must: &[ticket("ConvexVantagesDisagree", "")],
        listen: paced(120, 400),
        messages: Some(1),
        plays: BOTH,
        ..NOTHING
    },
    // The agent's own host.
    Rehearsal {
        name: "clock-ahead",
        story: "the agent's clock is stepped 20 s ahead",
        setup: Setup {
            clock: Some("+0"),
            ..SEVEN
        },
        acts: &[(AT_ONCE, SetClock("+20"))],
        must: &[ticket("ConvexMonitorClockWrong", "a")],
        messages: Some(1),
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "clock-hour-ahead",
        story: "the agent's clock is stepped an hour ahead",
        setup: Setup {
            clock: Some("+0"),
            ..SEVEN
        },
        acts: &[(AT_ONCE, SetClock("+3600"))],
        must: &[ticket("ConvexMonitorClockWrong", "a")],
        messages: Some(1),
        ..NOTHING
    },
    Rehearsal {
        name: "clock-behind",
        story: "the agent's clock is ten minutes behind, and a peer dies",
        setup: Setup {
            clock: Some("-600"),
            ..SEVEN
        },
        faults: &[lasting("refuse:2")],
        must: &[DOWN, ticket("ConvexMonitorClockWrong", "a")],
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "starved",
        story: "the agent runs two seconds of five, and a peer refuses connections",
        faults: &[lasting("refuse:2")],
        acts: &[(AT_ONCE, Starve)],
        must: &[DOWN],
        may: OWN_TROUBLE,
        listen: paced(120, 300),
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "paused",
        story: "the agent's machine is suspended for 30 s",
        acts: &[(AT_ONCE, Pause), (seconds(30), Resume)],
        listen: paced(120, 240),
        ..NOTHING
    },
    Rehearsal {
        name: "names-lost",
        story: "names do not resolve for three minutes, and open connections end",
        setup: NAMED,
        faults: &[during("reset:all", seconds(0), seconds(2))],
        acts: &[(AT_ONCE, LoseNames), (seconds(180), FindNames)],
        listen: seconds(240),
        // Two polls of a peer take longer than a shortened `for`.
        plays: &[(Prometheus, Shipped), (Own, Fast)],
        ..NOTHING
    },
    Rehearsal {
        name: "nothing-known",
        story: "names do not resolve any more, and open connections end",
        setup: NAMED,
        faults: &[during("reset:all", seconds(0), seconds(2))],
        acts: &[(AT_ONCE, LoseNames)],
        must: &[page("ConvexMonitoringBlind", "")],
        may: OWN_TROUBLE,
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "own-peers-unknown",
        story: "names of own peers do not resolve any more, and one reference is still known",
        setup: Setup {
            special: Special::NamedAndReference,
            ..SEVEN
        },
        faults: &[during("reset:1-6", seconds(0), seconds(2))],
        acts: &[(AT_ONCE, LoseNames)],
        must: &[page("ConvexOwnPeersUnknown", "")],
        may: OWN_TROUBLE,
        plays: BOTH,
        ..NOTHING
    },
    // What must not be said to be over.
    Rehearsal {
        name: "maintenance-begins",
        story: "maintenance of a peer begins while it is down",
        faults: &[lasting("refuse:2")],
        acts: &[(PAGED, Maintain(2))],
        must: &[DOWN],
        end: End::By(&["maintenance"]),
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "renamed",
        story: "a peer is renamed while it is down",
        faults: &[lasting("refuse:2")],
        acts: &[(PAGED, Rename(2, "new-2"))],
        must: &[DOWN, page("ConvexPeerDown", "new-2")],
        end: End::By(&["renamed to new-2", "removed from the configuration"]),
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "agent-dies",
        story: "the agent is killed while a peer is down",
        faults: &[lasting("refuse:2")],
        acts: &[(PAGED, Kill)],
        must: &[DOWN, page("ConvexMonitorDown", "")],
        listen: LONG_PAGED,
        plays: &[(Prometheus, Fast)],
        ..NOTHING
    },
    Rehearsal {
        name: "lone-agent-dies",
        story: "an agent that notifies by itself is killed while a peer is down",
        faults: &[lasting("refuse:2")],
        acts: &[(PAGED, Kill)],
        must: &[DOWN],
        listen: LONG_PAGED,
        plays: &[(Own, Fast)],
        ..NOTHING
    },
    Rehearsal {
        name: "agent-restarts",
        story: "the agent restarts while a peer is down",
        faults: &[lasting("refuse:2")],
        acts: &[(PAGED, Restart)],
        must: &[DOWN],
        listen: LONG_PAGED,
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "alertmanager-absent",
        story: "Alertmanager is away for a minute while a peer dies",
        faults: &[lasting("refuse:2")],
        acts: &[
            (AT_ONCE, StopAlertmanager),
            (seconds(60), StartAlertmanager),
        ],
        must: &[DOWN],
        listen: paced(120, 300),
        plays: BOTH,
        ..NOTHING
    },
    Rehearsal {
        name: "idle",
        story: "a healthy network makes no blocks",
        setup: Setup {
            special: Special::Idle,
            ..SEVEN
        },
        listen: seconds(120),
        ..NOTHING
    },
];
