//! Metrics of service levels, from one snapshot.

use crate::config::Slo;
use crate::fleet::{ServiceTime, Snapshot};

use super::catalogue::{self, Definition};
use super::peers::peer_labels;
use super::text_format::Writer;

/// Writes all families of services.
pub(super) fn write(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let mut each = |definition: &'static Definition, value: &dyn Fn(Slo, ServiceTime) -> f64| {
        writer.family(definition, |family| {
            for network in &snapshot.networks {
                for (service, level) in &network.services {
                    let labels = [
                        ("network", network.name.as_str()),
                        ("service", service.as_str()),
                    ];
                    family.sample(labels, value(network.slo, level.total));
                }
            }
        });
    };
    each(&catalogue::SERVICE_SECONDS, &|_, time| {
        time.known.as_secs_f64()
    });
    each(&catalogue::SERVICE_BAD_SECONDS, &|_, time| {
        time.bad.as_secs_f64()
    });
    each(&catalogue::SERVICE_OBJECTIVE, &|slo, _| {
        slo.objective_ratio()
    });
    each(&catalogue::SERVICE_WINDOW, &|slo, _| {
        slo.window.as_secs_f64()
    });
    writer.family(&catalogue::PEER_SERVICE_INFO, |family| {
        for record in &snapshot.peers {
            if let Some(service) = record.peer.service_name() {
                family.integer(peer_labels(record).chain([("service", service)]), 1);
            }
        }
    });
}
