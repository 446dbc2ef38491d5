//! The kinds of faults: how each is written, what it does, and which exclude each other.

use std::time::Duration;

/// What is wrong with a peer. [`KINDS`] has the meanings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `stall`
    Stall,
    /// `fork=BLOCK`: the first block that differs; none: the first that is made once the fault is in force.
    Fork(Option<i64>),
    /// `lag=BLOCKS`
    Lag(i64),
    /// `recede=BLOCKS`
    Recede(i64),
    /// `skew=[-]DURATION`, in milliseconds.
    Skew(i64),
    /// `wrong-genesis`
    WrongGenesis,
    /// `wrong-key`
    WrongKey,
    /// `tarpit`
    Tarpit,
    /// `slow=DURATION`
    Slow(Duration),
    /// `garbage`
    Garbage,
    /// `huge-frame`
    HugeFrame,
    /// `half-reply`
    HalfReply,
    /// `refuse`
    Refuse,
    /// `reset`
    Reset,
    /// `old-api`
    OldApi,
    /// `map-status`
    MapStatus,
    /// `low-stake`
    LowStake,
    /// `silent-stake`
    SilentStake,
    /// `half-dead`
    HalfDead,
    /// `http-500`
    Http500,
    /// `query-error=CODE`, without colon.
    QueryError(String),
}

/// The longest time that is read.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Every kind as it is written, with what it does.
pub const KINDS: &[(&str, &str)] = &[
    (
        "stall",
        "the order grows, one block each 8 s, and nothing of it becomes final",
    ),
    (
        "fork[=BLOCK]",
        "the states from this block on are others (default: from the next block on)",
    ),
    (
        "lag=BLOCKS",
        "order and state are so many blocks behind the network",
    ),
    (
        "recede=BLOCKS",
        "order and state fall back by so many blocks and stand there",
    ),
    (
        "skew=[-]DURATION",
        "the clock is ahead, or behind, by so much",
    ),
    ("wrong-genesis", "it belongs to another network"),
    ("wrong-key", "another peer key answers"),
    ("tarpit", "accepts, reads, and answers nothing"),
    ("slow=DURATION", "each answer takes so much longer"),
    ("garbage", "answers what is no cell"),
    ("huge-frame", "announces a reply of 50 MB"),
    (
        "half-reply",
        "closes the connection in the middle of a reply",
    ),
    ("refuse", "nobody listens, and open connections are closed"),
    ("reset", "accepts and resets the connection"),
    ("old-api", "speaks as release 0.8.0 does"),
    (
        "map-status",
        "the binary status is a map, as planned for 0.9",
    ),
    ("low-stake", "its own stake is 500 CVM, below the minimum"),
    (
        "silent-stake",
        "has made no block for an hour of network time",
    ),
    ("half-dead", "answers STATUS and no query"),
    ("http-500", "answers every HTTP request with status 500"),
    (
        "query-error=CODE",
        "answers every query with this error code",
    ),
];

