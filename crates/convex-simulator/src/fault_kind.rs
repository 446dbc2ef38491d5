//! The kinds of faults: how each is written, and which ones contradict each other.

use std::time::Duration;

use super::registered::{MAX_STAKE_CVM, parse_cvm};

/// A fault of a peer. [`FAULT_KINDS`](super::FAULT_KINDS) has the descriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// `stall`
    Stall,
    /// `fork[=BLOCK]`: the first block whose state differs. Without one, the fork starts with the
    /// first block made while the fault is active.
    Fork(Option<i64>),
    /// `minority-fork[=BLOCK]`: the last block, which is another than that of the network. Without
    /// one, the first block made while the fault is active.
    MinorityFork(Option<i64>),
    /// `frozen`
    Frozen,
    /// `isolate`
    Isolate,
    /// `unheard`
    Unheard,
    /// `duplicate-key`
    DuplicateKey,
    /// `ahead=DURATION`, in milliseconds.
    Ahead(i64),
    /// `late=DURATION`, in milliseconds.
    Late(i64),
    /// `lag=BLOCKS`
    Lag(i64),
    /// `recede=BLOCKS`
    Recede(i64),
    /// `restart=BLOCKS`
    Restart(i64),
    /// `claim=BLOCK`
    Claim(i64),
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
    /// `new-api`
    NewApi,
    /// `map-status`
    MapStatus,
    /// `low-stake`
    LowStake,
    /// `stake=CVM`, in copper.
    Stake(i64),
    /// `unregistered`
    Unregistered,
    /// `silent-stake`
    SilentStake,
    /// `half-dead`
    HalfDead,
    /// `http-500`
    Http500,
    /// `query-error=CODE`, without colon.
    QueryError(String),
    /// `busy`
    Busy,
    /// `tx-hang`
    TxHang,
    /// `tx-lose`
    TxLose,
    /// `tx-error=CODE`, without colon.
    TxError(String),
    /// `upgrade=AT`: when it takes effect, as time since the start of the network. Its peers are
    /// those that can execute it.
    Upgrade(Duration),
}

/// Longest duration that is accepted: 100 years, so that sums of durations cannot overflow.
const MAX_DURATION: Duration = Duration::from_secs(100 * 366 * 86_400);

