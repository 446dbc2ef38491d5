//! Metrics that a sidecar agent reads from the peer's host, from one snapshot.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::fleet::PeerRecord;
use crate::sidecar::{JvmReading, ProcessReading, StoreReading};

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
                family.counting_since(process_start(record, now));
                if let Some(value) = record.process(now).and_then(value) {
                    family.sample(peer_labels(record), value);
                }
            });
        };
        let integer = |writer: &mut Writer<'_>,
                       definition: &'static Definition,
                       value: fn(&ProcessReading) -> Option<u64>| {
            self.each_peer(writer, definition, |family, record| {
                family.counting_since(None); // the only counter is of the cgroup
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
        self.each_peer(writer, &catalogue::CONNECTIONS, |family, record| {
            let process = record.process(now);
            let ports = process.and_then(|process| process.connections.as_ref());
            for (port, count) in ports.into_iter().flatten() {
                let port = port.to_string();
                family.integer(peer_labels(record).chain([("port", port.as_str())]), *count);
            }
        });
        self.write_jvm(writer);
    }

    fn write_jvm(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        let heap = |writer: &mut Writer<'_>,
                    definition: &'static Definition,
                    value: fn(&JvmReading) -> Option<u64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = jvm(record, now).and_then(value) {
                    family.integer(peer_labels(record), value);
                }
            });
        };
        heap(writer, &catalogue::JVM_HEAP_USED, |jvm| jvm.heap_used_bytes);
        heap(writer, &catalogue::JVM_HEAP_CAPACITY, |jvm| {
            jvm.heap_capacity_bytes
        });
        heap(writer, &catalogue::JVM_HEAP_MAX, |jvm| jvm.heap_max_bytes);
        self.each_peer(writer, &catalogue::JVM_COLLECTIONS, |family, record| {
            family.counting_since(process_start(record, now));
            for it in jvm(record, now)
                .into_iter()
                .flat_map(|jvm| &jvm.collections)
            {
                let collector = ("collector", it.collector.as_str());
                family.integer(peer_labels(record).chain([collector]), it.count);
            }
        });
        self.each_peer(writer, &catalogue::JVM_PAUSES, |family, record| {
            family.counting_since(process_start(record, now));
            for it in jvm(record, now)
                .into_iter()
                .flat_map(|jvm| &jvm.collections)
            {
                let collector = ("collector", it.collector.as_str());
                family.sample(peer_labels(record).chain([collector]), it.pause_seconds);
            }
        });
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

/// Returns when the peer's process started, and with it its counters.
fn process_start(record: &PeerRecord, now: Instant) -> Option<SystemTime> {
    let seconds = record.process(now)?.start_time_seconds?;
    Some(UNIX_EPOCH + Duration::try_from_secs_f64(seconds).ok()?)
}

/// Returns the reading of the peer's JVM that is not outdated.
fn jvm(record: &PeerRecord, now: Instant) -> Option<&JvmReading> {
    record.process(now)?.jvm.as_ref()
}
