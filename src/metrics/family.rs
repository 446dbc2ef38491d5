//! Writes metrics family by family in the text format 0.0.4 and passes them on piece by piece: of ten thousand peers a family
//! alone is megabytes, and the models of the prometheus crate are several allocations a series.

use std::fmt::{Display, Write as _};

use prometheus::TextEncoder;
use prometheus::proto::{MetricFamily, MetricType};

use crate::fleet::{BUCKETS_SECONDS, Latencies};

use super::catalogue::{Definition, Kind};

/// Text is passed on when it is as long as this, bytes.
const PIECE: usize = 64 << 10;

/// Why writing to a `String` cannot fail.
const ANY_TEXT: &str = "a String takes any text";

/// A label's name and value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// An exposition being written.
pub(super) struct Writer<'a> {
    out: &'a mut dyn FnMut(&str),
    text: String,
    series: u64,
}

/// A family being written.
pub(super) struct Family<'w, 'out> {
    definition: &'static Definition,
    writer: &'w mut Writer<'out>,
    /// Nothing at all is written of a family without a sample.
    begun: bool,
}

impl<'a> Writer<'a> {
    /// Passes the text on to `out`, in pieces of about [`PIECE`].
    pub(super) fn new(out: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            out,
            text: String::with_capacity(PIECE + PIECE / 8),
            series: 0,
        }
    }

    /// Writes what `fill` puts into the family; nothing at all when that is nothing.
    pub(super) fn family(
        &mut self,
        definition: &'static Definition,
        fill: impl FnOnce(&mut Family<'_, 'a>),
    ) {
        fill(&mut Family {
            definition,
            writer: self,
            begun: false,
        });
    }

    /// Writes a family that was gathered by the prometheus crate.
    pub(super) fn gathered(&mut self, family: &MetricFamily) {
        if family.get_metric().is_empty() {
            return;
        }
        self.series += series(family);
        TextEncoder::new()
            .encode_utf8(std::slice::from_ref(family), &mut self.text)
            .expect("a String takes any text, and the family has a name and metrics");
        self.pass_on(PIECE);
    }

    /// Passes on what is left; the number of series written.
    pub(super) fn finish(mut self) -> u64 {
        self.pass_on(1);
        self.series
    }

    /// Series written so far.
    pub(super) const fn series(&self) -> u64 {
        self.series
    }

    fn pass_on(&mut self, from: usize) {
        if self.text.len() >= from {
            (self.out)(&self.text);
            self.text.clear();
        }
    }

    /// A series was written.
    fn written(&mut self) {
        self.series += 1;
        self.pass_on(PIECE);
    }
}

/// Writes the labels but for the closing brace; whether there was any.
fn write_labels<'l>(labels: impl IntoIterator<Item = Label<'l>>, text: &mut String) -> bool {
    let mut separator = '{';
    for (name, value) in labels {
        text.push(separator);
        text.push_str(name);
        text.push_str("=\"");
        escape(value, text);
        text.push('"');
        separator = ',';
    }
    separator == ','
}

/// A label's value as it stands in the format.
fn escape(value: &str, text: &mut String) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
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

/// A histogram is as many series as buckets, the infinite one included, and two more.
fn series(family: &MetricFamily) -> u64 {
    match family.get_field_type() {
        MetricType::HISTOGRAM => {
            let metrics = family.get_metric().iter();
            metrics
                .map(|metric| metric.get_histogram().get_bucket().len() as u64 + 3)
                .sum()
        }
        _ => family.get_metric().len() as u64,
    }
}

