//! Formatting of untrusted texts, times and numbers: safe, short, with units.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use askama::filters::HtmlSafe;
use convex_client::chain::economics::{self, COPPER_PER_CVM};
use convex_client::is_deceptive;

/// Maximum length of an untrusted text in characters.
const MAX_TEXT_CHARS: usize = 400;

/// HTML from the agent itself, which templates do not escape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Markup(pub(super) String);

impl HtmlSafe for Markup {}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes a text from a peer safe to show: truncates it to [`MAX_TEXT_CHARS`], and replaces
/// [deceptive](is_deceptive) characters by their code points. Templates escape the rest.
pub(in crate::web) fn sanitize(text: &str) -> String {
    let mut sanitized = String::with_capacity(text.len().min(MAX_TEXT_CHARS * 2));
    for (i, c) in text.chars().enumerate() {
        if i == MAX_TEXT_CHARS {
            sanitized.push('…');
            break;
        }
        if is_deceptive(c) {
            push_fmt(&mut sanitized, format_args!("⟨U+{:04X}⟩", u32::from(c)));
        } else {
            sanitized.push(c);
        }
    }
    sanitized
}

/// Appends formatted text.
pub(super) fn push_fmt(text: &mut String, more: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(more).unwrap_or_default();
}

/// A time, displayed as a `<time>` element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamp {
    at: SystemTime,
    /// The time that the text is relative to; without it, the text is absolute.
    now: Option<SystemTime>,
    /// Whether something has lasted since then: `for 2 min` instead of `2 min ago`.
    lasting: bool,
}

impl Timestamp {
    /// Formats the time as `2026-01-31 12:00:00 UTC`.
    pub(super) fn utc(self) -> String {
        let rfc = humantime::format_rfc3339_seconds(self.at).to_string();
        rfc.replace('T', " ").replace('Z', " UTC")
    }
}

impl HtmlSafe for Timestamp {}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rfc = humantime::format_rfc3339_seconds(self.at);
        let utc = self.utc();
        let text = match self.now {
            Some(now) if self.lasting => {
                let duration = now.duration_since(self.at).unwrap_or_default();
                format!("for {}", short_duration(duration))
            }
            Some(now) => relative(self.at, now),
            None if self.lasting => format!("since {utc}"),
            None => utc.clone(),
        };
        let lasting = if self.lasting { " data-lasting" } else { "" };
        write!(
            f,
            r#"<time datetime="{rfc}" title="{utc}"{lasting}>{text}</time>"#
        )
    }
}

/// How the times of a page are displayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeFormat {
    /// The time of the snapshot that the page shows.
    pub(super) now: SystemTime,
    /// Whether texts are relative to `now`, such as `2 min ago`.
    pub(super) relative: bool,
}

