//! What the status page shows, as the API and `status.json` have it. Everything in it is public.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::state::State;

/// Names listed in the summary; of more there is only their number.
const MAX_NAMES: usize = 3;

/// All that the status page shows. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublicStatus {
    /// Heading of the page.
    pub title: String,
    /// A sentence below the heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When all this was so.
    pub at: u64,
    /// Whether the monitor did not answer when this was written: then no state is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_stale: bool,
    /// The worst state of all parts.
    pub state: State,
    /// The state in one sentence.
    pub summary: String,
    /// The published networks.
    pub networks: Vec<Component>,
    /// The published peers.
    pub peers: Vec<Component>,
    /// Maintenance now and ahead, the first to begin first.
    pub maintenance: Vec<PublicMaintenance>,
    /// Incidents of the last 90 days, the newest first.
    pub incidents: Vec<PublicIncident>,
    /// Links at the end of the page.
    pub links: Vec<PublicLink>,
    /// Colours and logo.
    pub theme: PublicTheme,
}

/// A published peer or network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Component {
    /// Names its badge, `badge/ID.svg`.
    pub id: String,
    /// Its public name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Why it is degraded or down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Its availability; absent while the history cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bars: Option<PublicBars>,
}

/// The availability of a peer or network: of each hour or day how many seconds it was up, down and
/// in maintenance. The rest was not monitored. The last bar is the current hour or day, in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicBars {
    /// The last 24 hours, the oldest first.
    #[schema(value_type = Vec<Vec<u32>>)]
    pub hours: Vec<[u32; 3]>,
    /// The last 90 days, the oldest first.
    #[schema(value_type = Vec<Vec<u32>>)]
    pub days: Vec<[u32; 3]>,
}

/// Planned work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicMaintenance {
    /// Public names of what is worked on.
    pub components: Vec<String>,
    /// When it begins.
    pub begins_at: u64,
    /// When it ends.
    pub ends_at: u64,
}

/// A time in which something was degraded or down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicIncident {
    /// Identifies it; stays the same.
    #[schema(maximum = 9_007_199_254_740_992_i64)]
    pub id: u64,
    /// Public name of what it is about.
    pub component: String,
    /// `degraded`, or `down` if it ever was.
    pub state: State,
    /// Why, in words for the public.
    pub cause: String,
    /// When it began.
    pub begins_at: u64,
    /// When it ended; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<u64>,
    /// How many times it came back within minutes, and is one incident for that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recurrences: u32,
    /// What the operator says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<PublicNote>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde wants"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What the operator says about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicNote {
    /// The text.
    pub text: String,
    /// When it was written.
    pub at: u64,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicLink {
    /// What it says.
    pub text: String,
    /// Where it leads.
    pub url: String,
}

/// How the page looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicTheme {
    /// Colours for visitors who prefer light pages.
    pub light: PublicPalette,
    /// Colours for visitors who prefer dark pages.
    pub dark: PublicPalette,
    /// The logo as a `data:` URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo: Option<String>,
}

/// Colours, such as `#0757ba`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicPalette {
    /// Behind everything.
    pub background: String,
    /// Of texts.
    pub text: String,
    /// Of less important texts.
    pub quiet: String,
    /// Of lines between parts.
    pub line: String,
    /// Of links.
    pub accent: String,
    /// Of what is all right.
    pub up: String,
    /// Of what is degraded.
    pub degraded: String,
    /// Of what is down.
    pub down: String,
}

impl PublicStatus {
    /// Returns the published networks and peers.
    pub fn components(&self) -> impl Iterator<Item = &Component> {
        self.networks.iter().chain(&self.peers)
    }

    /// Forgets all states, because the monitor does not answer. History stays.
    #[must_use]
    pub fn gone_stale(mut self) -> Self {
        self.is_stale = true;
        for component in self.networks.iter_mut().chain(&mut self.peers) {
            component.state = State::Unknown;
            component.cause = None;
        }
        self.conclude();
        self
    }

    /// Sums up the states.
    pub(super) fn conclude(&mut self) {
        let worst = self.components().map(|it| it.state).max();
        self.state = worst.unwrap_or(State::Unknown);
        self.summary = self.sentence();
    }

    fn sentence(&self) -> String {
        let all = self.components().count();
        let parts = [
            State::Down,
            State::Degraded,
            State::Unknown,
            State::Maintenance,
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .map(|state| {
                let parts = self.components().filter(|it| it.state == state);
                let names: Vec<&str> = parts.map(|it| it.name.as_str()).collect();
                (state, names)
            })
            .filter(|(_, names)| !names.is_empty())
            .enumerate()
            .map(|(i, (state, names))| part(state, &names, all, i == 0))
            .collect();
        if parts.is_empty() {
            return "Everything is operational.".to_owned();
        }
        parts.join("; ") + "."
    }
}

/// Returns which parts have a state. Names are never capitalised.
fn part(state: State, names: &[&str], all: usize, is_first: bool) -> String {
    let is_all = names.len() == all && all > 1;
    let subject = match names {
        _ if is_all && is_first && state != State::Unknown => "Everything".to_owned(),
        _ if is_all => "everything".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] if names.len() <= MAX_NAMES => {
            format!("{} and {last}", first.join(", "))
        }
        _ => format!("{} of {all}", names.len()),
    };
    let verb = if is_all || names.len() == 1 {
        "is"
    } else {
        "are"
    };
    match state {
        State::Unknown => {
            let article = if is_first { "The" } else { "the" };
            format!("{article} state of {subject} is not known at the moment")
        }
        State::Maintenance => format!("{subject} {verb} under maintenance"),
        _ => format!("{subject} {verb} {}", state.as_str()),
    }
}
