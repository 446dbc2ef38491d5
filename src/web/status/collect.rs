//! Collects the content of the status page from the agent. Nothing else leaves this module: the
//! result has public names, words of closed sets, times and numbers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::alerting::operator_actions::ActionKind;
use crate::alerting::{OperatorAction, OperatorActions};
use crate::config::active::ActiveConfig;
use crate::config::{Published, Status, Window};
use crate::fleet::{Evidence, Fleet, Health, LastPoll, NetworkVerdict, PeerRecord, Snapshot};
use crate::history::{EVENTS_KEPT, EventKind, History, unix_millis};
use crate::supervisor::liveness::{Liveness, Part};
use crate::web::AppState;

use super::availability;
use super::cause::Cause;
use super::incidents::{self, Outage, Present, Span, Subject};
use super::look;
use super::model::{
    Component, PublicBars, PublicIncident, PublicMaintenance, PublicNote, PublicStatus,
};
use super::notes::{self, Note, NoteRefused};
use super::state::State;

/// Most incidents and planned works that are shown.
const MAX_INCIDENTS: usize = 100;
const MAX_MAINTENANCE: usize = 20;

/// The parts of the agent that a status page is made of.
#[derive(Clone, Debug)]
pub(in crate::web) struct StatusSource {
    fleet: Arc<Fleet>,
    history: Arc<History>,
    actions: OperatorActions,
    liveness: Liveness,
    active_config: Arc<ActiveConfig>,
}

/// An incident as operators see it.
#[derive(Clone, Debug)]
pub(in crate::web) struct Incident {
    /// Identifies it; stays the same.
    pub(in crate::web) id: u64,
    pub(in crate::web) peer: Option<String>,
    pub(in crate::web) network: Option<String>,
    pub(in crate::web) note: Option<Note>,
    /// What the page shows of it.
    pub(in crate::web) public: PublicIncident,
}

/// Snapshot of everything that is published.
struct Moment {
    status: Arc<Status>,
    snapshot: Snapshot,
    at_ms: u64,
    subjects: HashMap<Subject, Present>,
    causes: HashMap<Subject, Cause>,
}

impl StatusSource {
    pub(in crate::web) fn new(state: &AppState) -> Self {
        Self {
            fleet: Arc::clone(&state.fleet),
            history: Arc::clone(&state.history),
            actions: state.actions.clone(),
            liveness: state.liveness.clone(),
            active_config: Arc::clone(&state.active_config),
        }
    }

    /// Returns what the page shows now; none if no page is configured.
    pub(in crate::web) async fn status(&self) -> Option<PublicStatus> {
        let moment = self.moment()?;
        let status = Arc::clone(&moment.status);
        let names = |published: &[Published]| -> Vec<String> {
            published.iter().map(|it| it.internal.clone()).collect()
        };
        let (history, wall) = (&self.history, moment.snapshot.wall);
        let mut peer_bars = availability::of_peers(history, &names(&status.peers), wall).await;
        let mut network_bars =
            availability::of_networks(history, &names(&status.networks), wall).await;
        let component =
            |published: &Published, subject: Subject, bars: Option<PublicBars>| Component {
                id: published.id.clone(),
                name: published.name.clone(),
                state: moment.state(&subject),
                cause: moment.causes.get(&subject).map(|it| it.words().to_owned()),
                bars,
            };
        let networks = status.networks.iter();
        let networks = networks.map(|it| {
            let bars = network_bars.remove(&it.internal);
            component(it, Subject::network(it), bars)
        });
        let peers = status.peers.iter();
        let peers = peers.map(|it| {
            let bars = peer_bars.remove(&it.internal);
            component(it, Subject::peer(it), bars)
        });
        let incidents = self.incidents_at(&moment).into_iter();
        let mut public = PublicStatus {
            title: status.title.clone(),
            description: status.description.clone(),
            at: moment.at_ms / 1000,
            is_stale: false,
            state: State::Unknown,
            summary: String::new(),
            networks: networks.collect(),
            peers: peers.collect(),
            maintenance: self.maintenance(&moment),
            incidents: incidents.map(|it| it.public).collect(),
            links: look::links(&status),
            theme: look::theme(&status.theme),
        };
        public.conclude();
        Some(public)
    }

    /// Returns the incidents of the page, the newest first; none if no page is configured.
    pub(in crate::web) fn incidents(&self) -> Option<Vec<Incident>> {
        Some(self.incidents_at(&self.moment()?))
    }

