//! What the host shows of peers beside the agent, as series.

use crate::sidecar::{ProcessReading, StoreReading};

use super::catalogue::{self, Definition};
use super::family::Writer;
use super::peers::{View, of};

impl View<'_> {
    /// Writes what the host shows of each peer, while fresh.
    pub(super) fn host(self, writer: &mut Writer<'_>) {
        self.process(writer);
        self.store(writer);
    }

    fn process(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        let sample = |writer: &mut Writer<'_>,
                      definition: &'static Definition,
                      value: fn(&ProcessReading) -> Option<f64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.process(now).and_then(value) {
                    family.sample(of(record), value);
                }
            });
        };
        let count = |writer: &mut Writer<'_>,
                     definition: &'static Definition,
                     value: fn(&ProcessReading) -> Option<u64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.process(now).and_then(value) {
                    family.count(of(record), value);
                }
            });
        };
        count(writer, &catalogue::PROCESS_UP, |it| {
            it.process_up.map(u64::from)
        });
        count(writer, &catalogue::RESIDENT_MEMORY, |it| {
            it.resident_memory_bytes
        });
        count(writer, &catalogue::ANONYMOUS_MEMORY, |it| {
            it.anonymous_memory_bytes
        });
        count(writer, &catalogue::MEMORY_LIMIT, |it| it.memory_limit_bytes);
        sample(writer, &catalogue::CPU_SECONDS, |it| it.cpu_seconds);
        count(writer, &catalogue::OPEN_FDS, |it| it.open_fds);
        count(writer, &catalogue::MAX_FDS, |it| it.max_fds);
        count(writer, &catalogue::THREADS, |it| it.threads);
        sample(writer, &catalogue::START_TIME, |it| it.start_time_seconds);
        count(writer, &catalogue::OOM_KILLS, |it| it.oom_kills);
    }

    fn store(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        let count = |writer: &mut Writer<'_>,
                     definition: &'static Definition,
                     value: fn(&StoreReading) -> Option<u64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.store(now).and_then(value) {
                    family.count(of(record), value);
                }
            });
        };
        count(writer, &catalogue::STORE_BYTES, |it| it.store_bytes);
        count(writer, &catalogue::STORE_AVAILABLE, |it| {
            it.store_filesystem_available_bytes
        });
        count(writer, &catalogue::STORE_SIZE, |it| {
            it.store_filesystem_size_bytes
        });
    }
}
