//! Bars of the availability of a peer over hours or days, as the stored history has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use crate::history::{Bars, History, Uptime};

use super::format::{Markup, percent, push_fmt, short_duration};

/// Height of a bar.
const HEIGHT: u32 = 18;

/// Least height of the failed part of a bar, so that a minute is seen in a day.
const LEAST_FAILED: u32 = 4;

/// Distance between the left edges of two bars in a picture of so many.
const fn pitch(bars: usize) -> u32 {
    match bars {
        0..=24 => 5,
        25..=30 => 4,
        _ => 2,
    }
}

/// Longest time that a page waits for the history. After that it is drawn without what is missing.
const READ_TIMEOUT: Duration = Duration::from_millis(500);

/// How long what was read of bars of an hour and of a day is shown.
const MAX_AGE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

/// The availability of peers that pages have shown recently.
#[derive(Clone, Debug, Default)]
pub(super) struct AvailabilityCache(Arc<Mutex<HashMap<(String, Bars), CachedBars>>>);

#[derive(Debug)]
struct CachedBars {
    read_at: Instant,
    drawn: Arc<Availability>,
}

impl AvailabilityCache {
    /// Reads what is missing or old of the availability of `peers`. Returns whether anything was
    /// read. A disk that does not answer delays nobody for long.
    pub(super) async fn refresh(
        &self,
        history: &History,
        peers: impl Iterator<Item = &str>,
        bars: Bars,
    ) -> bool {
        let now = Instant::now();
        let max_age = MAX_AGE[usize::from(bars.hours > 1)];
        let due: Vec<String> = {
            let mut cache = self.lock();
            cache.retain(|_, cached| now - cached.read_at < MAX_AGE[1] * 2);
            let is_due = |name: &String| {
                let cached = cache.get(&(name.clone(), bars));
                cached.is_none_or(|cached| now - cached.read_at >= max_age)
            };
            peers.map(str::to_owned).filter(is_due).collect()
        };
        if due.is_empty() {
            return false;
        }
        let wall = SystemTime::now();
        let read = timeout(READ_TIMEOUT, history.availability(&due, bars, wall)).await;
        let Ok(Ok(found)) = read else {
            tracing::debug!("the availability of {} peers was not read", due.len());
            return false;
        };
        let mut cache = self.lock();
        let any = !found.is_empty();
        for (name, uptimes) in found {
            let drawn = Arc::new(Availability::new(&uptimes, bars, wall));
            cache.insert(
                (name, bars),
                CachedBars {
                    read_at: now,
                    drawn,
                },
            );
        }
        any
    }

    /// Returns the availability of a peer; none if it was not read.
    pub(super) fn get(&self, peer: &str, bars: Bars) -> Option<Arc<Availability>> {
        let cache = self.lock();
        let cached = cache.get(&(peer.to_owned(), bars))?;
        Some(Arc::clone(&cached.drawn))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Bars), CachedBars>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The availability of a peer: bars, and the share of all of them.
#[derive(Debug)]
pub(in crate::web) struct Availability {
    pub(in crate::web) bars: Markup,
    /// Share of the time in which the peer was up.
    pub(in crate::web) ratio: Option<String>,
    /// How long was watched, unless that is nearly all of the time.
    pub(in crate::web) watched: Option<String>,
}

/// How a bar is drawn. Bars of one kind that need no text of their own are drawn and named
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Up,
    /// Failed for a part of the time, or all of it.
    Failed,
    Maintenance,
    Unknown,
}

impl Kind {
    fn of(bar: &Uptime) -> Self {
        match bar.ratio() {
            Some(_) if !bar.down.is_zero() => Self::Failed,
            Some(_) => Self::Up,
            None if !bar.maintenance.is_zero() => Self::Maintenance,
            None => Self::Unknown,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Up => "good",
            Self::Failed => "failed",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unwatched",
        }
    }

    fn text(self, bar: &Uptime) -> String {
        match self {
            Self::Up => "up".to_owned(),
            Self::Failed => format!(
                "{}, {} down",
                percent(bar.ratio().unwrap_or_default()),
                short_duration(bar.down)
            ),
            Self::Maintenance => "maintenance".to_owned(),
            Self::Unknown => "not watched".to_owned(),
        }
    }
}

impl Availability {
    /// Draws `uptimes`, which end at `now`.
    pub(in crate::web) fn new(uptimes: &[Uptime], bars: Bars, now: SystemTime) -> Self {
        let sum = |part: fn(&Uptime) -> Duration| uptimes.iter().map(part).sum::<Duration>();
        let total = Uptime {
            window: bars.length() * bars.count,
            span: sum(|bar| bar.span),
            up: sum(|bar| bar.up),
            down: sum(|bar| bar.down),
            maintenance: sum(|bar| bar.maintenance),
        };
        let watched = total.up + total.down + total.maintenance;
        let is_partial = total.coverage() < 0.95;
        Self {
            ratio: total.ratio().map(percent),
            watched: (is_partial && !watched.is_zero()).then(|| short_duration(watched)),
            bars: draw(uptimes, &total, bars, now),
        }
    }
}

