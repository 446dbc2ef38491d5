//! The range of time that the charts of a peer show, as its address says.

use std::time::{Duration, SystemTime};

use url::form_urlencoded;

/// The longest range: as long as summaries are kept.
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);

/// The shortest range.
const SHORTEST: Duration = Duration::from_secs(5);

/// Number of points that charts are about as wide as.
const POINTS: u32 = 180;

/// Ranges that end now: name and length.
const SPANS: [(&str, Duration); 5] = [
    ("1h", Duration::from_secs(3600)),
    ("6h", Duration::from_secs(6 * 3600)),
    ("24h", Duration::from_secs(24 * 3600)),
    ("7d", Duration::from_secs(7 * 24 * 3600)),
    ("90d", LONGEST),
];

/// The charted times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeRange {
    /// Each of the last polls.
    LastPolls,
    /// One of the spans, up to now.
    Span {
        name: &'static str,
        from: SystemTime,
        to: SystemTime,
    },
    /// A part of the past.
    Fixed { from: SystemTime, to: SystemTime },
}

/// A link to another range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeLink {
    pub(super) name: String,
    pub(super) query: String,
    pub(super) is_current: bool,
}

impl TimeRange {
    /// Parses the query of an address: `span`, or `from` and `to` as UTC times.
    ///
    /// # Errors
    /// A parameter is wrong; the text says which and what would be right.
    pub(super) fn parse(query: Option<&str>, now: SystemTime) -> Result<Self, String> {
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
            let found = pairs.find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.into_owned())
        };
        if let Some(span) = parameter("span") {
            let Some((name, length)) = SPANS.iter().find(|(name, _)| *name == span) else {
                let names = SPANS.map(|(name, _)| name).join(", ");
                return Err(format!("`span` is {span:?}; it can be {names}."));
            };
            return Ok(Self::Span {
                name,
                from: before(now, *length),
                to: now,
            });
        }
        let (from, to) = match (parameter("from"), parameter("to")) {
            (None, None) => return Ok(Self::LastPolls),
            (Some(from), to) => {
                let to = to.map_or(Ok(now), |to| time("to", &to))?;
                (time("from", &from)?, to.min(now))
            }
            (None, Some(_)) => return Err("`to` needs a `from`.".to_owned()),
        };
        if to.duration_since(from).unwrap_or_default() < SHORTEST {
            let seconds = SHORTEST.as_secs();
            return Err(format!(
                "`from` must be in the past and at least {seconds} s before `to`."
            ));
        }
        let from = from.max(before(to, LONGEST));
        Ok(Self::Fixed { from, to })
    }

    /// Whether it stays the same as time passes.
    pub(super) const fn is_fixed(self) -> bool {
        matches!(self, Self::Fixed { .. })
    }

    /// Returns start, end and the distance of its points; none for the last polls.
    pub(super) fn bounds(self) -> Option<(SystemTime, SystemTime, Duration)> {
        match self {
            Self::LastPolls => None,
            Self::Span { from, to, .. } | Self::Fixed { from, to } => {
                let length = to.duration_since(from).unwrap_or_default();
                Some((from, to, length / POINTS))
            }
        }
    }

    /// Returns the links to the last polls and to the spans.
    pub(super) fn spans(self) -> Vec<RangeLink> {
        let last_polls = RangeLink {
            name: "last polls".to_owned(),
            query: "?".to_owned(),
            is_current: self == Self::LastPolls,
        };
        let spans = SPANS.iter().map(|(span, _)| RangeLink {
            name: (*span).to_owned(),
            query: format!("?span={span}"),
            is_current: matches!(self, Self::Span { name, .. } if name == *span),
        });
        std::iter::once(last_polls).chain(spans).collect()
    }

    /// Returns the links that move the range from `from` to `to`, or widen it.
    pub(super) fn moves(
        self,
        (from, to): (SystemTime, SystemTime),
        now: SystemTime,
    ) -> Vec<RangeLink> {
        let length = to.duration_since(from).unwrap_or_default().max(SHORTEST);
        let wider = length.min(LONGEST / 2) / 2;
        let moves = [
            ("← earlier", before(from, length), from),
            ("wider", before(from, wider), (to + wider).min(now)),
            ("later →", from + length, (to + length).min(now)),
        ];
        let is_later_possible = self.is_fixed() && to + SHORTEST < now;
        moves
            .into_iter()
            .filter(|(name, ..)| *name != "later →" || is_later_possible)
            .map(|(name, from, to)| RangeLink {
                name: name.to_owned(),
                query: format!(
                    "?from={}&to={}",
                    humantime::format_rfc3339_seconds(from.min(before(to, SHORTEST))),
                    humantime::format_rfc3339_seconds(to)
                ),
                is_current: false,
            })
            .collect()
    }
}

