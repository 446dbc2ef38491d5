//! Reports alerts that begin and end: to the log and to their recorders.

use super::subject::AlertSubject;
use super::tracker::Alert;

/// Is called with each alert that begins or ends.
pub type TransitionReport = dyn Fn(&Alert) + Send + Sync;

pub(super) fn log(alert: &Alert) {
    let name = alert.rule.name;
    let (peer, network) = match &alert.subject {
        AlertSubject::Peer { peer, network } => (Some(peer.as_str()), Some(network.as_str())),
        AlertSubject::Network { network } | AlertSubject::Service { network, .. } => {
            (None, Some(network.as_str()))
        }
        AlertSubject::Monitor => (None, None),
    };
    if alert.ends_at.is_some() {
        tracing::info!(
            alertname = name,
            peer.name = peer,
            peer.network = network,
            ended_by = alert.ended_by.as_ref().map(ToString::to_string),
            "alert resolved"
        );
    } else {
        tracing::warn!(
            alertname = name, peer.name = peer, peer.network = network,
            description = %alert.description, "alert firing"
        );
    }
}
