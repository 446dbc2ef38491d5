//! Which events the page shows, as its address says.

use crate::history::{Event, EventKind};
use crate::web::pages::list_form::{
    query_string, take_each, unknown_parameter, unknown_value, wrong_value,
};
use crate::web::pages::period::{Bounds, Period};

use super::kind::Change;

/// The parameters, in the order of the documentation.
const PARAMETERS: [&str; 8] = [
    "last", "from", "to", "peer", "network", "kind", "change", "before",
];

/// The parameters of the page. Empty texts and `None` filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EventView {
    pub(super) period: Period,
    pub(super) peer: String,
    pub(super) network: String,
    /// Name of the kind.
    pub(super) kind: String,
    pub(super) change: Option<Change>,
    /// The page begins with the event before the one with this id.
    pub(super) before: Option<u64>,
    /// Problem of the address.
    pub(super) errors: Vec<String>,
}

impl EventView {
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
            "kind" => {
                if !EventKind::NAMES.contains(&value) {
                    return Err(unknown_value(name, value, EventKind::NAMES));
                }
                value.clone_into(&mut self.kind);
            }
            "change" => {
                let found = Change::ALL.into_iter().find(|it| it.as_str() == value);
                let names = || Change::ALL.map(Change::as_str);
                self.change = Some(found.ok_or_else(|| unknown_value(name, value, names()))?);
            }
            "before" => {
                let id = value.parse().ok();
                let what = "the id of an event";
                self.before = Some(id.ok_or_else(|| wrong_value(name, value, what))?);
            }
            // Of the stream of a page that is not seen.
            "head" => {}
            _ => return Err(unknown_parameter(name, &PARAMETERS)),
        }
        Ok(())
    }

    /// Returns the query string with its question mark; empty for the default view.
    pub(super) fn query(&self) -> String {
        let before = self.before.map(|id| id.to_string()).unwrap_or_default();
        let others = [
            ("peer", self.peer.as_str()),
            ("network", &self.network),
            ("kind", &self.kind),
            ("change", self.change.map_or("", Change::as_str)),
            ("before", &before),
        ];
        query_string(&self.period, others)
    }

    /// Returns this view from the event before the one with this id on.
    pub(super) fn before(&self, before: Option<u64>) -> Self {
        Self {
            before,
            ..self.clone()
        }
    }

    /// Whether it may leave out events.
    pub(super) fn is_filtered(&self) -> bool {
        !self.before(None).query().is_empty()
    }

    /// Whether an event is among those of all pages.
    pub(super) fn matches(&self, event: &Event, bounds: Bounds) -> bool {
        let is = |wanted: &str, found: Option<&str>| wanted.is_empty() || found == Some(wanted);
        is(&self.peer, event.peer.as_deref())
            && is(&self.network, event.network.as_deref())
            && is(&self.kind, Some(event.kind.name()))
            && self
                .change
                .is_none_or(|change| change == Change::of(&event.kind))
            && bounds.contain(event.at())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn an_address_is_parsed_and_formatted_back() {
        let query = "?from=2026-01-31&to=2026-02-01T12%3A00&peer=sim-1&network=main&kind=alert_began&change=worse&before=7";
        let view = EventView::parse(query.strip_prefix('?'));
        assert_eq!(view.errors, [""; 0]);
        assert_eq!((view.query().as_str(), view.before), (query, Some(7)));
        assert!(view.is_filtered() && !EventView::default().before(Some(7)).is_filtered());
        let empty = "last=&from=&to=&peer=&network=&kind=&change=&before=&head=";
        assert_eq!(EventView::parse(Some(empty)), EventView::default());
    }

    #[test]
    fn wrong_parameters_are_errors_that_say_what_is_right() {
        for (query, expected) in [
            (
                "change=bad",
                "`change` is \"bad\", which is not one of worse, better, neither",
            ),
            (
                "before=-1",
                "`before` is \"-1\", which is not the id of an event",
            ),
            (
                "page=2",
                "there is no parameter \"page\"; there are last, from, to, peer, network, kind, change, before",
            ),
        ] {
            assert_eq!(EventView::parse(Some(query)).errors, [expected], "{query}");
        }
        let errors = EventView::parse(Some("kind=x&last=soon")).errors;
        assert!(
            errors.len() == 2 && errors[0].contains("not one of health_changed, "),
            "{errors:?}"
        );
    }

    #[test]
    fn filters_choose_by_subject_kind_change_and_time() {
        let event = Event {
            id: 1,
            at_ms: 1_000_000_000,
            peer: Some("a".to_owned()),
            network: Some("main".to_owned()),
            kind: EventKind::RestartInferred,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_060);
        for (query, expected) in [
            ("", true),
            (
                "peer=a&network=main&kind=restart_inferred&change=neither&last=1m",
                true,
            ),
            ("peer=b", false),
            ("network=test", false),
            ("kind=key_changed", false),
            ("change=worse", false),
            ("last=59s", false),
            ("to=1970-01-12T13:46:39", false),
            ("from=1970-01-12T13:46:40", true),
        ] {
            let view = EventView::parse(Some(query));
            let bounds = view.period.bounds(now);
            assert_eq!(view.matches(&event, bounds), expected, "{query}");
        }
    }
}