impl Family<'_, '_> {
    /// Adds a gauge's or a counter's sample. `labels` are those of the definition, in its order.
    pub(super) fn sample<'l>(&mut self, labels: impl IntoIterator<Item = Label<'l>>, value: f64) {
        self.line("", labels, value);
    }

    /// Adds a counter's sample, or a gauge's that is a whole number.
    pub(super) fn count<'l>(&mut self, labels: impl IntoIterator<Item = Label<'l>>, value: u64) {
        self.line("", labels, value);
    }

    /// Adds a histogram, with all buckets or the infinite one alone.
    pub(super) fn histogram<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>> + Clone,
        latencies: &Latencies,
        buckets: bool,
    ) {
        let shown = if buckets { BUCKETS_SECONDS.len() } else { 0 };
        for (bound, count) in latencies.cumulative().take(shown) {
            self.bucket(labels.clone(), bound, count);
        }
        self.bucket(labels.clone(), "+Inf", latencies.count());
        self.line("_sum", labels.clone(), latencies.sum());
        self.line("_count", labels, latencies.count());
    }

    fn bucket<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>>,
        bound: impl Display,
        count: u64,
    ) {
        self.begin("_bucket");
        let text = &mut self.writer.text;
        let opened = write_labels(labels, text);
        text.push(if opened { ',' } else { '{' });
        writeln!(text, "le=\"{bound}\"}} {count}").expect(ANY_TEXT);
        self.writer.written();
    }

    fn line<'l>(
        &mut self,
        suffix: &str,
        labels: impl IntoIterator<Item = Label<'l>>,
        value: impl Display,
    ) {
        self.begin(suffix);
        let text = &mut self.writer.text;
        if write_labels(labels, text) {
            text.push('}');
        }
        writeln!(text, " {value}").expect(ANY_TEXT);
        self.writer.written();
    }

    /// Begins a series, and with the first one the family.
    fn begin(&mut self, suffix: &str) {
        let Definition { name, help, .. } = self.definition;
        let text = &mut self.writer.text;
        if !self.begun {
            self.begun = true;
            let kind = match self.definition.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
                Kind::Histogram => "histogram",
            };
            // No help text of the catalogue has a character to escape.
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect(ANY_TEXT);
        }
        text.push_str(name);
        text.push_str(suffix);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric};

    use super::*;
    use crate::metrics::ALL;

    fn written(fill: impl FnOnce(&mut Writer<'_>)) -> (String, u64) {
        let mut text = String::new();
        let mut out = |piece: &str| text.push_str(piece);
        let mut writer = Writer::new(&mut out);
        fill(&mut writer);
        let series = writer.finish();
        (text, series)
    }

    /// The same by the models and the encoder of the prometheus crate.
    fn by_the_crate(
        definition: &Definition,
        labels: &[Label<'_>],
        value: f64,
        latencies: &Latencies,
    ) -> String {
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
        TextEncoder::new().encode_to_string(&[family]).unwrap()
    }

    #[test]
    fn it_reads_as_what_the_prometheus_crate_writes() {
        let mut latencies = Latencies::default();
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
                                family.histogram(labels, &latencies, true);
                            } else {
                                family.sample(labels, value);
                            }
                        });
                    });
                    assert_eq!(text, by_the_crate(definition, labels, value, &latencies));
                    let samples = text.lines().filter(|line| !line.starts_with('#'));
                    assert_eq!(series, samples.count() as u64);
                }
            }
        }
    }

    #[test]
    fn without_samples_there_is_no_family() {
        let (text, series) = written(|writer| writer.family(ALL[0], |_| ()));
        assert_eq!((text.as_str(), series), ("", 0));
    }

    #[test]
    fn a_long_text_is_passed_on_in_pieces() {
        let (mut pieces, mut whole) = (0, 0);
        let mut out = |piece: &str| {
            pieces += 1;
            whole += piece.len();
        };
        let mut writer = Writer::new(&mut out);
        writer.family(ALL[0], |family| {
            for _ in 0..10_000 {
                family.count([("peer", "a"), ("network", "n")], 1);
            }
        });
        assert_eq!(writer.finish(), 10_000);
        assert!(whole > 4 * PIECE);
        assert!(pieces > 4);
    }
}
