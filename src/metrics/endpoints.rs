//! Metrics of peers' endpoints, from one snapshot.

use convex_client::{Transport, seconds_since_epoch};

use crate::config::Role;
use crate::failure::Reason;
use crate::fleet::{EndpointRecord, PeerRecord};

use super::catalogue::{self, Definition};
use super::peers::{View, peer_labels};
use super::text_format::{Family, Label, Writer};

/// Labels of an endpoint's series.
fn endpoint_labels<'a>(
    record: &'a PeerRecord,
    endpoint: &EndpointRecord,
) -> impl Iterator<Item = Label<'a>> + Clone {
    peer_labels(record).chain([("transport", endpoint.transport.as_str())])
}

/// The reasons that `transport` can fail with; each is a series from the start.
pub(super) fn possible_reasons(transport: Transport) -> impl Iterator<Item = Reason> {
    Reason::ALL
        .iter()
        .copied()
        .filter(move |reason| reason.possible_on(transport))
}

impl View<'_> {
    fn each_endpoint(
        self,
        writer: &mut Writer<'_>,
        definition: &'static Definition,
        fill: impl Fn(&mut Family<'_, '_>, &PeerRecord, &EndpointRecord),
    ) {
        self.each_peer(writer, definition, |family, record| {
            for endpoint in &record.endpoints {
                family.counting_since(self.full.then_some(endpoint.tally.since));
                fill(family, record, endpoint);
            }
        });
    }

    /// Writes the counters of polls.
    pub(super) fn write_probes(self, writer: &mut Writer<'_>) {
        self.each_endpoint(
            writer,
            &catalogue::PROBE_ATTEMPTS,
            |family, record, endpoint| {
                family.integer(endpoint_labels(record, endpoint), endpoint.tally.attempts);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_FAILURES,
            |family, record, endpoint| {
                if !self.full {
                    family.integer(
                        endpoint_labels(record, endpoint),
                        endpoint.tally.total_failures(),
                    );
                    return;
                }
                for reason in possible_reasons(endpoint.transport) {
                    let labels =
                        endpoint_labels(record, endpoint).chain([("reason", reason.as_str())]);
                    family.integer(labels, endpoint.tally.failed(reason));
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_RETRIES,
            |family, record, endpoint| {
                family.integer(endpoint_labels(record, endpoint), endpoint.tally.retries);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_RECONNECTS,
            |family, record, endpoint| {
                family.integer(endpoint_labels(record, endpoint), endpoint.tally.reconnects);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_REPLACED,
            |family, record, endpoint| {
                family.integer(endpoint_labels(record, endpoint), endpoint.tally.replaced);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_IGNORED,
            |family, record, endpoint| {
                family.integer(endpoint_labels(record, endpoint), endpoint.tally.ignored);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_DURATION,
            |family, record, endpoint| {
                family.latencies(
                    endpoint_labels(record, endpoint),
                    &endpoint.tally.latencies,
                    self.full,
                );
            },
        );
    }

    /// Writes times and sizes of each endpoint's last polls.
    pub(super) fn write_endpoint_details(self, writer: &mut Writer<'_>) {
        self.write_durations(writer);
        self.write_last_polls(writer);
    }

    fn write_durations(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        self.each_endpoint(
            writer,
            &catalogue::PROBE_REQUEST_DURATION,
            |family, record, endpoint| {
                for (request, took) in record
                    .timings(endpoint, now)
                    .iter()
                    .flat_map(|timings| timings.requests)
                {
                    if let Some(took) = took {
                        family.sample(
                            endpoint_labels(record, endpoint).chain([("request", request)]),
                            took.as_secs_f64(),
                        );
                    }
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_PHASE_DURATION,
            |family, record, endpoint| {
                let Some(timings) = record.timings(endpoint, now) else {
                    return;
                };
                let phases = timings.phases;
                for (phase, took) in [
                    ("resolve", phases.resolve),
                    ("connect", phases.connect),
                    ("tls", phases.tls),
                ] {
                    if let Some(took) = took {
                        family.sample(
                            endpoint_labels(record, endpoint).chain([("phase", phase)]),
                            took.as_secs_f64(),
                        );
                    }
                }
            },
        );
    }

    fn write_last_polls(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        self.each_endpoint(
            writer,
            &catalogue::PROBE_LAST_ATTEMPT,
            |family, record, endpoint| {
                if let Some(time) = endpoint.last_attempt {
                    family.sample(endpoint_labels(record, endpoint), seconds_since_epoch(time));
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_LAST_SUCCESS,
            |family, record, endpoint| {
                if let Some(time) = endpoint.last_success {
                    family.sample(endpoint_labels(record, endpoint), seconds_since_epoch(time));
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_CONSECUTIVE_FAILURES,
            |family, record, endpoint| {
                family.integer(
                    endpoint_labels(record, endpoint),
                    endpoint.consecutive_failures.into(),
                );
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_RESPONSE_BYTES,
            |family, record, endpoint| {
                if let Some(timings) = record.timings(endpoint, now) {
                    family.integer(
                        endpoint_labels(record, endpoint),
                        timings.response_bytes as u64,
                    );
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_TLS_NOT_AFTER,
            |family, record, endpoint| {
                if let Some(certificate) = &endpoint.certificate {
                    let ends = seconds_since_epoch(certificate.ends);
                    family.sample(peer_labels(record), ends);
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::ENDPOINT_INFO,
            |family, record, endpoint| {
                if self.full || record.peer.role == Role::Own {
                    let url = ("url", endpoint.url.as_str());
                    family.integer(endpoint_labels(record, endpoint).chain([url]), 1);
                }
            },
        );
    }
}