/// Parses a UTC time as RFC 3339 has it, and as the fields of forms send it: without seconds or
/// zone.
fn time(parameter: &str, text: &str) -> Result<SystemTime, String> {
    let wrong = || {
        format!("`{parameter}` is {text:?}; it must be a time in UTC such as 2026-01-31T12:00:00Z.")
    };
    let full = if text.len() == "2026-01-31T12:00".len() {
        format!("{text}:00")
    } else {
        text.to_owned()
    };
    humantime::parse_rfc3339_weak(&full).map_err(|_| wrong())
}

/// Returns the time that lies so far before another.
fn before(at: SystemTime, duration: Duration) -> SystemTime {
    at.checked_sub(duration).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31T12:00:00Z
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_860_800)
    }

    fn ago(seconds: u64) -> SystemTime {
        now() - Duration::from_secs(seconds)
    }

    #[test]
    fn the_address_selects_the_last_polls_a_span_or_a_part_of_the_past() {
        let fixed = |from, to| TimeRange::Fixed { from, to };
        for (query, expected) in [
            ("", TimeRange::LastPolls),
            ("polled=1&from=&to=", TimeRange::LastPolls),
            (
                "span=1h",
                TimeRange::Span {
                    name: "1h",
                    from: ago(3600),
                    to: now(),
                },
            ),
            (
                "from=2026-01-31T11:00:00Z&to=2026-01-31T11:30:00Z",
                fixed(ago(3600), ago(1800)),
            ),
            ("from=2026-01-31T11%3A00", fixed(ago(3600), now())),
            (
                "from=2026-01-31T11:00&to=2030-01-01T00:00",
                fixed(ago(3600), now()),
            ),
            (
                "from=2001-01-31T11:00:00Z&to=2026-01-31T12:00:00Z",
                fixed(ago(90 * 86_400), now()),
            ),
        ] {
            assert_eq!(
                TimeRange::parse(Some(query), now()),
                Ok(expected),
                "{query}"
            );
        }
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_would_be_right() {
        for (query, expected) in [
            (
                "span=2h",
                "`span` is \"2h\"; it can be 1h, 6h, 24h, 7d, 90d.",
            ),
            ("to=2026-01-31T11:00", "`to` needs a `from`."),
            (
                "from=yesterday",
                "`from` is \"yesterday\"; it must be a time in UTC such as 2026-01-31T12:00:00Z.",
            ),
            (
                "from=2026-01-31T11:00&to=2026-01-31T10:00",
                "`from` must be in the past and at least 5 s before `to`.",
            ),
            (
                "from=2026-02-01T00:00",
                "`from` must be in the past and at least 5 s before `to`.",
            ),
        ] {
            let error = TimeRange::parse(Some(query), now()).unwrap_err();
            assert_eq!(error, expected, "{query}");
        }
    }

    #[test]
    fn a_range_is_moved_and_widened_but_not_into_the_future() {
        let queries = |from, to| {
            let range = TimeRange::Fixed { from, to };
            let moves = range.moves((from, to), now()).into_iter();
            moves.map(|link| link.query).collect::<Vec<_>>()
        };
        assert_eq!(
            queries(ago(3600), ago(1800)),
            [
                "?from=2026-01-31T10:30:00Z&to=2026-01-31T11:00:00Z",
                "?from=2026-01-31T10:45:00Z&to=2026-01-31T11:45:00Z",
                "?from=2026-01-31T11:30:00Z&to=2026-01-31T12:00:00Z",
            ]
        );
        assert_eq!(queries(ago(3600), now()).len(), 2, "there is nothing later");
    }
}
