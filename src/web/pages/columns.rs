//! The columns of the table of peers: which have anything to show, and how rows are ordered by
//! them.

use crate::fleet::{Condition, PeerRecord, Snapshot};

use super::view::Sort;

/// The clock of a peer is worth a column from this difference, in seconds.
const NOTABLE_SKEW: f64 = 0.5;

/// A column of the table of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Peer,
    Health,
    Vantages,
    Availability,
    Latency,
    Order,
    Lag,
    State,
    Stake,
    Clock,
    Certificate,
}

impl Column {
    const ALL: [Self; 11] = [
        Self::Peer,
        Self::Health,
        Self::Vantages,
        Self::Availability,
        Self::Latency,
        Self::Order,
        Self::Lag,
        Self::State,
        Self::Stake,
        Self::Clock,
        Self::Certificate,
    ];

    /// Returns its title. That of the availability names a time as well.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Peer => "Peer",
            Self::Health => "Health",
            Self::Vantages => "Other agents",
            Self::Availability => "Availability",
            Self::Latency => "Latency",
            Self::Order => "Order",
            Self::Lag => "Behind",
            Self::State => "State",
            Self::Stake => "Stake",
            Self::Clock => "Clock",
            Self::Certificate => "Certificate",
        }
    }

    /// Returns what explains the title; empty if nothing has to.
    pub(super) const fn note(self) -> &'static str {
        match self {
            Self::Order => "block → proposal → consensus → final → executed",
            _ => "",
        }
    }

    /// Returns by what it orders the rows.
    pub(super) const fn sort(self) -> Option<Sort> {
        match self {
            Self::Peer => Some(Sort::Name),
            Self::Health => Some(Sort::Severity),
            Self::Availability | Self::Vantages => None,
            Self::Latency => Some(Sort::Latency),
            Self::Order => Some(Sort::Order),
            Self::Lag => Some(Sort::Lag),
            Self::State => Some(Sort::State),
            Self::Stake => Some(Sort::Stake),
            Self::Clock => Some(Sort::Clock),
            Self::Certificate => Some(Sort::Certificate),
        }
    }

    /// Whether it has something to show about a peer.
    fn has_value(self, record: &PeerRecord, snapshot: &Snapshot) -> bool {
        let now = snapshot.now;
        match self {
            Self::Peer | Self::Health | Self::Availability | Self::Latency | Self::State => true,
            Self::Vantages => !snapshot.vantages.others.is_empty(),
            Self::Order => record.order(now).is_some(),
            Self::Lag => record.lag(now).is_some(),
            Self::Stake => record.stake.is_some(),
            Self::Clock => {
                let skew = record.clock(now).map(|clock| clock.skew.abs());
                record.conditions.contains(&Condition::ClockSkew)
                    || skew.is_some_and(|skew| skew >= NOTABLE_SKEW)
            }
            Self::Certificate => record
                .endpoints
                .iter()
                .any(|endpoint| endpoint.certificate.is_some()),
        }
    }
}

/// The columns that have something to show about any peer.
#[derive(Clone, Debug)]
pub(super) struct Columns(Vec<Column>);

impl Columns {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let shows = |column: &Column| {
            let mut peers = snapshot.peers.iter();
            peers.any(|record| column.has_value(record, snapshot))
        };
        Self(Column::ALL.into_iter().filter(shows).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Column> {
        self.0.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, column: Column) -> bool {
        self.0.contains(&column)
    }
}
