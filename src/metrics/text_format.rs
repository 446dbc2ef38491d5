//! The Prometheus text format 0.0.4 and OpenMetrics 1.0: the only place that writes HELP, TYPE,
//! UNIT, labels and values.
//!
//! Text is handed on in chunks while it is written: with ten thousand peers one family is
//! megabytes, and the prometheus crate's models cost several allocations per series.

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use convex_client::seconds_since_epoch;
use prometheus::proto::{MetricFamily, MetricType};

use crate::fleet::{BUCKETS_SECONDS, LatencyHistogram};

use super::catalogue::{Definition, Kind};

/// Text is handed on once it is this long, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Why writing to a `String` cannot fail.
const INFALLIBLE: &str = "writing to a String cannot fail";

/// Units of OpenMetrics that names of families end with.
const UNITS: [&str; 4] = ["seconds", "bytes", "ratio", "cvm"];

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0: also says the units, and when counters began to count.
    OpenMetrics,
}

impl Format {
    /// Number of formats.
    pub const COUNT: usize = 2;

    /// Returns its content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A label's name and value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Writes an exposition family by family.
pub(super) struct Writer<'a> {
    out: &'a mut dyn FnMut(&str),
    format: Format,
    text: String,
    series: u64,
}

/// A family that is being written.
pub(super) struct Family<'w, 'out> {
    name: &'w str,
    help: &'w str,
    kind: Kind,
    writer: &'w mut Writer<'out>,
    /// When the counters that are written next were at 0.
    created: Option<SystemTime>,
    /// Whether HELP and TYPE are written; they are left out of a family without samples.
    has_header: bool,
}

impl<'a> Writer<'a> {
    /// A writer that hands the text to `out` in chunks of about [`CHUNK_BYTES`].
    pub(super) fn new(format: Format, out: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            out,
            format,
            text: String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8),
            series: 0,
        }
    }

    /// Writes the family that `fill` adds samples to; nothing if it adds none.
    pub(super) fn family(
        &mut self,
        definition: &'static Definition,
        fill: impl FnOnce(&mut Family<'_, 'a>),
    ) {
        fill(&mut Family {
            name: definition.name,
            help: definition.help,
            kind: definition.kind,
            writer: self,
            created: None,
            has_header: false,
        });
    }

    /// Writes a family gathered from a registry of the prometheus crate, whose counters have
    /// counted since `created`.
    pub(super) fn gathered_family(&mut self, gathered: &MetricFamily, created: Option<SystemTime>) {
        let kind = match gathered.get_field_type() {
            MetricType::COUNTER => Kind::Counter,
            MetricType::GAUGE => Kind::Gauge,
            MetricType::HISTOGRAM => Kind::Histogram,
            other => unreachable!("the agent registers no {other:?}"),
        };
        let mut family = Family {
            name: gathered.name(),
            help: gathered.help(),
            kind,
            writer: self,
            created,
            has_header: false,
        };
        for metric in gathered.get_metric() {
            let labels = metric.get_label().iter();
            let labels = labels.map(|label| (label.name(), label.value()));
            match kind {
                Kind::Counter => family.sample(labels, metric.get_counter().get_value()),
                Kind::Gauge => family.sample(labels, metric.get_gauge().get_value()),
                Kind::Histogram => {
                    let histogram = metric.get_histogram();
                    let buckets = histogram.get_bucket().iter();
                    family.histogram(
                        labels,
                        buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())),
                        histogram.get_sample_count(),
                        histogram.get_sample_sum(),
                    );
                }
            }
        }
    }

    /// Hands on the remaining text and returns the number of series written.
    pub(super) fn finish(mut self) -> u64 {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.flush_from(1);
        self.series
    }

    /// Number of series written so far.
    pub(super) const fn series(&self) -> u64 {
        self.series
    }

    /// Hands on the text if it has at least `min_bytes`.
    fn flush_from(&mut self, min_bytes: usize) {
        if self.text.len() >= min_bytes {
            (self.out)(&self.text);
            self.text.clear();
        }
    }

    fn end_series(&mut self) {
        self.series += 1;
        self.flush_from(CHUNK_BYTES);
    }
}

/// Writes the labels without the closing brace; returns whether there were any.
fn write_labels<'l>(labels: impl IntoIterator<Item = Label<'l>>, text: &mut String) -> bool {
    let mut separator = '{';
    for (name, value) in labels {
        text.push(separator);
        text.push_str(name);
        text.push_str("=\"");
        write_escaped(value, &['\\', '"', '\n'], text);
        text.push('"');
        separator = ',';
    }
    separator == ','
}

