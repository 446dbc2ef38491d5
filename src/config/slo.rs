//! The service level that the operator's own peers of a network have to reach.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::error::Position;
use super::keys::SLO;
use super::peers::{Peer, Role};
use super::scalar::{DAY, TEN_YEARS, count, duration, percentage};
use super::section::Section;
use super::source::Reported;

/// Name of the service of own peers that name none.
const DEFAULT_SERVICE: &str = "default";
/// More than 99.999 % would allow 26 s in 30 days, less than agents can measure.
const OBJECTIVES: RangeInclusive<f64> = 50.0..=99.999;
const WINDOWS: RangeInclusive<Duration> = DAY..=TEN_YEARS;
/// Most peers that a service can be asked to have up.
const MAX_SERVING: u32 = 100_000;

/// The service level of each service of a network. A service is the operator's own peers with one
/// `service`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    /// Share of the time in which a service has to be served, in percent.
    pub objective_percent: f64,
    /// The time over which the objective has to be met.
    pub window: Duration,
    /// How many peers of a service have to be up for it to be served.
    pub serving_min: u32,
}

impl Default for Slo {
    fn default() -> Self {
        Self {
            objective_percent: 99.9,
            window: 30 * DAY,
            serving_min: 1,
        }
    }
}

impl Slo {
    /// Returns the objective as a ratio.
    #[must_use]
    pub fn objective_ratio(&self) -> f64 {
        // 99.9 / 100 is not 0.999, the number that operators compare with.
        (self.objective_percent * 1e7).round() / 1e9
    }
}

impl Peer {
    /// Returns the service that the peer is part of; `None` for a peer that is not the operator's.
    #[must_use]
    pub fn service_name(&self) -> Option<&str> {
        let service = self.service.as_deref().unwrap_or(DEFAULT_SERVICE);
        (self.role == Role::Own).then_some(service)
    }
}

/// Reads `slo` of a network, and where `serving_min` is set.
pub(super) fn slo(network: &Section) -> Result<(Slo, Option<Position>), Reported> {
    let default = Slo::default();
    let Some(section) = network.section("slo", &SLO)? else {
        return Ok((default, None));
    };
    let objective = section.read("objective", |value| percentage(value, OBJECTIVES));
    let window = section.read("window", |value| duration(value, WINDOWS));
    let serving_min = section.read("serving_min", |value| count(value, 1..=MAX_SERVING));
    let slo = Slo {
        objective_percent: objective?.unwrap_or(default.objective_percent),
        window: window?.unwrap_or(default.window),
        serving_min: serving_min?.unwrap_or(default.serving_min),
    };
    Ok((slo, section.value_position("serving_min")))
}

/// Returns why `slo` of the network `name` can never be met with these peers, if that is so.
pub(super) fn unreachable_minimum(slo: Slo, name: &str, peers: &[Arc<Peer>]) -> Option<String> {
    let mut services: BTreeMap<&str, usize> = BTreeMap::new();
    for peer in peers.iter().filter(|peer| peer.network == name) {
        if let Some(service) = peer.service_name() {
            *services.entry(service).or_default() += 1;
        }
    }
    let needed = slo.serving_min;
    let mut services = services.into_iter();
    let (service, size) = services.find(|(_, size)| *size < needed as usize)?;
    Some(format!(
        "{needed} is more than the service {service:?} has peers ({size}), so it would never be \
         served; lower it, or add peers with `role: own`"
    ))
}