impl FaultKind {
    /// Returns the name, without a value.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Fork(_) => "fork",
            Self::MinorityFork(_) => "minority-fork",
            Self::Isolate => "isolate",
            Self::Unheard => "unheard",
            Self::DuplicateKey => "duplicate-key",
            Self::Ahead(_) => "ahead",
            Self::Late(_) => "late",
            Self::Lag(_) => "lag",
            Self::Recede(_) => "recede",
            Self::Restart(_) => "restart",
            Self::Claim(_) => "claim",
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
            Self::NewApi => "new-api",
            Self::MapStatus => "map-status",
            Self::LowStake => "low-stake",
            Self::Stake(_) => "stake",
            Self::Unregistered => "unregistered",
            Self::SilentStake => "silent-stake",
            Self::HalfDead => "half-dead",
            Self::Http500 => "http-500",
            Self::QueryError(_) => "query-error",
            Self::Busy => "busy",
            Self::TxHang => "tx-hang",
            Self::TxLose => "tx-lose",
            Self::TxError(_) => "tx-error",
            Self::Frozen => "frozen",
            Self::Upgrade(_) => "upgrade",
        }
    }

    /// Returns the aspect of a peer that this kind determines.
    const fn aspect(&self) -> Aspect {
        match self {
            Self::Stall
            | Self::Recede(_)
            | Self::Restart(_)
            | Self::MinorityFork(_)
            | Self::Frozen => Aspect::Order,
            Self::LowStake | Self::Stake(_) => Aspect::Stake,
            Self::WrongKey | Self::DuplicateKey => Aspect::Key,
            Self::Tarpit
            | Self::Garbage
            | Self::HugeFrame
            | Self::HalfReply
            | Self::Refuse
            | Self::Reset => Aspect::Wire,
            Self::OldApi | Self::NewApi | Self::MapStatus => Aspect::Release,
            Self::HalfDead | Self::QueryError(_) | Self::Busy => Aspect::Queries,
            Self::TxHang | Self::TxLose | Self::TxError(_) => Aspect::Transactions,
            other => Aspect::Unshared(other.name()),
        }
    }

    /// Whether one peer cannot have both at the same time.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let prevents_answers =
            |kind: &Self| matches!(kind, Self::Tarpit | Self::Refuse | Self::Reset);
        let changes_answers = |kind: &Self| {
            matches!(
                kind,
                Self::Slow(_)
                    | Self::HalfDead
                    | Self::Http500
                    | Self::QueryError(_)
                    | Self::Busy
                    | Self::TxHang
                    | Self::TxLose
                    | Self::TxError(_)
            )
        };
        let forks = |kind: &Self| matches!(kind, Self::Fork(_) | Self::MinorityFork(_));
        self.aspect() == other.aspect()
            || (forks(self) && forks(other))
            || (prevents_answers(self) && changes_answers(other))
            || (prevents_answers(other) && changes_answers(self))
    }

    /// Parses `KIND[=VALUE]`.
    pub(super) fn parse(text: &str) -> Result<Self, FaultKindError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let blocks = |min: i64| {
            let value = value.unwrap_or_default();
            let blocks = value.parse().ok().filter(|blocks| *blocks >= min);
            blocks.ok_or_else(|| {
                FaultKindError::Value(format!(
                    "{value:?} is not a number of blocks of at least {min}; expected {name}=BLOCKS, \
                     such as {name}=40"
                ))
            })
        };
        let kind = match name {
            "fork" => Self::Fork(value.map(|_| blocks(0)).transpose()?),
            "minority-fork" => Self::MinorityFork(value.map(|_| blocks(0)).transpose()?),
            "late" => Self::Late(parse_ms(value)?),
            "ahead" => Self::Ahead(parse_ms(value)?),
            "lag" => Self::Lag(blocks(1)?),
            "restart" => Self::Restart(blocks(1)?),
            "claim" => Self::Claim(blocks(0)?),
            "stake" => Self::Stake(parse_stake(value.unwrap_or_default())?),
            "recede" => Self::Recede(blocks(1)?),
            "skew" => Self::Skew(parse_skew(value.unwrap_or_default())?),
            "slow" => Self::Slow(
                parse_duration(value.unwrap_or_default()).map_err(FaultKindError::Value)?,
            ),
            "upgrade" => Self::Upgrade(
                parse_duration(value.unwrap_or_default()).map_err(FaultKindError::Value)?,
            ),
            "query-error" => Self::QueryError(parse_error_code(name, value.unwrap_or_default())?),
            "tx-error" => Self::TxError(parse_error_code(name, value.unwrap_or_default())?),
            _ => {
                let without_value = [
                    Self::Stall,
                    Self::Isolate,
                    Self::Unheard,
                    Self::DuplicateKey,
                    Self::WrongGenesis,
                    Self::WrongKey,
                    Self::Tarpit,
                    Self::Garbage,
                    Self::HugeFrame,
                    Self::HalfReply,
                    Self::Refuse,
                    Self::Reset,
                    Self::OldApi,
                    Self::NewApi,
                    Self::MapStatus,
                    Self::LowStake,
                    Self::SilentStake,
                    Self::Unregistered,
                    Self::HalfDead,
                    Self::Http500,
                    Self::Busy,
                    Self::Frozen,
                    Self::TxHang,
                    Self::TxLose,
                ];
                let kind = without_value.into_iter().find(|kind| kind.name() == name);
                let kind = kind.ok_or_else(|| FaultKindError::Unknown(name.to_owned()))?;
                if value.is_some() {
                    return Err(FaultKindError::Value(format!(
                        "{name} takes no value; expected {name} alone"
                    )));
                }
                kind
            }
        };
        Ok(kind)
    }
}

/// Why a text is not a kind of fault.
pub(super) enum FaultKindError {
    /// There is no kind of this name.
    Unknown(String),
    /// The value is missing, superfluous or invalid: what is wrong, and what would be right.
    Value(String),
}

/// The aspect of a peer that a fault determines. Two faults of the same aspect contradict each
/// other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aspect {
    Order,
    Wire,
    Release,
    Queries,
    Transactions,
    Stake,
    Key,
    /// An aspect that only the kind of this name determines.
    Unshared(&'static str),
}

/// Parses a duration of at most [`MAX_DURATION`].
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is not a duration such as 5s or 1m 30s: {error}"))?;
    if duration > MAX_DURATION {
        return Err(format!("{text:?} is longer than 100 years"));
    }
    Ok(duration)
}

fn parse_ms(value: Option<&str>) -> Result<i64, FaultKindError> {
    let duration = parse_duration(value.unwrap_or_default());
    duration.map(to_ms).map_err(FaultKindError::Value)
}

fn parse_skew(text: &str) -> Result<i64, FaultKindError> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text),
    };
    let size = parse_duration(size).map_err(FaultKindError::Value)?;
    Ok(sign * to_ms(size))
}

fn to_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn parse_stake(text: &str) -> Result<i64, FaultKindError> {
    parse_cvm(text).ok_or_else(|| {
        FaultKindError::Value(format!(
            "{text:?} is not a stake of up to {MAX_STAKE_CVM} CVM; expected stake=CVM, such as stake=0.01"
        ))
    })
}

fn parse_error_code(name: &str, text: &str) -> Result<String, FaultKindError> {
    let text = text.strip_prefix(':').unwrap_or(text);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(is_allowed) {
        return Err(FaultKindError::Value(format!(
            "{text:?} is not an error code of 1 to 64 letters, digits, - and _; expected {name}=CODE, \
             such as {name}=JUICE"
        )));
    }
    Ok(text.to_owned())
}