impl TimeFormat {
    /// Returns the time `at`, at most the end of the year 9999.
    pub(super) fn at(self, at: SystemTime) -> Timestamp {
        Timestamp {
            at: at.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LATEST),
            now: self.relative.then_some(self.now),
            lasting: false,
        }
    }

    /// Returns how long something has lasted that began at `since`, such as `for 2 min`.
    pub(super) fn lasting(self, since: SystemTime) -> Timestamp {
        Timestamp {
            lasting: true,
            ..self.at(since)
        }
    }

    /// Returns the time `age` before `now`.
    pub(super) fn ago(self, age: Duration) -> Timestamp {
        self.at(self.now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}

/// The end of the year 9999, the last one that RFC 3339 can express, since the epoch.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// Formats how long ago `at` was, or how far ahead it is.
fn relative(at: SystemTime, now: SystemTime) -> String {
    match now.duration_since(at) {
        Ok(ago) if ago.as_secs() == 0 => "now".to_owned(),
        Ok(ago) => format!("{} ago", short_duration(ago)),
        Err(ahead) => format!("in {}", short_duration(ahead.duration())),
    }
}

/// Formats a duration in its largest unit.
pub(in crate::web) fn short_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Formats a whole number with thousands separators.
pub(super) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if value < 0 {
        text.push('−');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a count with thousands separators.
pub(super) fn count(value: u64) -> String {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Formats a duration with three digits, in milliseconds or in seconds from 1 s.
pub(super) fn latency(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    if ms < 9.95 {
        format!("{ms:.2} ms")
    } else if ms < 99.5 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 9995.0 {
        format!("{:.2} s", ms / 1000.0)
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

/// Formats an offset in seconds with its sign.
pub(super) fn offset(seconds: f64) -> String {
    let (sign, magnitude) = (if seconds < 0.0 { "−" } else { "+" }, seconds.abs());
    if magnitude < 0.9995 {
        format!("{sign}{:.0} ms", magnitude * 1000.0)
    } else if magnitude < 999.5 {
        format!("{sign}{magnitude:.1} s")
    } else {
        format!(
            "{sign}{}",
            short_duration(Duration::try_from_secs_f64(magnitude).unwrap_or(Duration::MAX))
        )
    }
}

/// Formats an amount of coin exactly.
pub(super) fn cvm(copper: i64) -> String {
    let coins = number(copper / COPPER_PER_CVM);
    let rest = (copper % COPPER_PER_CVM).unsigned_abs();
    if rest == 0 {
        format!("{coins} CVM")
    } else {
        let fraction = format!("{rest:09}");
        format!("{coins}.{} CVM", fraction.trim_end_matches('0'))
    }
}

/// Formats an amount of coin in about five characters, without its unit.
pub(super) fn short_cvm(copper: i64) -> String {
    let coins = economics::cvm(copper);
    let size = coins.abs();
    let (divisor, unit) = match size {
        _ if size < 10_000.0 => (1.0, ""),
        _ if size < 10_000_000.0 => (1e3, "k"),
        _ if size < 10_000_000_000.0 => (1e6, "M"),
        _ => (1e9, "G"),
    };
    format!("{:.0}{unit}", coins / divisor)
}

/// Formats a number of bytes in its largest binary unit.
pub(super) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Formats a ratio as a percentage. Rounding never turns other values into 0 or 100 %.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let text = if percent > 99.0 && percent < 100.0 {
        format!("{:.3}", (percent * 1000.0).floor() / 1000.0)
    } else if percent > 0.0 && percent < 0.01 {
        "<0.01".to_owned()
    } else if percent.abs() < 1.0 && percent.abs() > 0.0 {
        format!("{percent:.2}")
    } else {
        format!("{percent:.1}").trim_end_matches(".0").to_owned()
    };
    // A no-break space keeps the unit with its number.
    text.replace('-', "−") + "\u{a0}%"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_is_truncated_and_shows_its_invisible_characters() {
        assert_eq!(
            sanitize("a\u{1b}[31m\u{202e}b\u{0}\u{200b}"),
            "a⟨U+001B⟩[31m⟨U+202E⟩b⟨U+0000⟩⟨U+200B⟩"
        );
        let long = sanitize(&"<b>".repeat(400_000));
        assert_eq!(long.chars().count(), MAX_TEXT_CHARS + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_time_is_formatted_for_people_and_for_programs() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let relative = TimeFormat {
            now,
            relative: true,
        };
        assert_eq!(
            relative.ago(Duration::from_secs(150)).to_string(),
            r#"<time datetime="1970-01-12T13:44:10Z" title="1970-01-12 13:44:10 UTC">2 min ago</time>"#
        );
        let since = now - Duration::from_secs(150);
        assert_eq!(
            relative.lasting(since).to_string(),
            r#"<time datetime="1970-01-12T13:44:10Z" title="1970-01-12 13:44:10 UTC" data-lasting>for 2 min</time>"#
        );
        let absolute = TimeFormat {
            relative: false,
            ..relative
        };
        assert!(
            absolute
                .at(now)
                .to_string()
                .ends_with(">1970-01-12 13:46:40 UTC</time>"),
            "a text that does not depend on the current time"
        );
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert!(relative.at(far).to_string().contains("9999-12-31"));
    }

    #[test]
    fn numbers_are_short_and_never_rounded_to_a_better_value() {
        assert_eq!(number(-1_234_567), "−1,234,567");
        assert_eq!(number(i64::MIN), "−9,223,372,036,854,775,808");
        for (ratio, expected) in [
            (0.999_999_9, "99.999"),
            (1.0, "100"),
            (0.5, "50"),
            (0.333, "33.3"),
            (0.000_01, "<0.01"),
            (0.000_5, "0.05"),
            (0.0, "0"),
            (-0.17, "−17"),
        ] {
            assert_eq!(percent(ratio), format!("{expected}\u{a0}%"));
        }
        assert_eq!(cvm(1_500_000_000), "1.5 CVM");
        assert_eq!(short_cvm(2_500_000_000_000_000), "2500k");
        for (us, expected) in [
            (1_234, "1.23 ms"),
            (999_400, "999 ms"),
            (999_600, "1.00 s"),
            (1_234_000, "1.23 s"),
            (12_345_000, "12.3 s"),
        ] {
            assert_eq!(latency(Duration::from_micros(us)), expected);
        }
        assert_eq!(
            (offset(-0.004), offset(5.0)),
            ("−4 ms".into(), "+5.0 s".into())
        );
    }
}
