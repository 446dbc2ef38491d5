//! State of all watched peers: takes observations, gives snapshots. Sends no requests and knows no
//! presentation.

mod advertised_urls;
mod bounded;
mod canary;
mod clock_dispute;
mod consensus;
mod evidence;
mod excuses;
mod judge;
mod lock;
mod maintenance;
mod majority;
mod membership;
mod network;
mod observation;
mod observer;
mod opinions;
mod peer;
pub mod peer_json;
mod persist;
mod record;
mod rename;
mod sampling;
mod saved;
mod service;
mod slot;
mod snapshot;
mod wall_time;

pub use advertised_urls::Addresses;
pub(crate) use bounded::reserve_bounded;
#[cfg(test)]
pub(crate) use canary::tests as canary_example;
pub use canary::{
    CanaryFunds, CanaryPeer, CanaryProblem, CanaryRecord, CanaryResult, CanarySkip, CanaryStage,
    Executed, FAILED_ROUNDS, FAILING_PEERS, Seen,
};
pub use clock_dispute::ClockDispute;
#[cfg(test)]
pub(crate) use consensus::example;
pub use consensus::{
    BlocksRead, BlocksToRead, ConsensusIndex, ConsensusVerdict, DuplicateKey, Fork, ForkedBlock,
    Heard, Hearing, HearingCell, Histories, History, HistoryGrouping, LastBlock,
    MAX_BLOCKS_IN_ROUND, OrderComparison, PeerConsensus, Pending, Production, Round, Vote, Walk,
    WalkResult,
};
pub use evidence::Evidence;
use lock::lock;
pub use maintenance::MaintenanceWindow;
pub use membership::Fleet;
pub use network::agreement::{Agreement, Difference, RingVerdict, WeightedRing};
pub use network::genesis::NetworkReset;
pub use network::head::{HeadBasis, Lag};
pub use network::member::Comparison;
pub use network::record::QueryRecord;
pub use network::registration::Registration;
pub use network::registry::RegisteredStake;
pub use network::ring::{BlockState, BlockStateCounts, HashPrefix, Ring, Shown};
pub use network::stake::{Losable, Quorum, Stake, StakeClass};
pub use network::throughput::{Throughput, ThroughputSource};
pub use network::upgrades::{MAX_PENDING_UPGRADES, PendingUpgrade, ProtocolVerdict, Readiness};
pub use network::verdict::{Compared, NetworkVerdict, StateDifference};
pub use observation::{EndpointObservation, Observation};
pub use observer::PollObserver;
pub use opinions::acknowledged::{Acknowledged, AcknowledgedAlert};
pub use opinions::firing::FiringAlert;
pub use opinions::on_network::{Absence, NetworkConclusion};
pub use opinions::on_peer::{PeerConclusion, Place};
pub use opinions::opinion::{ImplausibleOpinion, NetworkOpinion, Opinion, PeerOpinion, Proof};
pub(crate) use opinions::reached::reached_stake_ratio;
pub use opinions::vantages::{OtherVantage, ReceivedOpinion, Vantages};
pub use peer::PeerRecord;
pub use peer::condition::Condition;
pub use peer::endpoint::{EndpointRecord, Timings};
pub use peer::flapping::RecentPolls;
pub use peer::health::{Health, Streak};
pub use peer::identity::{Identity, Pins};
pub use peer::last_poll::LastPoll;
pub use peer::order::{OrderState, OrderWatch};
pub use peer::provenance::{Measurement, Provenance};
pub use peer::tally::{BUCKETS_SECONDS, LatencyHistogram, Tally};
pub use rename::Rename;
pub use sampling::Comparable;
pub use saved::{
    ConfiguredIdentity, SavedCertificate, SavedEndpoint, SavedFleet, SavedOrder, SavedPeer,
    SavedRegistrations, UnixMillis,
};
pub use service::{ServiceLevel, ServiceTime};
pub use slot::Slot;
pub use snapshot::{NetworkSnapshot, Snapshot};