/// Writes `value` with a backslash before each of the `special` characters, a line feed as `\n`.
fn write_escaped(value: &str, special: &[char], text: &mut String) {
    let mut rest = value;
    while let Some(at) = rest.find(special) {
        text.push_str(&rest[..at]);
        text.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}

impl<'w> Family<'w, '_> {
    /// Sets when the counters that are added next were at 0; none if that is unknown.
    pub(super) fn counting_since(&mut self, created: impl Into<Option<SystemTime>>) {
        self.created = created.into();
    }

    /// Adds a sample. `labels` are those of the definition, in its order.
    pub(super) fn sample<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>, IntoIter: Clone>,
        value: f64,
    ) {
        self.value(labels, value, value == 0.0);
    }

    /// Adds a sample that is a non-negative integer.
    pub(super) fn integer<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>, IntoIter: Clone>,
        value: u64,
    ) {
        self.value(labels, value, value == 0);
    }

    fn value<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>, IntoIter: Clone>,
        value: impl Display,
        is_zero: bool,
    ) {
        let labels = labels.into_iter();
        self.line(self.value_suffix(), labels.clone(), value);
        if self.kind == Kind::Counter {
            self.created(labels, is_zero);
        }
    }

    /// Adds when a counter began to count, unless it is still at 0: most counters of failures are,
    /// and each would be two series.
    fn created<'l>(&mut self, labels: impl IntoIterator<Item = Label<'l>>, is_zero: bool) {
        if let Some(created) = self.created
            && self.writer.format == Format::OpenMetrics
            && !is_zero
        {
            self.line("_created", labels, seconds_since_epoch(created));
        }
    }

    /// Adds a latency histogram, with all buckets or only the infinite one.
    pub(super) fn latencies<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>> + Clone,
        latencies: &LatencyHistogram,
        all_buckets: bool,
    ) {
        let buckets = if all_buckets {
            BUCKETS_SECONDS.len()
        } else {
            0
        };
        self.histogram(
            labels,
            latencies.cumulative().take(buckets),
            latencies.count(),
            latencies.sum(),
        );
    }

    /// Adds a histogram: `buckets` are the finite upper bounds with their cumulative counts.
    fn histogram<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>> + Clone,
        buckets: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        for (bound, count) in buckets {
            match self.writer.format {
                Format::Text => self.bucket(labels.clone(), bound, count),
                // Its bounds have a point.
                Format::OpenMetrics => {
                    self.bucket(labels.clone(), format_args!("{bound:?}"), count);
                }
            }
        }
        self.bucket(labels.clone(), "+Inf", count);
        self.line("_sum", labels.clone(), sum);
        self.line("_count", labels.clone(), count);
        self.created(labels, count == 0);
    }

    fn bucket<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>>,
        bound: impl Display,
        count: u64,
    ) {
        self.begin_series("_bucket");
        let text = &mut self.writer.text;
        let any_label = write_labels(labels, text);
        text.push(if any_label { ',' } else { '{' });
        writeln!(text, "le=\"{bound}\"}} {count}").expect(INFALLIBLE);
        self.writer.end_series();
    }

    fn line<'l>(
        &mut self,
        suffix: &str,
        labels: impl IntoIterator<Item = Label<'l>>,
        value: impl Display,
    ) {
        self.begin_series(suffix);
        let text = &mut self.writer.text;
        if write_labels(labels, text) {
            text.push('}');
        }
        writeln!(text, " {value}").expect(INFALLIBLE);
        self.writer.end_series();
    }

    /// Writes the name of the next series, before the first one HELP and TYPE.
    fn begin_series(&mut self, suffix: &str) {
        let name = self.family_name();
        let is_open_metrics = self.writer.format == Format::OpenMetrics;
        let text = &mut self.writer.text;
        if !self.has_header {
            self.has_header = true;
            write!(text, "# HELP {name} ").expect(INFALLIBLE);
            let special = ['\\', '\n', '"'];
            let special = if is_open_metrics {
                &special[..]
            } else {
                &special[..2]
            };
            write_escaped(self.help, special, text);
            let kind = match self.kind {
                Kind::Gauge if name.len() < self.name.len() => "info",
                kind => kind.as_str(),
            };
            write!(text, "\n# TYPE {name} {kind}\n").expect(INFALLIBLE);
            let unit = name.rsplit('_').next().filter(|it| UNITS.contains(it));
            if let Some(unit) = unit.filter(|_| is_open_metrics) {
                writeln!(text, "# UNIT {name} {unit}").expect(INFALLIBLE);
            }
        }
        text.push_str(name);
        text.push_str(suffix);
    }

    /// What OpenMetrics takes for a suffix of the samples, not a part of the family's name.
    fn value_suffix(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge => "_info",
            Kind::Histogram => "",
        };
        let applies = self.writer.format == Format::OpenMetrics && self.name.ends_with(suffix);
        if applies { suffix } else { "" }
    }

    fn family_name(&self) -> &'w str {
        let suffix = self.value_suffix();
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

#[cfg(test)]
mod tests;