fn draw(uptimes: &[Uptime], total: &Uptime, bars: Bars, now: SystemTime) -> Markup {
    let pitch = pitch(uptimes.len());
    let width = pitch * u32::try_from(uptimes.len()).unwrap_or_default();
    let label = match total.ratio() {
        Some(ratio) => format!(
            "up {} of the {} watched",
            percent(ratio),
            short_duration(total.up + total.down + total.maintenance)
        ),
        None => "nothing was watched".to_owned(),
    };
    let mut svg = format!(
        r#"<svg class="polls" role="img" aria-label="{label}" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none">"#
    );
    let begin = bars.begin(now);
    let mut first = 0;
    while first < uptimes.len() {
        let kind = Kind::of(&uptimes[first]);
        let is_alike = |bar: &&Uptime| kind != Kind::Failed && Kind::of(bar) == kind;
        let alike = uptimes[first + 1..].iter().take_while(is_alike).count();
        let last = first + alike;
        let place = |i: usize| u32::try_from(i).unwrap_or_default();
        let from = begin + bars.length() * place(first);
        let to = begin + bars.length() * (place(last) + 1);
        push_fmt(
            &mut svg,
            format_args!(
                "<g><title>{}: {}</title>",
                period(from, to, bars),
                kind.text(&uptimes[first])
            ),
        );
        let mut path = String::new();
        for (i, bar) in uptimes.iter().enumerate().take(last + 1).skip(first) {
            outline(&mut path, kind, bar, place(i) * pitch, pitch - 1);
        }
        push_fmt(
            &mut svg,
            format_args!(r#"<path class="{}" d="{path}"/>"#, kind.class()),
        );
        if kind == Kind::Failed {
            let mut rest = String::new();
            let x = place(first) * pitch;
            let failed = failed_height(&uptimes[first]);
            push_fmt(
                &mut rest,
                format_args!("M{x} {failed}v{0}h{1}v-{0}z", HEIGHT - failed, pitch - 1),
            );
            push_fmt(&mut svg, format_args!(r#"<path class="good" d="{rest}"/>"#));
        }
        svg.push_str("</g>");
        first = last + 1;
    }
    svg.push_str("</svg>");
    Markup(svg)
}

/// Adds the outline of a bar to a path.
fn outline(path: &mut String, kind: Kind, bar: &Uptime, x: u32, width: u32) {
    let (top, height) = match kind {
        Kind::Up => (0, HEIGHT),
        Kind::Failed => (0, failed_height(bar)),
        Kind::Maintenance => (HEIGHT / 3, HEIGHT / 3),
        Kind::Unknown => (HEIGHT - 3, 3),
    };
    push_fmt(path, format_args!("M{x} {top}v{height}h{width}v-{height}z"));
}

/// Returns the height of the failed part of a bar.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a ratio from 0 to 1 of the height"
)]
fn failed_height(bar: &Uptime) -> u32 {
    let failed = 1.0 - bar.ratio().unwrap_or(1.0);
    ((failed * f64::from(HEIGHT)).round() as u32).clamp(LEAST_FAILED, HEIGHT)
}

/// Formats the time from `from` to `to`, which are whole hours or days in UTC.
fn period(from: SystemTime, to: SystemTime, bars: Bars) -> String {
    let text = |at: SystemTime| humantime::format_rfc3339_seconds(at).to_string();
    let (from_text, to_text) = (text(from), text(to));
    if bars.hours >= 24 {
        let last = text(to - Duration::from_secs(1));
        let (first_day, last_day) = (from_text[..10].to_owned(), last[..10].to_owned());
        if first_day == last_day {
            first_day
        } else {
            format!("{first_day} to {last_day}")
        }
    } else {
        format!(
            "{} {} to {} UTC",
            &from_text[..10],
            &from_text[11..16],
            &to_text[11..16]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn bar(up: u64, down: u64, maintenance: u64) -> Uptime {
        Uptime {
            window: HOUR,
            span: HOUR,
            up: Duration::from_secs(up),
            down: Duration::from_secs(down),
            maintenance: Duration::from_secs(maintenance),
        }
    }

    #[test]
    fn alike_bars_are_named_together_and_each_failure_by_itself() {
        let bars = Bars { count: 6, hours: 1 };
        let now = SystemTime::UNIX_EPOCH + HOUR * 10 - Duration::from_secs(1);
        let uptimes = [
            bar(0, 0, 0),
            bar(3600, 0, 0),
            bar(3600, 0, 0),
            bar(3540, 60, 0),
            bar(0, 3600, 0),
            bar(0, 0, 3600),
        ];
        let drawn = Availability::new(&uptimes, bars, now);
        let titles: Vec<&str> = drawn
            .bars
            .0
            .split("<title>")
            .skip(1)
            .filter_map(|it| it.split("</title>").next())
            .collect();
        assert_eq!(
            titles,
            [
                "1970-01-01 04:00 to 05:00 UTC: not watched",
                "1970-01-01 05:00 to 07:00 UTC: up",
                "1970-01-01 07:00 to 08:00 UTC: 98.3\u{a0}%, 60 s down",
                "1970-01-01 08:00 to 09:00 UTC: 0\u{a0}%, 60 min down",
                "1970-01-01 09:00 to 10:00 UTC: maintenance",
            ]
        );
        assert_eq!(drawn.ratio.as_deref(), Some("74.6\u{a0}%"));
        assert_eq!(drawn.watched.as_deref(), Some("5 h"));
        assert!(drawn.bars.0.contains(r#"class="failed" d="M15 0v4h4v-4z""#));
    }

    #[test]
    fn without_data_there_is_no_share() {
        let bars = Bars {
            count: 2,
            hours: 24,
        };
        let now = SystemTime::UNIX_EPOCH + HOUR * 48 - Duration::from_secs(1);
        let drawn = Availability::new(&[bar(0, 0, 0), bar(0, 0, 0)], bars, now);
        assert_eq!((drawn.ratio, drawn.watched), (None, None));
        assert!(
            drawn
                .bars
                .0
                .contains("<title>1970-01-01 to 1970-01-02: not watched</title>")
        );
    }
}