/// How all kinds are written, in one line.
pub(super) fn kinds() -> String {
    let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Kind {
    /// The name, without a value.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Fork(_) => "fork",
            Self::Lag(_) => "lag",
            Self::Recede(_) => "recede",
            Self::Skew(_) => "skew",
            Self::WrongGenesis => "wrong-genesis",
            Self::WrongKey => "wrong-key",
            Self::Tarpit => "tarpit",
            Self::Slow(_) => "slow",
            Self::Garbage => "garbage",
            Self::HugeFrame => "huge-frame",
            Self::HalfReply => "half-reply",
            Self::Refuse => "refuse",
            Self::Reset => "reset",
            Self::OldApi => "old-api",
            Self::MapStatus => "map-status",
            Self::LowStake => "low-stake",
            Self::SilentStake => "silent-stake",
            Self::HalfDead => "half-dead",
            Self::Http500 => "http-500",
            Self::QueryError(_) => "query-error",
        }
    }

    /// What it decides of a peer: two kinds that decide the same cannot be in force at once.
    const fn decides(&self) -> Decides {
        match self {
            Self::Stall | Self::Recede(_) => Decides::Order,
            Self::Tarpit
            | Self::Garbage
            | Self::HugeFrame
            | Self::HalfReply
            | Self::Refuse
            | Self::Reset => Decides::Wire,
            Self::OldApi | Self::MapStatus => Decides::Release,
            Self::HalfDead | Self::QueryError(_) => Decides::Query,
            other => Decides::Own(other.name()),
        }
    }

    /// Whether one peer cannot have both at once.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let silent = |kind: &Self| matches!(kind, Self::Tarpit | Self::Refuse | Self::Reset);
        let speaks = |kind: &Self| {
            matches!(
                kind,
                Self::Slow(_) | Self::HalfDead | Self::Http500 | Self::QueryError(_)
            )
        };
        let (a, b) = (self.decides(), other.decides());
        a.same(b) || (silent(self) && speaks(other)) || (silent(other) && speaks(self))
    }

    /// Reads `KIND[=VALUE]`.
    pub(super) fn parse(text: &str) -> Result<Self, KindProblem> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let blocks = |least: i64| {
            let value = value.unwrap_or_default();
            let number = value.parse().ok().filter(|blocks| *blocks >= least);
            number.ok_or_else(|| {
                KindProblem::Value(format!("{name} needs a number of blocks of at least {least}, as in {name}=40, not {value:?}"))
            })
        };
        let kind = match name {
            "fork" => Self::Fork(value.map(|_| blocks(0)).transpose()?),
            "lag" => Self::Lag(blocks(1)?),
            "recede" => Self::Recede(blocks(1)?),
            "skew" => Self::Skew(skew(value.unwrap_or_default())?),
            "slow" => Self::Slow(duration(value.unwrap_or_default()).map_err(KindProblem::Value)?),
            "query-error" => Self::QueryError(code(value.unwrap_or_default())?),
            _ => {
                let plain = [
                    Self::Stall,
                    Self::WrongGenesis,
                    Self::WrongKey,
                    Self::Tarpit,
                    Self::Garbage,
                    Self::HugeFrame,
                    Self::HalfReply,
                    Self::Refuse,
                    Self::Reset,
                    Self::OldApi,
                    Self::MapStatus,
                    Self::LowStake,
                    Self::SilentStake,
                    Self::HalfDead,
                    Self::Http500,
                ];
                let kind = plain.into_iter().find(|kind| kind.name() == name);
                let kind = kind.ok_or_else(|| KindProblem::Unknown(name.to_owned()))?;
                if value.is_some() {
                    return Err(KindProblem::Value(format!(
                        "{name} has no value; write {name} alone"
                    )));
                }
                kind
            }
        };
        Ok(kind)
    }
}

/// Why a text is no kind of fault.
pub(super) enum KindProblem {
    Unknown(String),
    Value(String),
}

/// The side of a peer that a fault decides.
#[derive(Clone, Copy)]
enum Decides {
    Order,
    Wire,
    Release,
    Query,
    /// A side that no other kind has to do with.
    Own(&'static str),
}

impl Decides {
    fn same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Own(a), Self::Own(b)) => a == b,
            (a, b) => std::mem::discriminant(&a) == std::mem::discriminant(&b),
        }
    }
}

/// Reads a time. One of more than a hundred years is refused: it leaves room for every sum.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let found = humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no duration such as 5s or 1m 30s: {error}"))?;
    if found > LONGEST {
        return Err(format!("{text:?} is longer than a hundred years"));
    }
    Ok(found)
}

fn skew(text: &str) -> Result<i64, KindProblem> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text),
    };
    let size = duration(size).map_err(KindProblem::Value)?;
    Ok(sign * i64::try_from(size.as_millis()).unwrap_or(i64::MAX))
}

fn code(text: &str) -> Result<String, KindProblem> {
    let text = text.strip_prefix(':').unwrap_or(text);
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        return Err(KindProblem::Value(format!(
            "query-error needs a code of 1 to 64 letters and digits, as in query-error=JUICE, not {text:?}"
        )));
    }
    Ok(text.to_owned())
}
