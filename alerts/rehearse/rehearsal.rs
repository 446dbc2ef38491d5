//! What a rehearsal is: who watches what, what happens, and what must be heard of it.

use std::fmt;
use std::time::Duration;

use convex_peer_monitor::config::Severity;

use super::pipeline::Pace;

/// How alerts get from the agent to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Through Prometheus with our rules, and Alertmanager.
    Prometheus,
    /// The agent notifies Alertmanager itself.
    Own,
    /// The agent notifies the receiver itself.
    Webhook,
}

/// A time that depends on the pace, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where the waits of rules and routes are shortened.
    fast: u64,
    /// Where they are not. The agent's own rules never are.
    slow: u64,
}

/// The same time at any pace.
pub(super) const fn seconds(seconds: u64) -> Span {
    paced(seconds, seconds)
}

pub(super) const fn paced(fast: u64, slow: u64) -> Span {
    Span { fast, slow }
}

/// Time from when an upgrade is scheduled until it is due, where the fault has `{due}`.
const UPGRADE_NOTICE: Duration = Duration::from_secs(30);

/// A fault of simulated peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// `KIND[=VALUE]:PEERS`. `{due}` stands for half a minute after it begins.
    pub(super) spec: &'static str,
    /// When it begins and ends, since the beginning of the rehearsed fault; without an end it
    /// lasts.
    pub(super) from: Span,
    pub(super) to: Option<Span>,
}

/// A fault that begins at once and lasts.
pub(super) const fn lasting(spec: &'static str) -> Fault {
    Fault {
        spec,
        from: seconds(0),
        to: None,
    }
}

pub(super) const fn during(spec: &'static str, from: Span, to: Span) -> Fault {
    Fault {
        spec,
        from,
        to: Some(to),
    }
}

/// What else happens. Peers are counted from 1; agents are `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Agent `a` no longer gets answers from these peers, first to last.
    CutOff(usize, usize),
    /// The clock of agent `a` is now off by so much, such as `+20`, in seconds.
    SetClock(&'static str),
    /// Agent `a` does not run: its machine is suspended.
    Pause,
    Resume,
    /// Agent `a` gets too little processor time from now on.
    Starve,
    /// Agent `a` stops and starts again.
    Restart,
    /// Agent `a` is killed.
    Kill,
    /// Names no longer resolve at agent `a`.
    LoseNames,
    FindNames,
    /// Maintenance of the peer begins.
    Maintain(usize),
    /// The peer gets another name.
    Rename(usize, &'static str),
    /// The peer is added to the configuration.
    Add(usize),
    StopAlertmanager,
    StartAlertmanager,
}

/// The network and who watches it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) peers: usize,
    /// The clock of agent `a` at first, in seconds from the right time. With `None` it cannot be
    /// set.
    pub(super) clock: Option<&'static str>,
    pub(super) special: Special,
}

/// Special settings of a network and of its monitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// One agent watches peers that make a block each second.
    Nothing,
    /// A second agent, `b`, watches the same peers, and the two read each other.
    Pair,
    /// Nobody makes blocks.
    Idle,
    /// The endpoints of all peers are configured by name.
    Named,
    /// The same, but the last peer is a reference with an address.
    NamedAndReference,
    /// The last peer is not configured until it is added.
    Incomplete,
    /// All peers are in maintenance.
    Maintained,
    /// The agent sends a transaction through the first two peers in turn, one a minute.
    Canary,
}

/// One agent and seven peers. With seven, the loss of one does not put the quorum at risk, which
/// would be another page.
pub(super) const SEVEN: Setup = Setup {
    peers: 7,
    clock: None,
    special: Special::Nothing,
};

/// Two agents and four peers, of which the network can lose one.
pub(super) const PAIR: Setup = Setup {
    peers: 4,
    special: Special::Pair,
    ..SEVEN
};

/// An alert that must or may arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its name; several are separated by `|`, and one of them is enough.
    pub(super) alert: &'static str,
    pub(super) severity: Severity,
    /// The peer or agent that it is about, `""` for a network, or [`ANY`].
    pub(super) about: &'static str,
}

/// Any subject, or any alert at all.
pub(super) const ANY: &str = "*";

pub(super) const fn page(alert: &'static str, about: &'static str) -> Wanted {
    Wanted {
        alert,
        severity: Severity::Critical,
        about,
    }
}

pub(super) const fn ticket(alert: &'static str, about: &'static str) -> Wanted {
    Wanted {
        alert,
        severity: Severity::Warning,
        about,
    }
}

