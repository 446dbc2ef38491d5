//! How texts, times and figures are written: harmless, short, with their units.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use askama::filters::HtmlSafe;

/// A stranger's text is cut after so many characters.
pub(super) const TEXT_CHARS: usize = 400;

/// HTML of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Markup(pub(super) String);

impl HtmlSafe for Markup {}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stranger's text of at most [`TEXT_CHARS`] characters. Control characters and those that change the direction of what
/// stands around them are written as their code points. The template escapes the rest.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(TEXT_CHARS * 2));
    for (i, c) in text.chars().enumerate() {
        if i == TEXT_CHARS {
            shown.push('…');
            break;
        }
        if is_harmful(c) {
            push(&mut shown, format_args!("⟨U+{:04X}⟩", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Appends what is formatted.
pub(super) fn push(text: &mut String, more: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(more).unwrap_or_default();
}

/// Whether a character is invisible, or rules how others are shown.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// A moment as a `<time>`: relative for who reads now, absolute where the text must not change by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    at: SystemTime,
    now: Option<SystemTime>,
}

impl When {
    /// The moment as a text for people.
    pub(super) fn utc(self) -> String {
        let rfc = humantime::format_rfc3339_seconds(self.at).to_string();
        rfc.replace('T', " ").replace('Z', " UTC")
    }
}

impl HtmlSafe for When {}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rfc = humantime::format_rfc3339_seconds(self.at);
        let utc = self.utc();
        let text = match self.now {
            Some(now) => relative(self.at, now),
            None => utc.clone(),
        };
        write!(f, r#"<time datetime="{rfc}" title="{utc}">{text}</time>"#)
    }
}

/// What times are told against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The moment that is shown.
    pub(super) now: SystemTime,
    /// Whether texts may depend on it.
    pub(super) relative: bool,
}

impl Clock {
    /// The moment `at`.
    pub(super) fn when(self, at: SystemTime) -> When {
        When {
            // Later than year 9999 nobody can write.
            at: at.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST),
            now: self.relative.then_some(self.now),
        }
    }

    /// The moment `age` ago.
    pub(super) fn ago(self, age: Duration) -> When {
        self.when(self.now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}

/// To the end of the year 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// How long ago, or how long from now.
fn relative(at: SystemTime, now: SystemTime) -> String {
    match now.duration_since(at) {
        Ok(ago) if ago.as_secs() == 0 => "now".to_owned(),
        Ok(ago) => format!("{} ago", span(ago)),
        Err(ahead) => format!("in {}", span(ahead.duration())),
    }
}

/// A duration in its largest unit.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A whole number with its thousands apart.
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

/// As [`number`].
pub(super) fn count(value: u64) -> String {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Three digits of milliseconds, or of seconds where there are many.
pub(super) fn latency(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    if ms < 9.95 {
        format!("{ms:.2} ms")
    } else if ms < 99.5 {
        format!("{ms:.1} ms")
    } else if ms < 9999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

/// Seconds with a sign, as of a clock.
pub(super) fn offset(seconds: f64) -> String {
    let (sign, off) = (if seconds < 0.0 { "−" } else { "+" }, seconds.abs());
    if off < 0.9995 {
        format!("{sign}{:.0} ms", off * 1000.0)
    } else if off < 999.5 {
        format!("{sign}{off:.1} s")
    } else {
        format!(
            "{sign}{}",
            span(Duration::try_from_secs_f64(off).unwrap_or(Duration::MAX))
        )
    }
}

/// An amount of coin, exact.
pub(super) fn cvm(copper: i64) -> String {
    let coins = number(copper / convex_client::chain::economics::COPPER_PER_CVM);
    let rest = (copper % convex_client::chain::economics::COPPER_PER_CVM).unsigned_abs();
    if rest == 0 {
        format!("{coins} CVM")
    } else {
        let fraction = format!("{rest:09}");
        format!("{coins}.{} CVM", fraction.trim_end_matches('0'))
    }
}

/// An amount of coin in five characters or so, for a table.
pub(super) fn cvm_in_short(copper: i64) -> String {
    let coins = convex_client::chain::economics::cvm(copper);
    let size = coins.abs();
    let (divisor, unit) = match size {
        _ if size < 10_000.0 => (1.0, ""),
        _ if size < 10_000_000.0 => (1e3, "k"),
        _ if size < 10_000_000_000.0 => (1e6, "M"),
        _ => (1e9, "G"),
    };
    format!("{:.0}{unit}", coins / divisor)
}

/// Bytes in their largest binary unit.
pub(super) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// A part of 1 in percent. What is not all is never rounded up to it, and what is not nothing never down to it.
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
    // The unit stays with its figure.
    text.replace('-', "−") + "\u{a0}%"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_shows_what_it_hides_and_is_cut() {
        assert_eq!(
            visible("a\u{1b}[31m\u{202e}b\u{0}\u{200b}"),
            "a⟨U+001B⟩[31m⟨U+202E⟩b⟨U+0000⟩⟨U+200B⟩"
        );
        let long = visible(&"<b>".repeat(400_000));
        assert_eq!(long.chars().count(), TEXT_CHARS + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_time_says_when_for_people_and_for_programs() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let clock = Clock {
            now,
            relative: true,
        };
        assert_eq!(
            clock.ago(Duration::from_secs(150)).to_string(),
            r#"<time datetime="1970-01-12T13:44:10Z" title="1970-01-12 13:44:10 UTC">2 min ago</time>"#
        );
        let fixed = Clock {
            relative: false,
            ..clock
        };
        assert!(
            fixed
                .when(now)
                .to_string()
                .ends_with(">1970-01-12 13:46:40 UTC</time>"),
            "a text that is the same whenever it is made"
        );
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert!(clock.when(far).to_string().contains("9999-12-31"));
    }

    #[test]
    fn figures_are_short_and_never_better_than_they_are() {
        assert_eq!(number(-1_234_567), "−1,234,567");
        assert_eq!(number(i64::MIN), "−9,223,372,036,854,775,808");
        for (ratio, shown) in [
            (0.999_999_9, "99.999"),
            (1.0, "100"),
            (0.5, "50"),
            (0.333, "33.3"),
            (0.000_01, "<0.01"),
            (0.000_5, "0.05"),
            (0.0, "0"),
            (-0.17, "−17"),
        ] {
            assert_eq!(percent(ratio), format!("{shown}\u{a0}%"));
        }
        assert_eq!(cvm(1_500_000_000), "1.5 CVM");
        assert_eq!(cvm_in_short(2_500_000_000_000_000), "2500k");
        assert_eq!(latency(Duration::from_micros(1_234)), "1.23 ms");
        assert_eq!(
            (offset(-0.004), offset(5.0)),
            ("−4 ms".into(), "+5.0 s".into())
        );
    }
}
