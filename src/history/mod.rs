//! History of peers: the last polls in memory, and summaries and events in a database of bounded
//! size. A slow or failing disk never delays monitoring.

mod agreement;
mod availability;
mod canary_changes;
mod db;
mod event;
mod event_log;
mod event_text;
mod evidence;
mod in_memory;
mod network_changes;
mod network_uptime;
mod peer_changes;
mod queries;
mod recent_polls;
mod recorder;
mod series;
mod summary;
mod time;
mod transcript;
mod uptime;
mod writer;

pub use agreement::AgreementSpan;
pub use availability::Bars;
pub use db::{
    FILE_NAME as DATABASE_FILE_NAME, HOURS_KEPT, MEMORY_BYTES, MINUTES_KEPT, ReadError, Resolution,
    StoreError,
};
pub use event::{Event, EventKind, Label, Moment, StateOfPeer};
pub use event_log::{EVENTS_KEPT, Subscription};
pub use evidence::{
    BlockEvidence, Bytes, Compared, Document, EvidenceError, EvidenceFile, EvidenceKeeper,
    EvidenceStore, Incident, Listing, OrderEvidence, Signatures, WalkEvidence, read_evidence,
};
pub use queries::Transcripts;
pub use recent_polls::{Outcome, POLLS_KEPT, Poll};
pub use recorder::{History, MAX_TRANSCRIBED_PEERS};
pub use series::{MAX_SERIES_POINTS, Point, Series};
pub use summary::{Latency, Summary};
pub use time::unix_millis;
pub use transcript::{
    ConnectPhase, EndpointTranscript, MAX_TRANSCRIPT_BYTES, Transcript, TranscriptAnswer,
};
pub use uptime::{Uptime, WINDOWS};