    /// Sets or removes the note on an incident, and waits until that is on disk.
    pub(in crate::web) async fn note(
        &self,
        id: u64,
        text: Option<&str>,
        created_by: &str,
    ) -> Result<Incident, NoteRefused> {
        notes::check(text, created_by)?;
        if !self.actions.are_kept() {
            return Err(NoteRefused::NotKept);
        }
        let find = || {
            let incidents = self.incidents().ok_or(NoteRefused::NoPage)?;
            let mut incidents = incidents.into_iter();
            let found = incidents.find(|it| it.id == id);
            found.ok_or(NoteRefused::NoSuchIncident(id))
        };
        let found = find()?;
        let event = EventKind::IncidentNoted {
            incident: id,
            text: text.map(str::to_owned),
            created_by: created_by.to_owned(),
        };
        let (peer, network) = (found.peer.as_deref(), found.network.as_deref());
        self.history.record_event_about(peer, network, event);
        if !self.history.save().await {
            tracing::warn!(
                id,
                "a note on an incident is not on disk yet; a crash would lose it"
            );
        }
        find()
    }

    fn moment(&self) -> Option<Moment> {
        let status = self.active_config.get().config.status.clone()?;
        let snapshot = self.fleet.snapshot();
        let stuck = self.liveness.stuck();
        let is_stuck = stuck.contains(&Part::Polling) || stuck.contains(&Part::Verdicts);
        let at_ms = unix_millis(snapshot.wall);
        let mut moment = Moment {
            at_ms,
            subjects: HashMap::new(),
            causes: HashMap::new(),
            snapshot,
            status: Arc::clone(&status),
        };
        let actions = self.actions.active();
        for published in &status.networks {
            let mut networks = moment.snapshot.networks.iter();
            let found = networks.find(|it| it.name == published.internal);
            let judged = match found {
                _ if is_stuck => (State::Unknown, None),
                Some(_) if network_maintenance(&actions, published).any(|it| it.is_at(at_ms)) => {
                    (State::Maintenance, None)
                }
                Some(network) => network_state(&network.verdict),
                None => (State::Unknown, None),
            };
            let network = Some(published.internal.clone());
            moment.add(Subject::network(published), judged, network, Vec::new());
        }
        for published in &status.peers {
            let mut peers = moment.snapshot.peers.iter();
            let found = peers.find(|it| it.peer.name == published.internal).cloned();
            let judged = match &found {
                Some(record) if !is_stuck => {
                    peer_state(record, moment.snapshot.now, moment.snapshot.wall)
                }
                _ => (State::Unknown, None),
            };
            let network = found.as_ref().map(|record| record.peer.network.clone());
            let windows = found.iter().flat_map(|record| &record.peer.maintenance);
            let planned = windows.map(span).collect();
            moment.add(Subject::peer(published), judged, network, planned);
        }
        Some(moment)
    }

    fn incidents_at(&self, moment: &Moment) -> Vec<Incident> {
        let events = self.history.events_since(0, EVENTS_KEPT);
        let mut outages = incidents::outages(&events, &moment.subjects, moment.at_ms);
        let mut notes = notes::notes(&events);
        let published = moment.published();
        let mut found: Vec<Incident> = published
            .flat_map(|(subject, name)| {
                let outages = outages.remove(&subject).unwrap_or_default();
                let network = moment.subjects[&subject].network.clone();
                outages
                    .into_iter()
                    .map(move |outage| (subject.clone(), network.clone(), name, outage))
            })
            .map(|(subject, network, name, outage)| {
                let note = notes.remove(&outage.id);
                Incident {
                    id: outage.id,
                    peer: match subject {
                        Subject::Peer(peer) => Some(peer),
                        Subject::Network(_) => None,
                    },
                    network,
                    public: public_incident(&outage, name, note.as_ref()),
                    note,
                }
            })
            .collect();
        found.sort_by_key(|it| std::cmp::Reverse((it.public.begins_at, it.id)));
        found.truncate(MAX_INCIDENTS);
        found
    }

    /// Returns planned work now and ahead, what begins and ends together as one.
    fn maintenance(&self, moment: &Moment) -> Vec<PublicMaintenance> {
        let mut planned: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
        let mut add = |name: &str, span: Span| {
            if span.end > moment.at_ms {
                let names = planned
                    .entry((span.begin / 1000, span.end / 1000))
                    .or_default();
                if !names.iter().any(|it| it == name) {
                    names.push(name.to_owned());
                }
            }
        };
        let actions = self.actions.active();
        for published in &moment.status.networks {
            for span in network_maintenance(&actions, published) {
                add(&published.name, span);
            }
        }
        for published in &moment.status.peers {
            let mut peers = moment.snapshot.peers.iter();
            let found = peers.find(|it| it.peer.name == published.internal);
            for window in found.iter().flat_map(|record| record.maintenance_windows()) {
                add(&published.name, span(window));
            }
        }
        let planned = planned.into_iter().take(MAX_MAINTENANCE);
        planned
            .map(|((begins_at, ends_at), components)| PublicMaintenance {
                components,
                begins_at,
                ends_at,
            })
            .collect()
    }
}

