//! Writes metrics family by family: only one is in memory at a time.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Encoder, TextEncoder};

use crate::fleet::Latencies;

use super::catalogue::{Definition, Kind};

/// A label's name and value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// An exposition being written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    series: u64,
}

/// A family being filled.
#[derive(Debug)]
pub(super) struct Family<'a> {
    definition: &'a Definition,
    metrics: Vec<Metric>,
}

impl Writer {
    /// Writes what `fill` puts into the family; nothing at all when that is nothing.
    pub(super) fn family(&mut self, definition: &Definition, fill: impl FnOnce(&mut Family<'_>)) {
        let mut family = Family {
            definition,
            metrics: Vec::new(),
        };
        fill(&mut family);
        let mut proto = MetricFamily::default();
        proto.set_name(definition.name.to_owned());
        proto.set_help(definition.help.to_owned());
        proto.set_field_type(match definition.kind {
            Kind::Gauge => MetricType::GAUGE,
            Kind::Counter => MetricType::COUNTER,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        proto.set_metric(family.metrics);
        self.write(&proto);
    }

    /// Writes a family that was gathered elsewhere.
    pub(super) fn write(&mut self, family: &MetricFamily) {
        if family.get_metric().is_empty() {
            return;
        }
        self.series += series(family);
        TextEncoder::new()
            .encode(std::slice::from_ref(family), &mut self.out)
            .expect("a Vec takes any bytes, and the family has a name and metrics");
    }

    /// Series written so far.
    pub(super) const fn series(&self) -> u64 {
        self.series
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// A histogram is as many series as buckets, the infinite one included, and two more.
fn series(family: &MetricFamily) -> u64 {
    let of = |metric: &Metric| {
        let buckets = metric.get_histogram().get_bucket();
        let infinite = buckets
            .last()
            .is_some_and(|last| last.upper_bound().is_infinite());
        buckets.len() as u64 + u64::from(!infinite) + 2
    };
    match family.get_field_type() {
        MetricType::HISTOGRAM => family.get_metric().iter().map(of).sum(),
        _ => family.get_metric().len() as u64,
    }
}

impl Family<'_> {
    /// Adds a gauge's or a counter's sample. `labels` are those of the definition, in its order.
    pub(super) fn sample<'l>(&mut self, labels: impl IntoIterator<Item = Label<'l>>, value: f64) {
        let mut metric = Metric::from_label(pairs(labels));
        match self.definition.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.metrics.push(metric);
    }

    /// Adds a counter's sample.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the exposition has only floats; exact up to 2^53"
    )]
    pub(super) fn count<'l>(&mut self, labels: impl IntoIterator<Item = Label<'l>>, value: u64) {
        self.sample(labels, value as f64);
    }

    /// Adds a histogram, with all buckets or the infinite one alone.
    pub(super) fn histogram<'l>(
        &mut self,
        labels: impl IntoIterator<Item = Label<'l>>,
        latencies: &Latencies,
        buckets: bool,
    ) {
        let mut histogram = Histogram::default();
        histogram.set_sample_count(latencies.count());
        histogram.set_sample_sum(latencies.sum());
        let bucket = |(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        if buckets {
            histogram.set_bucket(latencies.cumulative().map(bucket).collect());
        } else {
            histogram.set_bucket(vec![bucket((f64::INFINITY, latencies.count()))]);
        }
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }
}

fn pairs<'l>(labels: impl IntoIterator<Item = Label<'l>>) -> Vec<LabelPair> {
    let pair = |(name, value): Label<'_>| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    labels.into_iter().map(pair).collect()
}
