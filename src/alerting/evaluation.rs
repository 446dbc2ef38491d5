//! One evaluation of all rules: which alerts have a cause, and what is known of the subjects of
//! those that have none.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::config::{Role, Severity};
use crate::fleet::{LastPoll, NetworkSnapshot, PeerRecord};

use super::burn::PagedPeers;
use super::doubt::{keeps_no_time, without_doubtful};
use super::ended_by::EndedBy;
use super::input::{AlertCause, RuleInput};
use super::rules::{Predicate, RULES, Rule};
use super::subject::AlertSubject;

/// Identifies an alert: its subject, and the name and severity of its rule.
pub(super) type AlertKey = (AlertSubject, &'static str, Severity);

/// The result of one evaluation of all rules.
pub(super) struct Evaluation<'a> {
    input: RuleInput<'a>,
    /// Peers of this agent, by name and network.
    records: HashMap<(&'a str, &'a str), &'a PeerRecord>,
    /// Networks that this agent alerts on, by name.
    networks: HashMap<&'a str, &'a NetworkSnapshot>,
    /// Alerts with a cause.
    pub(super) causes: BTreeMap<AlertKey, AlertCause<'a>>,
    /// Alerts whose cause may be a problem of this host.
    doubtful: BTreeSet<AlertKey>,
    /// Subjects that the last polls say nothing about.
    unobserved: BTreeSet<AlertSubject>,
}

impl<'a> Evaluation<'a> {
    /// Evaluates all rules. `paged` are the peers whose outage explains that of their service.
    pub(super) fn run(input: RuleInput<'a>, paged: &PagedPeers) -> Self {
        let peers = input.snapshot.peers.iter().map(AsRef::as_ref);
        let mut evaluation = Self {
            input,
            records: peers
                .map(|record: &PeerRecord| {
                    (
                        (record.peer.name.as_str(), record.peer.network.as_str()),
                        record,
                    )
                })
                .collect(),
            networks: input
                .alertable_networks()
                .map(|network| (network.name.as_str(), network))
                .collect(),
            causes: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            unobserved: BTreeSet::new(),
        };
        for (record, network) in input.alertable_peers() {
            evaluation.add_peer(record, network);
        }
        for network in input.alertable_networks() {
            evaluation.add_network(network);
            evaluation.add_services(network, paged);
        }
        evaluation.add(
            || AlertSubject::Monitor,
            AlertCause::Monitor,
            |predicate| matches!(predicate, Predicate::Monitor(holds) if holds(input)),
            |_| true,
        );
        evaluation
    }

    fn add_peer(&mut self, record: &'a PeerRecord, network: &'a NetworkSnapshot) {
        let input = self.input;
        let subject = || AlertSubject::Peer {
            peer: record.peer.name.clone(),
            network: network.name.clone(),
        };
        if is_unobserved(record) {
            self.unobserved.insert(subject());
        }
        let holds_for = |record: &PeerRecord, predicate| matches!(predicate, Predicate::Peer(holds) if holds(record, network, input));
        let certain = without_doubtful(record, &input.snapshot.checks);
        self.add(
            subject,
            AlertCause::Peer(record),
            |predicate| holds_for(record, predicate),
            |predicate| certain.as_ref().is_none_or(|it| holds_for(it, predicate)),
        );
    }

    fn add_network(&mut self, network: &'a NetworkSnapshot) {
        let input = self.input;
        let subject = || AlertSubject::Network {
            network: network.name.clone(),
        };
        let mut own_peers = input.own_peers(network).peekable();
        let unobserved = own_peers.peek().is_some() && own_peers.all(is_unobserved);
        if unobserved {
            self.unobserved.insert(subject());
        }
        let nothing_new = unobserved || keeps_no_time(&input.snapshot.checks);
        self.add(
            subject,
            AlertCause::Network(network),
            |predicate| match predicate {
                Predicate::Network(holds)
                | Predicate::Absence(holds)
                | Predicate::Visibility(holds) => holds(network, input),
                Predicate::Peer(_) | Predicate::Service(_) | Predicate::Monitor(_) => false,
            },
            |predicate| !(nothing_new && matches!(predicate, Predicate::Absence(_))),
        );
    }

    fn add_services(&mut self, network: &'a NetworkSnapshot, paged: &PagedPeers) {
        let input = self.input;
        for (service, level) in &network.services {
            let subject = || AlertSubject::Service {
                service: service.clone(),
                network: network.name.clone(),
            };
            let mut peers = input.service_peers(network, service).peekable();
            let unobserved = peers.peek().is_some() && peers.all(is_unobserved);
            if unobserved {
                self.unobserved.insert(subject());
            }
            let nothing_new = unobserved || keeps_no_time(&input.snapshot.checks);
            self.add(
                subject,
                AlertCause::Service(network, level),
                |predicate| {
                    matches!(predicate, Predicate::Service(holds) if holds(network, level, input))
                        && !paged.explain(network, service, input)
                },
                |_| !nothing_new,
            );
        }
    }

