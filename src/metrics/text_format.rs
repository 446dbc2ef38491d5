//! The Prometheus text format 0.0.4: the only place that writes HELP, TYPE, labels and values.
//!
//! Text is handed on in chunks while it is written: with ten thousand peers one family is
//! megabytes, and the prometheus crate's models cost several allocations per series.

use std::fmt::{Display, Write as _};

use prometheus::proto::{MetricFamily, MetricType};

use crate::fleet::{BUCKETS_SECONDS, LatencyHistogram};

use super::catalogue::{Definition, Kind};

/// Text is handed on once it is this long, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Why writing to a `String` cannot fail.
const INFALLIBLE: &str = "writing to a String cannot fail";

/// A label's name and value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Writes an exposition family by family.
pub(super) struct Writer<'a> {
    out: &'a mut dyn FnMut(&str),
    text: String,
    series: u64,
}

/// A family that is being written.
pub(super) struct Family<'w, 'out> {
    name: &'w str,
    help: &'w str,
    kind: Kind,
    writer: &'w mut Writer<'out>,
    /// Whether HELP and TYPE are written; they are left out of a family without samples.
    has_header: bool,
}

impl<'a> Writer<'a> {
    /// A writer that hands the text to `out` in chunks of about [`CHUNK_BYTES`].
    pub(super) fn new(out: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            out,
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
            has_header: false,
        });
    }

    /// Writes a family gathered from a registry of the prometheus crate.
    pub(super) fn gathered_family(&mut self, gathered: &MetricFamily) {
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

impl Family<'_, '_> {
    /// Adds a sample. `labels` are those of the definition, in its order.
    pub(super) fn sample<'l>(&mut self, labels: impl IntoIterator<Item = Label<'l>>, value: f64) {
        self.line("", labels, value);
    }

    /// Adds a sample that is a non-negative integer.
    pub(super) fn integer<'l>(&mut self, labels: impl IntoIterator<Item = Label<'l>>, value: u64) {
        self.line("", labels, value);
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
            self.bucket(labels.clone(), bound, count);
        }
        self.bucket(labels.clone(), "+Inf", count);
        self.line("_sum", labels.clone(), sum);
        self.line("_count", labels, count);
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
        let (name, text) = (self.name, &mut self.writer.text);
        if !self.has_header {
            self.has_header = true;
            write!(text, "# HELP {name} ").expect(INFALLIBLE);
            write_escaped(self.help, &['\\', '\n'], text);
            write!(text, "\n# TYPE {name} {}\n", self.kind.as_str()).expect(INFALLIBLE);
        }
        text.push_str(name);
        text.push_str(suffix);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric};
    use prometheus::{GaugeVec, HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder};

    use super::super::catalogue::ALL;
    use super::*;

    fn written(fill: impl FnOnce(&mut Writer<'_>)) -> (String, u64) {
        let mut text = String::new();
        let mut out = |chunk: &str| text.push_str(chunk);
        let mut writer = Writer::new(&mut out);
        fill(&mut writer);
        let series = writer.finish();
        (text, series)
    }

    fn samples(text: &str) -> u64 {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.count() as u64
    }

    /// The same family in the prometheus crate's models.
    fn model(
        definition: &Definition,
        labels: &[Label<'_>],
        value: f64,
        latencies: &LatencyHistogram,
    ) -> MetricFamily {
        let pair = |(name, value): &Label<'_>| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut metric = Metric::from_label(labels.iter().map(pair).collect());
        let kind = match definition.kind {
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
                MetricType::GAUGE
            }
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
                MetricType::COUNTER
            }
            Kind::Histogram => {
                let bucket = |(bound, count)| {
                    let mut bucket = Bucket::default();
                    bucket.set_upper_bound(bound);
                    bucket.set_cumulative_count(count);
                    bucket
                };
                let mut histogram = Histogram::default();
                histogram.set_sample_count(latencies.count());
                histogram.set_sample_sum(latencies.sum());
                histogram.set_bucket(latencies.cumulative().map(bucket).collect());
                metric.set_histogram(histogram);
                MetricType::HISTOGRAM
            }
        };
        let mut family = MetricFamily::default();
        family.set_name(definition.name.to_owned());
        family.set_help(definition.help.to_owned());
        family.set_field_type(kind);
        family.set_metric(vec![metric]);
        family
    }

    #[test]
    fn peers_are_written_as_the_prometheus_crate_writes_them() {
        let mut latencies = LatencyHistogram::default();
        for ms in [1, 300, 60_000] {
            latencies.observe(Duration::from_millis(ms));
        }
        for labels in [
            &[][..],
            &[("peer", "a"), ("network", "all \\ \"said\"\nüber")],
        ] {
            for value in [0.0, 1.0, -2.5, 0.1, 1e-9, 1_764_363_600.25, 1e18, f64::NAN] {
                for definition in ALL {
                    let (text, series) = written(|writer| {
                        writer.family(definition, |family| {
                            let labels = labels.iter().copied();
                            if definition.kind == Kind::Histogram {
                                family.latencies(labels, &latencies, true);
                            } else {
                                family.sample(labels, value);
                            }
                        });
                    });
                    let families = [model(definition, labels, value, &latencies)];
                    let expected = TextEncoder::new().encode_to_string(&families).unwrap();
                    assert_eq!(text, expected);
                    assert_eq!(series, samples(&text));
                    let gathered = written(|writer| writer.gathered_family(&families[0]));
                    assert_eq!(gathered, (text, series));
                }
            }
        }
    }

    #[test]
    fn a_registry_is_written_as_the_prometheus_crate_writes_it() {
        let help = "A \"quoted\" \\ help\nof two lines.";
        let registry = Registry::new();
        let sent = IntCounterVec::new(Opts::new("sent_total", help), &["receiver"]).unwrap();
        let ratio = GaugeVec::new(Opts::new("ratio", help), &["a", "b"]).unwrap();
        let delay = HistogramOpts::new("delay_seconds", help).buckets(BUCKETS_SECONDS.to_vec());
        let delay = prometheus::Histogram::with_opts(delay).unwrap();
        let unused = IntCounterVec::new(Opts::new("unused_total", help), &["receiver"]).unwrap();
        registry.register(Box::new(sent.clone())).unwrap();
        registry.register(Box::new(ratio.clone())).unwrap();
        registry.register(Box::new(delay.clone())).unwrap();
        registry.register(Box::new(unused)).unwrap();
        sent.with_label_values(&["a \\ \"b\"\nc"]).inc_by(7);
        sent.with_label_values(&["d"]).inc();
        for value in [-0.5, 1e-9, 1e18, f64::INFINITY] {
            ratio
                .with_label_values(&["x", &value.to_string()])
                .set(value);
        }
        delay.observe(0.3);
        delay.observe(60.0);

        let families = registry.gather();
        let (text, series) = written(|writer| {
            for family in &families {
                writer.gathered_family(family);
            }
        });
        let expected = TextEncoder::new().encode_to_string(&families).unwrap();
        assert_eq!(text, expected);
        assert_eq!(series, samples(&text));
    }

    #[test]
    fn a_family_without_samples_is_not_written() {
        let (text, series) = written(|writer| writer.family(ALL[0], |_| ()));
        assert_eq!((text.as_str(), series), ("", 0));
    }

    #[test]
    fn a_long_text_is_handed_on_in_chunks() {
        let (mut chunks, mut bytes) = (0, 0);
        let mut out = |chunk: &str| {
            chunks += 1;
            bytes += chunk.len();
        };
        let mut writer = Writer::new(&mut out);
        writer.family(ALL[0], |family| {
            for _ in 0..10_000 {
                family.integer([("peer", "a"), ("network", "n")], 1);
            }
        });
        assert_eq!(writer.finish(), 10_000);
        assert!(bytes > 4 * CHUNK_BYTES);
        assert!(chunks > 4);
    }
}
