//! The links at the top of every page.

use crate::alerting::Alert;
use crate::config::Severity;
use crate::web::AppState;

use super::format::Markup;

/// Where a page belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Fleet,
    Alerts,
    Events,
    Networks,
    Configuration,
    Runbooks,
}

impl Place {
    const ALL: [Self; 6] = [
        Self::Fleet,
        Self::Alerts,
        Self::Events,
        Self::Networks,
        Self::Configuration,
        Self::Runbooks,
    ];

    /// Returns the text of its link.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fleet => "Fleet",
            Self::Alerts => "Alerts",
            Self::Events => "Events",
            Self::Networks => "Networks",
            Self::Configuration => "Configuration",
            Self::Runbooks => "Runbooks",
        }
    }

    /// Returns the path of its first page, below the prefix.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Fleet => "/",
            Self::Alerts => "/alerts",
            Self::Events => "/events",
            Self::Networks => "/networks",
            Self::Configuration => "/configuration",
            Self::Runbooks => "/runbooks/",
        }
    }

    /// Whether the number of firing alerts stands in its link.
    pub(super) fn has_count(self) -> bool {
        self == Self::Alerts
    }
}

/// A link at the top of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) place: Place,
    /// Whether the page belongs there.
    pub(super) is_current: bool,
}

/// Returns the links, none of them current. The page of all networks makes sense only for several.
pub(super) fn links(state: &AppState) -> Vec<Link> {
    let several = state.active_config.get().config.networks.len() > 1;
    let places = Place::ALL.into_iter();
    let shown = places.filter(|place| several || *place != Place::Networks);
    shown
        .map(|place| Link {
            place,
            is_current: false,
        })
        .collect()
}

/// Draws the number of alerts that fire; nothing if none does.
pub(super) fn alert_count(state: &AppState) -> Markup {
    draw_count(&state.actions.firing())
}

fn draw_count(firing: &[Alert]) -> Markup {
    let worst = firing.iter().map(|alert| alert.rule.severity).max();
    let Some(worst) = worst else {
        return Markup::default();
    };
    let (class, count) = (severity_class(worst), firing.len());
    Markup(format!(
        r#"<span class="count {class}">{count}<span class="unseen"> firing</span></span>"#
    ))
}

/// Returns the CSS class of a severity.
pub(super) const fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "down",
        Severity::Warning => "degraded",
        Severity::Info => "unknown",
    }
}