    /// Adds a cause for each rule whose predicate holds and is certain.
    fn add(
        &mut self,
        subject: impl Fn() -> AlertSubject,
        cause: AlertCause<'a>,
        holds: impl Fn(Predicate) -> bool,
        is_certain: impl Fn(Predicate) -> bool,
    ) {
        for rule in RULES.iter().filter(|rule| holds(rule.predicate)) {
            let key = (subject(), rule.name, rule.severity);
            if is_certain(rule.predicate) {
                self.causes.insert(key, cause);
            } else {
                self.doubtful.insert(key);
            }
        }
    }

    /// Whether an alert without a certain cause stays as it is, because its cause may be a problem
    /// of this host, or the last polls say nothing about its subject.
    pub(super) fn is_frozen(&self, rule: &Rule, key: &AlertKey) -> bool {
        self.doubtful.contains(key) || (rule.needs_polls() && self.unobserved.contains(&key.0))
    }

    /// Returns why an alert about `subject` ends whatever its cause, if it does.
    pub(super) fn ended_by(&self, subject: &AlertSubject) -> Option<EndedBy> {
        match subject {
            AlertSubject::Peer { peer, network } => {
                match self.records.get(&(peer.as_str(), network.as_str())) {
                    Some(record) if record.in_maintenance(self.input.snapshot.wall) => {
                        Some(EndedBy::Maintenance)
                    }
                    Some(record) if record.peer.role == Role::Own => None,
                    _ => Some(EndedBy::Removed),
                }
            }
            AlertSubject::Network { network } => {
                (!self.networks.contains_key(network.as_str())).then_some(EndedBy::Removed)
            }
            AlertSubject::Service { .. } => {
                let wall = self.input.snapshot.wall;
                let mut peers = self.peers_of(subject).peekable();
                if peers.peek().is_none() {
                    return Some(EndedBy::Removed);
                }
                peers
                    .all(|record| record.in_maintenance(wall))
                    .then_some(EndedBy::Maintenance)
            }
            AlertSubject::Monitor => None,
        }
    }

    /// Returns the number of good polls that a subject has had.
    pub(super) fn good_polls(&self, subject: &AlertSubject) -> u64 {
        let good = |record: &PeerRecord| record.polls.saturating_sub(record.poll_failures);
        self.peers_of(subject).map(good).sum()
    }

    /// Whether the agent sees that an alert without a cause is over: a peer answers, and the
    /// verdict on a network says what the rule asks for. Until then the cause may only be out of
    /// sight.
    pub(super) fn sees_end(&self, rule: &Rule, subject: &AlertSubject) -> bool {
        let is_judged = |network: &str| {
            let network = self.networks.get(network);
            network.is_some_and(|network| (rule.is_judged)(network))
        };
        let answers = |record: &PeerRecord| record.answers(self.input.snapshot.now);
        !rule.needs_polls()
            || (self.peers_of(subject).any(answers)
                && match subject {
                    AlertSubject::Network { network } => is_judged(network),
                    AlertSubject::Peer { .. }
                    | AlertSubject::Service { .. }
                    | AlertSubject::Monitor => true,
                })
    }

    /// Returns the peer that an alert is about, or those of the network or service that it is
    /// about.
    fn peers_of(&self, subject: &AlertSubject) -> impl Iterator<Item = &'a PeerRecord> {
        let input = self.input;
        let of_network = |network: &str| self.networks.get(network).copied();
        let (peer, network, service) = match subject {
            AlertSubject::Peer { peer, network } => {
                let key = (peer.as_str(), network.as_str());
                (self.records.get(&key).copied(), None, None)
            }
            AlertSubject::Network { network } => (None, of_network(network), None),
            AlertSubject::Service { service, network } => {
                (None, of_network(network), Some(service.clone()))
            }
            AlertSubject::Monitor => (None, None, None),
        };
        let peers = network
            .into_iter()
            .flat_map(move |network| input.network_peers(network));
        let peers = peers.filter(move |record| {
            service.is_none() || record.peer.service_name() == service.as_deref()
        });
        peer.into_iter().chain(peers)
    }
}

/// Whether the last poll says nothing about the peer, or there was none yet.
fn is_unobserved(record: &PeerRecord) -> bool {
    matches!(record.last_poll, LastPoll::None | LastPoll::Excused)
}
