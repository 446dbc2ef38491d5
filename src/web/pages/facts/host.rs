//! What a sidecar agent measures on the peer's host: its process, its JVM and its store.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::fleet::Measurement;
use crate::web::pages::format::{Markup, bytes, count, sanitize};

use super::{Entry, PeerFacts};

impl PeerFacts<'_> {
    pub(super) fn process(&self) -> Vec<Entry> {
        let Some(process) = self.record.process(self.snapshot.now) else {
            return Vec::new();
        };
        let source = &self.host_source(Measurement::Process);
        let mut entries = Vec::new();
        if let Some(up) = process.process_up {
            let value = match (up, process.pid) {
                (true, Some(pid)) => format!("yes, id {pid}"),
                (true, None) => "yes".to_owned(),
                (false, _) => "no".to_owned(),
            };
            entries.push(Entry::new("Running", value, source).problem_if(!up));
        }
        let mut add = |name, value: Option<String>| {
            entries.extend(value.map(|value| Entry::new(name, value, source)));
        };
        let started = process
            .start_time_seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|since_epoch| SystemTime::UNIX_EPOCH.checked_add(since_epoch));
        add("Started", started.map(|at| self.utc(at)));
        let resident = process.resident_memory_bytes.map(bytes);
        add(
            "Memory",
            resident.map(|size| format!("{size}, mapped files included")),
        );
        add("Private memory", process.anonymous_memory_bytes.map(bytes));
        add("Memory limit", process.memory_limit_bytes.map(bytes));
        add(
            "Processor time",
            process.cpu_seconds.map(|seconds| format!("{seconds:.1} s")),
        );
        add("Threads", process.threads.map(count));
        let descriptors = process.open_fds.map(|open| match process.max_fds {
            Some(max) => format!("{} of {}", count(open), count(max)),
            None => count(open),
        });
        add("File descriptors", descriptors);
        add("OOM kills", process.oom_kills.map(count));
        let connections = process.connections.as_ref().map(|ports| {
            let of_port = |(port, open): (&u16, &u64)| format!("{} on port {port}", count(*open));
            ports.iter().map(of_port).collect::<Vec<_>>().join(", ")
        });
        add("Connections", connections.filter(|it| !it.is_empty()));
        if let Some(jvm) = &process.jvm {
            let heap = jvm.heap_used_bytes.zip(jvm.heap_max_bytes);
            let heap = heap.map(|(used, max)| format!("{} of {}", bytes(used), bytes(max)));
            add("Heap in use", heap);
            let collections = jvm.collections.iter().map(|it| {
                let (what, times) = (it.collector.as_str(), count(it.count));
                format!("{what} {times}, {:.1} s", it.pause_seconds)
            });
            let collections = collections.collect::<Vec<_>>().join("; ");
            add(
                "Garbage collections",
                Some(collections).filter(|it| !it.is_empty()),
            );
        }
        entries.extend(unavailable(&process.unavailable, source));
        entries
    }

    pub(super) fn store(&self) -> Vec<Entry> {
        let Some(store) = self.record.store(self.snapshot.now) else {
            return Vec::new();
        };
        let source = &self.host_source(Measurement::Store);
        let mut entries = Vec::new();
        if let Some(size) = store.store_bytes {
            entries.push(Entry::new("Size", bytes(size), source));
        }
        if let Some(available) = store.store_filesystem_available_bytes {
            let total = store
                .store_filesystem_size_bytes
                .map(|size| format!(" of {}", bytes(size)));
            let value = bytes(available) + &total.unwrap_or_default();
            entries.push(Entry::new("Free on its disk", value, source));
        }
        entries.extend(unavailable(&store.unavailable, source));
        entries
    }

    fn host_source(&self, fact: Measurement) -> Markup {
        let Markup(source) = self.source(fact, "", "");
        Markup(source.replace("this monitor", "this host"))
    }
}

/// Returns the values that the host does not provide, with the reasons.
fn unavailable(reasons: &BTreeMap<&'static str, String>, source: &Markup) -> Vec<Entry> {
    let entry = |(name, reason): (&&'static str, &String)| {
        Entry::new("Not known", format!("{name}: {}", sanitize(reason)), source)
    };
    reasons.iter().map(entry).collect()
}