pub(super) const fn info(alert: &'static str, about: &'static str) -> Wanted {
    Wanted {
        alert,
        severity: Severity::Info,
        about,
    }
}

/// How the alerts that must arrive end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// They do not: the cause lasts.
    None,
    /// Some end when others take their place.
    Unchecked,
    /// They are resolved, not before this time, when the cause ends.
    Resolved(Span),
    /// One of them ends with one of these annotations `ended_by`, and none is said to be resolved.
    By(&'static [&'static str]),
}

/// A fault to play, and what must be heard of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rehearsal {
    pub(super) name: &'static str,
    /// What happens, in words; empty if the faults say it.
    pub(super) story: &'static str,
    pub(super) setup: Setup,
    pub(super) faults: &'static [Fault],
    pub(super) acts: &'static [(Span, Act)],
    /// The alerts that must arrive; no other may page.
    pub(super) must: &'static [Wanted],
    /// The alerts that may arrive besides.
    pub(super) may: &'static [Wanted],
    pub(super) end: End,
    /// How long to listen at least, from the beginning of the fault.
    pub(super) listen: Span,
    /// The most notifications that may arrive, if it matters.
    pub(super) messages: Option<usize>,
    /// How it is played in the matrix.
    pub(super) plays: &'static [(Way, Pace)],
}

/// A rehearsal in which nothing happens, for the others to start from.
pub(super) const NOTHING: Rehearsal = Rehearsal {
    name: "",
    story: "",
    setup: SEVEN,
    faults: &[],
    acts: &[],
    must: &[],
    may: &[],
    end: End::None,
    listen: seconds(0),
    messages: None,
    plays: &[(Way::Prometheus, Pace::Fast)],
};

impl Span {
    pub(super) fn at(self, (way, pace): (Way, Pace)) -> Duration {
        Duration::from_secs(match (way, pace) {
            (Way::Prometheus, Pace::Fast) => self.fast,
            _ => self.slow,
        })
    }
}

impl Fault {
    /// Writes the fault for a simulated network in which the rehearsed fault begins at `begins`.
    pub(super) fn script(&self, begins: Duration, play: (Way, Pace)) -> String {
        let time = |span: Span| humantime::format_duration(begins + span.at(play)).to_string();
        let due = begins + self.from.at(play) + UPGRADE_NOTICE;
        let due = humantime::format_duration(due).to_string();
        let (spec, from) = (self.spec.replace("{due}", &due), time(self.from));
        match self.to {
            Some(to) => format!("{spec}:{from}..{}", time(to)),
            None => format!("{spec}:{from}"),
        }
    }
}

impl Rehearsal {
    /// Says what happens.
    pub(super) fn story(&self) -> String {
        let specs = self.faults.iter().map(|fault| format!("`{}`", fault.spec));
        match self.story {
            "" => specs.collect::<Vec<_>>().join(", "),
            story => story.to_owned(),
        }
    }

    /// Returns how long to listen at least, from the beginning of the fault.
    pub(super) fn lasts(&self, play: (Way, Pace)) -> Duration {
        let ends = self
            .faults
            .iter()
            .map(|fault| fault.to.unwrap_or(fault.from));
        let acts = self.acts.iter().map(|(at, _)| *at);
        let all = ends.chain(acts).chain([self.listen]);
        all.map(|span| span.at(play)).max().unwrap_or_default()
    }

    /// Returns whether agent `a` reaches the peers over relays, which can be cut.
    pub(super) fn needs_relays(&self) -> bool {
        let mut acts = self.acts.iter();
        acts.any(|(_, act)| matches!(act, Act::CutOff(..)))
    }
}

impl Wanted {
    /// Returns whether this is the alert with this name and severity about this subject.
    pub(super) fn is(&self, alert: &str, severity: &str, about: &str) -> bool {
        if self.alert == ANY {
            return true;
        }
        self.alert.split('|').any(|name| name == alert)
            && self.severity.as_str() == severity
            && (self.about == ANY || self.about == about)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Critical => "page",
            Severity::Warning => "ticket",
            Severity::Info => "info",
        };
        write!(f, "{kind} {}", self.alert.replace('|', " or "))?;
        match self.about {
            "" => Ok(()),
            ANY => f.write_str(" of any"),
            about => write!(f, " of {about}"),
        }
    }
}

impl Way {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "Prometheus",
            Self::Own => "agent",
            Self::Webhook => "webhook",
        }
    }
}
