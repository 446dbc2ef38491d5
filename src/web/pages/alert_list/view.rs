//! Which alerts the page shows, as its address says.

use crate::alerting::{Alert, AlertSubject, RULES};
use crate::config::Severity;
use crate::history::{Event, EventKind};
use crate::web::pages::list_form::{
    query_string, take_each, unknown_parameter, unknown_value, wrong_value,
};
use crate::web::pages::period::Period;

/// Number of alerts on one page.
pub(super) const ROWS_PER_PAGE: usize = 100;

/// The parameters, in the order of the documentation.
const PARAMETERS: [&str; 9] = [
    "last", "from", "to", "peer", "network", "alert", "severity", "state", "page",
];

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlertState {
    Firing,
    Ended,
}

impl AlertState {
    pub(super) const ALL: [Self; 2] = [Self::Firing, Self::Ended];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Ended => "ended",
        }
    }
}

/// The parameters of the page. Empty texts and `None` filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AlertView {
    pub(super) period: Period,
    pub(super) peer: String,
    pub(super) network: String,
    /// Name of the alerts.
    pub(super) alert: String,
    pub(super) severity: Option<Severity>,
    pub(super) state: Option<AlertState>,
    /// Page number, from 0.
    pub(super) page: usize,
    /// Problem of the address.
    pub(super) errors: Vec<String>,
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject<'a> {
    alert: &'a str,
    severity: &'a str,
    peer: Option<&'a str>,
    network: Option<&'a str>,
    service: Option<&'a str>,
}

impl AlertView {
    /// Parses the query string of a URL.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut view = Self::default();
        view.errors = take_each(query, |name, value| view.take(name, value));
        view.errors.extend(view.period.problem());
        view
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.period.take(name, value)? || (value.is_empty() && PARAMETERS.contains(&name)) {
            return Ok(());
        }
        match name {
            "peer" => value.clone_into(&mut self.peer),
            "network" => value.clone_into(&mut self.network),
            "alert" => {
                if !RULES.iter().any(|rule| rule.name == value) {
                    let what = "the name of an alert; /runbooks/ lists them";
                    return Err(wrong_value(name, value, what));
                }
                value.clone_into(&mut self.alert);
            }
            "severity" => {
                let found = Severity::named(value);
                let names = || Severity::ALL.map(Severity::as_str);
                self.severity = Some(found.ok_or_else(|| unknown_value(name, value, names()))?);
            }
            "state" => {
                let found = AlertState::ALL.into_iter().find(|it| it.as_str() == value);
                let names = || AlertState::ALL.map(AlertState::as_str);
                self.state = Some(found.ok_or_else(|| unknown_value(name, value, names()))?);
            }
            "page" => {
                let page = value
                    .parse::<u32>()
                    .ok()
                    .and_then(|page| page.checked_sub(1));
                let page = page.and_then(|page| usize::try_from(page).ok());
                let what = "the number of a page; the first is 1";
                self.page = page.ok_or_else(|| wrong_value(name, value, what))?;
            }
            // Of the stream of a page that is not seen.
            "head" => {}
            _ => return Err(unknown_parameter(name, &PARAMETERS)),
        }
        Ok(())
    }

    /// Returns the query string with its question mark; empty for the default view.
    pub(super) fn query(&self) -> String {
        let page = match self.page {
            0 => String::new(),
            page => (page + 1).to_string(),
        };
        let others = [
            ("peer", self.peer.as_str()),
            ("network", &self.network),
            ("alert", &self.alert),
            ("severity", self.severity.map_or("", Severity::as_str)),
            ("state", self.state.map_or("", AlertState::as_str)),
            ("page", &page),
        ];
        query_string(&self.period, others)
    }

    /// Returns this view on another page.
    pub(super) fn on_page(&self, page: usize) -> Self {
        Self {
            page,
            ..self.clone()
        }
    }

    /// Whether it may leave out alerts.
    pub(super) fn is_filtered(&self) -> bool {
        !self.on_page(0).query().is_empty()
    }

    /// Whether it shows alerts about this, whenever they are.
    pub(super) fn is_about(&self, subject: &Subject<'_>) -> bool {
        let is = |wanted: &str, found: Option<&str>| wanted.is_empty() || found == Some(wanted);
        is(&self.peer, subject.peer)
            && is(&self.network, subject.network)
            && is(&self.alert, Some(subject.alert))
            && is(
                self.severity.map_or("", Severity::as_str),
                Some(subject.severity),
            )
    }
}