impl Subject {
    fn peer(published: &Published) -> Self {
        Self::Peer(published.internal.clone())
    }

    fn network(published: &Published) -> Self {
        Self::Network(published.internal.clone())
    }
}

impl Moment {
    fn add(
        &mut self,
        subject: Subject,
        (state, cause): (State, Option<Cause>),
        network: Option<String>,
        planned: Vec<Span>,
    ) {
        if let Some(cause) = cause {
            self.causes.insert(subject.clone(), cause);
        }
        let present = Present {
            network,
            state,
            planned,
        };
        self.subjects.insert(subject, present);
    }

    fn state(&self, subject: &Subject) -> State {
        let present = self.subjects.get(subject);
        present.map_or(State::Unknown, |present| present.state)
    }

    /// Returns what is published, with its public name.
    fn published(&self) -> impl Iterator<Item = (Subject, &str)> {
        let networks = self.status.networks.iter();
        let networks = networks.map(|it| (Subject::network(it), it.name.as_str()));
        let peers = self.status.peers.iter();
        networks.chain(peers.map(|it| (Subject::peer(it), it.name.as_str())))
    }
}

/// Returns the state of a peer, and why it is not better. A state without fresh evidence is
/// unknown.
fn peer_state(record: &PeerRecord, now: Instant, wall: SystemTime) -> (State, Option<Cause>) {
    let causes = record.conditions.iter().copied().filter_map(Cause::of);
    let cause = causes.min();
    if record.in_maintenance(wall) {
        return (State::Maintenance, None);
    }
    match (record.health, cause) {
        (Health::Up | Health::Degraded, _) if !record.answered_lately(now) => {
            (State::Unknown, None)
        }
        (Health::Up, _) | (Health::Degraded, None) => (State::Operational, None),
        (Health::Degraded, Some(cause)) => (State::Degraded, Some(cause)),
        (Health::Down, _) if record.last_poll == LastPoll::Excused => (State::Unknown, None),
        (Health::Down, cause) => (State::Down, Some(cause.unwrap_or(Cause::Unreachable))),
        (Health::Unknown, _) => (State::Unknown, None),
    }
}

/// Returns the state of a network, and why it is not better.
fn network_state(verdict: &NetworkVerdict) -> (State, Option<Cause>) {
    if verdict.split == Evidence::Proven {
        return (State::Down, Some(Cause::Split));
    }
    if verdict.is_reset == Evidence::Proven {
        return (State::Down, Some(Cause::Reset));
    }
    match verdict.is_working() {
        Some(false) => (State::Down, Some(Cause::Stalled)),
        None => (State::Unknown, None),
        Some(true) if verdict.difference.is_some() => (State::Degraded, Some(Cause::StatesDiffer)),
        Some(true) => (State::Operational, None),
    }
}

/// Returns when a network as a whole is in maintenance, now or later.
fn network_maintenance<'a>(
    actions: &'a [OperatorAction],
    network: &'a Published,
) -> impl Iterator<Item = Span> + 'a {
    let of_network = actions.iter().filter(|it| {
        it.kind == ActionKind::Maintenance
            && it.matchers.peer.is_none()
            && it.matchers.network.as_ref() == Some(&network.internal)
    });
    of_network.map(|it| Span {
        begin: unix_millis(it.starts_at),
        end: unix_millis(it.ends_at),
    })
}

fn span(window: &Window) -> Span {
    Span {
        begin: unix_millis(window.from),
        end: unix_millis(window.to),
    }
}

fn public_incident(outage: &Outage, name: &str, note: Option<&Note>) -> PublicIncident {
    let cause = outage.causes.first().copied().unwrap_or(Cause::Unreachable);
    PublicIncident {
        id: outage.id,
        component: name.to_owned(),
        state: outage.state,
        cause: cause.words().to_owned(),
        begins_at: outage.begin / 1000,
        ends_at: outage.end.map(|end| end / 1000),
        recurrences: outage.recurrences,
        note: note.map(|note| PublicNote {
            text: note.text.clone(),
            at: note.at / 1000,
        }),
    }
}
