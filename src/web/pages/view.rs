//! The view of the fleet page that its URL describes: filters, sort order, grouping and page
//! number.

use url::form_urlencoded;

use crate::fleet::Health;
use crate::history::Bars;

/// Number of peers on one page.
pub(super) const ROWS_PER_PAGE: usize = 100;

/// What the rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// The most severe problems first.
    #[default]
    Severity,
    /// By name, with numbers in names sorted by value.
    Name,
    /// The slowest first.
    Latency,
    /// The highest finality first.
    Order,
    /// The furthest behind first.
    Lag,
    /// Peers with a diverged state first.
    State,
    /// The heaviest first.
    Stake,
    /// The largest clock skew first.
    Clock,
    /// The next to expire first.
    Certificate,
    /// The longest without a successful poll first.
    Success,
}

impl Sort {
    const ALL: [Self; 10] = [
        Self::Severity,
        Self::Name,
        Self::Latency,
        Self::Order,
        Self::Lag,
        Self::State,
        Self::Stake,
        Self::Clock,
        Self::Certificate,
        Self::Success,
    ];

    /// Returns its value in the URL.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Severity => "badness",
            Self::Name => "name",
            Self::Latency => "latency",
            Self::Order => "order",
            Self::Lag => "lag",
            Self::State => "state",
            Self::Stake => "stake",
            Self::Clock => "clock",
            Self::Certificate => "certificate",
            Self::Success => "success",
        }
    }
}

/// A filter of peers by their health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum HealthFilter {
    #[default]
    All,
    /// Peers that are not up.
    Unhealthy,
    /// Peers with this health.
    Only(Health),
}

impl HealthFilter {
    pub(super) const ALL: [Self; 6] = [
        Self::All,
        Self::Unhealthy,
        Self::Only(Health::Down),
        Self::Only(Health::Degraded),
        Self::Only(Health::Unknown),
        Self::Only(Health::Up),
    ];

    /// Returns the text that is shown.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Unhealthy => "not up",
            _ => self.as_str(),
        }
    }

    /// Returns its value in the URL.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Unhealthy => "amiss",
            Self::Only(health) => health.as_str(),
        }
    }

    pub(super) const fn matches(self, health: Health) -> bool {
        match self {
            Self::All => true,
            Self::Unhealthy => !matches!(health, Health::Up),
            Self::Only(only) => only as u8 == health as u8,
        }
    }
}

/// The time that the bars of availability cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BarSpan {
    #[default]
    Day,
    Month,
    Quarter,
}

impl BarSpan {
    pub(super) const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Quarter];

    /// Returns its value in the URL.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Month => "30d",
            Self::Quarter => "90d",
        }
    }

    /// Returns its name for people.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Day => "24 h",
            Self::Month => "30 d",
            Self::Quarter => "90 d",
        }
    }

    /// Returns the bars that cover it: hours or days.
    pub(super) const fn bars(self) -> Bars {
        let (count, hours) = match self {
            Self::Day => (24, 1),
            Self::Month => (30, 24),
            Self::Quarter => (90, 24),
        };
        Bars { count, hours }
    }
}

/// The parameters of the fleet page. Invalid values in the URL are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FleetView {
    /// Search words, all of which a row must contain.
    pub(super) search: String,
    pub(super) health: HealthFilter,
    /// Only peers of this network, unless empty.
    pub(super) network: String,
    pub(super) sort: Sort,
    /// Whether the sort order is reversed.
    pub(super) reversed: bool,
    /// Empty, `network` or `label:NAME`.
    pub(super) group: String,
    pub(super) bars: BarSpan,
    /// Page number, from 0.
    pub(super) page: usize,
}

/// Maximum length of the search text, in characters.
const MAX_SEARCH_CHARS: usize = 200;

impl FleetView {
    /// Parses the query string of a URL.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut view = Self::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*key {
                "q" => view.search = value.trim().chars().take(MAX_SEARCH_CHARS).collect(),
                "health" => view.health = by_name(&HealthFilter::ALL, HealthFilter::as_str, &value),
                "network" => view.network = value.into_owned(),
                "sort" => {
                    let name = value.strip_prefix('-');
                    view.reversed = name.is_some();
                    view.sort = by_name(&Sort::ALL, Sort::as_str, name.unwrap_or(&value));
                }
                "group" => view.group = value.into_owned(),
                "bars" => view.bars = by_name(&BarSpan::ALL, BarSpan::as_str, &value),
                "page" => {
                    let page = value.parse::<usize>();
                    view.page = page.map_or(0, |page| page.saturating_sub(1));
                }
                _ => {}
            }
        }
        view
    }

    /// Returns the query string with its question mark; empty for the default view.
    pub(super) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                query.append_pair(key, value);
            }
        };
        add("q", &self.search);
        if self.health != HealthFilter::All {
            add("health", self.health.as_str());
        }
        add("network", &self.network);
        add("group", &self.group);
        if self.sort != Sort::Severity || self.reversed {
            let sign = if self.reversed { "-" } else { "" };
            add("sort", &format!("{sign}{}", self.sort.as_str()));
        }
        if self.bars != BarSpan::Day {
            add("bars", self.bars.as_str());
        }
        if self.page > 0 {
            add("page", &(self.page + 1).to_string());
        }
        let query = query.finish();
        if query.is_empty() {
            query
        } else {
            format!("?{query}")
        }
    }

    /// Returns this view sorted by `sort`, reversed if it is already.
    pub(super) fn sorted_by(&self, sort: Sort) -> Self {
        Self {
            sort,
            reversed: sort == self.sort && !self.reversed,
            page: 0,
            ..self.clone()
        }
    }
}

/// Returns the value with the given name, or the default.
fn by_name<T: Copy + Default>(all: &[T], label: fn(T) -> &'static str, name: &str) -> T {
    let found = all.iter().find(|it| label(**it) == name);
    found.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_is_parsed_and_formatted_back() {
        let query =
            "?q=eu+1&health=down&network=main&group=label%3Aregion&sort=-lag&bars=30d&page=3";
        let view = FleetView::parse(query.strip_prefix('?'));
        assert_eq!(
            (view.search.as_str(), view.health, view.page),
            ("eu 1", HealthFilter::Only(Health::Down), 2)
        );
        assert_eq!((view.sort, view.reversed), (Sort::Lag, true));
        assert_eq!(view.query(), query);
        assert_eq!(
            view.sorted_by(Sort::Lag).query(),
            query.replace("-lag", "lag").replace("&page=3", "")
        );
        assert_eq!(FleetView::default().query(), "");
    }

    #[test]
    fn invalid_parameters_are_ignored() {
        let view = FleetView::parse(Some("health=%3Cscript%3E&sort=-nothing&page=-1&x=y&%ff"));
        assert_eq!(
            view,
            FleetView {
                reversed: true,
                ..FleetView::default()
            }
        );
    }
}
