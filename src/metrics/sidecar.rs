//! Metrics that a sidecar agent reads from the peer's host, from one snapshot.

use crate::sidecar::{ProcessReading, StoreReading};

use super::catalogue::{self, Definition};
use super::peers::{View, peer_labels};
use super::text_format::Writer;

impl View<'_> {
    /// Writes the readings of each peer's host that are not outdated.
    pub(super) fn write_sidecar(self, writer: &mut Writer<'_>) {
        self.write_process(writer);
        self.write_store(writer);
    }

    fn write_process(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        let sample = |writer: &mut Writer<'_>,
                      definition: &'static Definition,
                      value: fn(&ProcessReading) -> Option<f64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.process(now).and_then(value) {
                    family.sample(peer_labels(record), value);
                }
            });
        };
        let integer = |writer: &mut Writer<'_>,
                       definition: &'static Definition,
                       value: fn(&ProcessReading) -> Option<u64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.process(now).and_then(value) {
                    family.integer(peer_labels(record), value);
                }
            });
        };
        integer(writer, &catalogue::PROCESS_UP, |reading| {
            reading.process_up.map(u64::from)
        });
        integer(writer, &catalogue::RESIDENT_MEMORY, |reading| {
            reading.resident_memory_bytes
        });
        integer(writer, &catalogue::ANONYMOUS_MEMORY, |reading| {
            reading.anonymous_memory_bytes
        });
        integer(writer, &catalogue::MEMORY_LIMIT, |reading| {
            reading.memory_limit_bytes
        });
        sample(writer, &catalogue::CPU_SECONDS, |reading| {
            reading.cpu_seconds
        });
        integer(writer, &catalogue::OPEN_FDS, |reading| reading.open_fds);
        integer(writer, &catalogue::MAX_FDS, |reading| reading.max_fds);
        integer(writer, &catalogue::THREADS, |reading| reading.threads);
        sample(writer, &catalogue::START_TIME, |reading| {
            reading.start_time_seconds
        });
        integer(writer, &catalogue::OOM_KILLS, |reading| reading.oom_kills);
    }

    fn write_store(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        let integer = |writer: &mut Writer<'_>,
                       definition: &'static Definition,
                       value: fn(&StoreReading) -> Option<u64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.store(now).and_then(value) {
                    family.integer(peer_labels(record), value);
                }
            });
        };
        integer(writer, &catalogue::STORE_BYTES, |reading| {
            reading.store_bytes
        });
        integer(writer, &catalogue::STORE_AVAILABLE, |reading| {
            reading.store_filesystem_available_bytes
        });
        integer(writer, &catalogue::STORE_SIZE, |reading| {
            reading.store_filesystem_size_bytes
        });
    }
}
