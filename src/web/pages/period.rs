//! The time that a list covers, as its address and its form say: the last hours, or from and to.

use std::time::{Duration, SystemTime};

use super::format::short_duration;
use super::list_form::wrong_value;

/// Lengths to choose from, with their texts.
const LENGTHS: [(&str, &str); 6] = [
    ("1h", "last hour"),
    ("6h", "last 6 hours"),
    ("24h", "last 24 hours"),
    ("7d", "last 7 days"),
    ("30d", "last 30 days"),
    ("90d", "last 90 days"),
];

/// The time that a list covers; all of it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Period {
    /// The parameters as given, empty if not.
    last: String,
    from: String,
    to: String,
    length: Option<Duration>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

/// A length of time to choose.
pub(super) struct LengthChoice<'a> {
    pub(super) value: &'a str,
    pub(super) text: String,
    pub(super) is_chosen: bool,
}

/// The moments at which a list begins and ends, where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Period {
    /// Takes a parameter; returns false if it is none of a period, and an error if it is wrong.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let value = value.trim();
        if value.is_empty() {
            return Ok(matches!(name, "last" | "from" | "to"));
        }
        match name {
            "last" => {
                value.clone_into(&mut self.last);
                self.length = Some(parse_length(value)?);
            }
            "from" => {
                value.clone_into(&mut self.from);
                self.since = Some(parse_time("from", value)?);
            }
            "to" => {
                value.clone_into(&mut self.to);
                self.until = Some(parse_time("to", value)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns what is wrong with the parameters taken together.
    pub(super) fn problem(&self) -> Option<String> {
        let is_range = !self.from.is_empty() || !self.to.is_empty();
        if is_range && !self.last.is_empty() {
            return Some(
                "`last` goes up to now; give either `last`, or `from` and `to`".to_owned(),
            );
        }
        let (since, until) = (self.since?, self.until?);
        (since > until).then(|| "`from` is after `to`; exchange them".to_owned())
    }

    /// Returns the parameters by name; empty ones are not given.
    pub(super) fn parameters(&self) -> [(&'static str, &str); 3] {
        [("last", &self.last), ("from", &self.from), ("to", &self.to)]
    }

    /// Returns the lengths to choose from: the usual ones, and the one of the address.
    pub(super) fn choices(&self) -> Vec<LengthChoice<'_>> {
        let choice = |value, text: &str| LengthChoice {
            value,
            text: text.to_owned(),
            is_chosen: self.last == value,
        };
        let mut choices = vec![choice("", "any time")];
        choices.extend(LENGTHS.map(|(value, text)| choice(value, text)));
        if let Some(length) = self.length
            && !choices.iter().any(|it| it.is_chosen)
        {
            let text = format!("last {}", short_duration(length));
            choices.push(choice(&self.last, &text));
        }
        choices
    }

    /// Returns the beginning as a form shows it.
    pub(super) fn since_field(&self) -> String {
        field(self.since)
    }

    /// Returns the end as a form shows it.
    pub(super) fn until_field(&self) -> String {
        field(self.until)
    }

    /// Returns the moments at which the list begins and ends, seen at `now`.
    pub(super) fn bounds(&self, now: SystemTime) -> Bounds {
        let since = self.length.and_then(|length| now.checked_sub(length));
        Bounds {
            since: since.or(self.since),
            until: self.until,
        }
    }
}

impl Bounds {
    /// Whether `at` is within.
    pub(super) fn contain(self, at: SystemTime) -> bool {
        self.overlap(at, Some(at))
    }

    /// Whether something that lasted from `began` to `ended`, or lasts still, did so within.
    pub(super) fn overlap(self, began: SystemTime, ended: Option<SystemTime>) -> bool {
        self.until.is_none_or(|until| began <= until)
            && match (self.since, ended) {
                (Some(since), Some(ended)) => ended >= since,
                _ => true,
            }
    }
}

/// Formats a time as forms and addresses have it, with seconds only if there are any.
pub(super) fn to_parameter(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(at).to_string();
    let text = text.trim_end_matches('Z');
    text.strip_suffix(":00").unwrap_or(text).to_owned()
}

/// Returns the parameters of the full minutes from `since` to `until`.
pub(super) fn around(
    since: Option<SystemTime>,
    until: Option<SystemTime>,
) -> Vec<(&'static str, String)> {
    const MINUTE: u64 = 60;
    let minute = |at: Option<SystemTime>, round: fn(u64) -> u64| {
        let since_epoch = at?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let seconds = round(since_epoch.as_secs()).checked_mul(MINUTE)?;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        Some(to_parameter(at))
    };
    let from = minute(since, |seconds| seconds / MINUTE);
    let to = minute(until, |seconds| seconds.div_ceil(MINUTE));
    let parameters = [("from", from), ("to", to)].into_iter();
    parameters
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn field(at: Option<SystemTime>) -> String {
    at.map(to_parameter).unwrap_or_default()
}

fn parse_length(value: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(value).ok();
    let what = "a length of time; expected one such as 90m, 24h or 7d";
    length
        .filter(|length| !length.is_zero())
        .ok_or_else(|| wrong_value("last", value, what))
}

/// Parses `2026-01-31`, `2026-01-31T12:00` or `2026-01-31T12:00:00`, with or without `Z`.
fn parse_time(name: &str, value: &str) -> Result<SystemTime, String> {
    let text = value.strip_suffix('Z').unwrap_or(value);
    let padding = match text.len() {
        10 => "T00:00:00",
        16 => ":00",
        _ => "",
    };
    let what = "a time; expected one in UTC such as 2026-01-31 or 2026-01-31T12:00";
    humantime::parse_rfc3339_weak(&format!("{text}{padding}"))
        .map_err(|_| wrong_value(name, value, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn period(parameters: &[(&str, &str)]) -> Result<Period, String> {
        let mut period = Period::default();
        for (name, value) in parameters {
            assert!(period.take(name, value)?, "{name}");
        }
        period.problem().map_or(Ok(period), Err)
    }

    #[test]
    fn a_period_is_the_last_hours_or_from_and_to() {
        let now = at(1_000_000);
        for (parameters, since, until) in [
            (vec![], None, None),
            (vec![("last", ""), ("from", ""), ("to", "")], None, None),
            (vec![("last", "1h")], Some(996_400), None),
            (vec![("last", "90m")], Some(994_600), None),
            (vec![("from", "1970-01-02")], Some(86_400), None),
            (vec![("to", "1970-01-02T00:01")], None, Some(86_460)),
            (
                vec![
                    ("from", "1970-01-02T00:00:01Z"),
                    ("to", "1970-01-02 00:00:02"),
                ],
                Some(86_401),
                Some(86_402),
            ),
        ] {
            let period = period(&parameters).unwrap();
            let expected = Bounds {
                since: since.map(at),
                until: until.map(at),
            };
            assert_eq!(period.bounds(now), expected, "{parameters:?}");
        }
    }

    #[test]
    fn a_wrong_period_says_what_is_wrong_and_what_is_right() {
        for (parameters, expected) in [
            (
                vec![("last", "soon")],
                "`last` is \"soon\", which is not a length of time; expected one such as 90m, 24h or 7d",
            ),
            (
                vec![("last", "0s")],
                "`last` is \"0s\", which is not a length of time; expected one such as 90m, 24h or 7d",
            ),
            (
                vec![("from", "yesterday")],
                "`from` is \"yesterday\", which is not a time; expected one in UTC such as 2026-01-31 or 2026-01-31T12:00",
            ),
            (
                vec![("to", "2026-02-31")],
                "`to` is \"2026-02-31\", which is not a time; expected one in UTC such as 2026-01-31 or 2026-01-31T12:00",
            ),
            (
                vec![("last", "1h"), ("to", "2026-01-31")],
                "`last` goes up to now; give either `last`, or `from` and `to`",
            ),
            (
                vec![("from", "2026-01-31"), ("to", "2026-01-30")],
                "`from` is after `to`; exchange them",
            ),
        ] {
            assert_eq!(period(&parameters).unwrap_err(), expected);
        }
        assert_eq!(Period::default().take("peer", "a"), Ok(false));
    }

    #[test]
    fn what_lasts_is_within_if_a_part_of_it_is() {
        let bounds = Bounds {
            since: Some(at(10)),
            until: Some(at(20)),
        };
        for (began, ended, expected) in [
            (1, Some(9), false),
            (1, Some(10), true),
            (1, None, true),
            (12, Some(13), true),
            (20, None, true),
            (21, None, false),
        ] {
            assert_eq!(bounds.overlap(at(began), ended.map(at)), expected);
        }
        assert!(bounds.contain(at(15)) && !bounds.contain(at(21)));
    }

    #[test]
    fn a_form_shows_the_period_of_the_address() {
        let period = period(&[("last", "36h")]).unwrap();
        let chosen: Vec<String> = period
            .choices()
            .into_iter()
            .filter(|choice| choice.is_chosen)
            .map(|choice| format!("{}={}", choice.value, choice.text))
            .collect();
        assert_eq!(chosen, ["36h=last 36 h"]);
        assert_eq!(to_parameter(at(86_460)), "1970-01-02T00:01");
        assert_eq!(to_parameter(at(86_461)), "1970-01-02T00:01:01");
    }

    #[test]
    fn the_time_around_something_is_full_minutes() {
        let given = |name, value: &str| (name, value.to_owned());
        assert_eq!(
            around(Some(at(59)), Some(at(61))),
            [
                given("from", "1970-01-01T00:00"),
                given("to", "1970-01-01T00:02")
            ]
        );
        assert_eq!(
            around(Some(at(60)), None),
            [given("from", "1970-01-01T00:01")]
        );
    }
}