impl<'a> Subject<'a> {
    pub(super) fn of_alert(alert: &'a Alert) -> Self {
        let (peer, network, service) = match &alert.subject {
            AlertSubject::Peer { peer, network } => (Some(peer), Some(network), None),
            AlertSubject::Network { network } => (None, Some(network), None),
            AlertSubject::Service { service, network } => (None, Some(network), Some(service)),
            AlertSubject::Monitor => (None, None, None),
        };
        Self {
            alert: alert.rule.name,
            severity: alert.rule.severity.as_str(),
            peer: peer.map(String::as_str),
            network: network.map(String::as_str),
            service: service.map(String::as_str),
        }
    }

    /// Returns what the alert is about that begins or ends with an event.
    pub(super) fn of_event(event: &'a Event) -> Option<Self> {
        let (EventKind::AlertBegan {
            alertname,
            severity,
            service,
            ..
        }
        | EventKind::AlertEnded {
            alertname,
            severity,
            service,
            ..
        }) = &event.kind
        else {
            return None;
        };
        Some(Self {
            alert: alertname,
            severity,
            peer: event.peer.as_deref(),
            network: event.network.as_deref(),
            service: service.as_deref(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_parsed_and_formatted_back() {
        let query = "?last=24h&peer=sim-1&network=main&alert=ConvexPeerDown&severity=critical&state=ended&page=2";
        let view = AlertView::parse(query.strip_prefix('?'));
        assert_eq!(view.errors, [""; 0]);
        assert_eq!((view.query().as_str(), view.page), (query, 1));
        assert!(view.is_filtered() && !AlertView::default().on_page(3).is_filtered());
        let empty = "last=&from=&to=&peer=+&network=&alert=&severity=&state=&page=";
        assert_eq!(AlertView::parse(Some(empty)), AlertView::default());
    }

    #[test]
    fn wrong_parameters_are_errors_that_say_what_is_right() {
        for (query, expected) in [
            (
                "alert=PeerDown",
                "`alert` is \"PeerDown\", which is not the name of an alert; /runbooks/ lists them",
            ),
            (
                "severity=bad",
                "`severity` is \"bad\", which is not one of info, warning, critical",
            ),
            (
                "state=open",
                "`state` is \"open\", which is not one of firing, ended",
            ),
            (
                "page=0",
                "`page` is \"0\", which is not the number of a page; the first is 1",
            ),
            (
                "page=99999999999999999999",
                "`page` is \"99999999999999999999\", which is not the number of a page; the first is 1",
            ),
            (
                "kind=x",
                "there is no parameter \"kind\"; there are last, from, to, peer, network, alert, severity, state, page",
            ),
        ] {
            assert_eq!(AlertView::parse(Some(query)).errors, [expected], "{query}");
        }
        assert_eq!(
            AlertView::parse(Some("a=1&last=x")).errors.len(),
            2,
            "all of them"
        );
    }

    #[test]
    fn filters_choose_by_the_labels_of_an_alert() {
        let subject = Subject {
            alert: "ConvexPeerDown",
            severity: "critical",
            peer: Some("a"),
            network: Some("main"),
            service: None,
        };
        for (query, expected) in [
            ("", true),
            (
                "peer=a&network=main&severity=critical&alert=ConvexPeerDown",
                true,
            ),
            ("peer=b", false),
            ("network=test", false),
            ("severity=warning", false),
            ("alert=ConvexPeerLagging", false),
        ] {
            let view = AlertView::parse(Some(query));
            assert_eq!(view.is_about(&subject), expected, "{query}");
        }
    }
}
