//! Log lines about the active configuration.

use crate::config::{Capacity, Config, Cost, DescriptorLimit, Listen};

/// One line for `systemctl status`: numbers of peers and networks.
pub(super) fn summary(config: &Config) -> String {
    let (peers, networks) = (config.peers.len(), config.networks.len());
    format!("peers: {peers}, networks: {networks}")
}

/// Logs that monitoring starts, and the warnings about `config`.
pub(super) fn log_start(config: &Config, address: &Listen) {
    let page = config.url_at(address);
    tracing::info!(
        peers = config.peers.len(),
        networks = config.networks.len(),
        vantage = %config.vantage,
        mode = config.mode.as_str(),
        listen = %address,
        url = %page,
        "monitoring"
    );
    if page.starts_with("http") {
        tracing::info!("the web page is at {page}");
    }
    log_warnings(config, address);
}

/// Logs what is valid but unwise about `config`, listening at `address`.
pub(super) fn log_warnings(config: &Config, address: &Listen) {
    for warning in config.warnings.lines() {
        tracing::warn!("{warning}");
    }
    for warning in Capacity::of_config(config).warnings() {
        tracing::warn!("{warning}");
    }
    let exposure = config.web.exposure_warning(address);
    for warning in exposure.into_iter().chain(config.status_warning()) {
        tracing::warn!("{warning}");
    }
}

/// Logs whether the limit of file descriptors is enough for `config`, and what to change if not.
pub(super) fn log_descriptor_limit(config: &Config) {
    let cost = Cost::of(config, 0);
    let limit = DescriptorLimit::after_raise();
    let description = limit.describe_cost(&cost);
    if limit.allows(cost.descriptors) {
        tracing::info!("the configuration {description}");
    } else {
        tracing::warn!("the configuration {description}");
    }
}
