use std::time::{Duration, UNIX_EPOCH};

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric};
use prometheus::{GaugeVec, HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder};

use super::super::catalogue::ALL;
use super::*;

fn written(fill: impl FnOnce(&mut Writer<'_>)) -> (String, u64) {
    written_as(Format::Text, fill)
}

fn written_as(format: Format, fill: impl FnOnce(&mut Writer<'_>)) -> (String, u64) {
    let mut text = String::new();
    let mut out = |chunk: &str| text.push_str(chunk);
    let mut writer = Writer::new(format, &mut out);
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
                let gathered = written(|writer| writer.gathered_family(&families[0], None));
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
            writer.gathered_family(family, None);
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
    let mut writer = Writer::new(Format::Text, &mut out);
    writer.family(ALL[0], |family| {
        for _ in 0..10_000 {
            family.integer([("peer", "a"), ("network", "n")], 1);
        }
    });
    assert_eq!(writer.finish(), 10_000);
    assert!(bytes > 4 * CHUNK_BYTES);
    assert!(chunks > 4);
}

/// Returns a family of the catalogue with one sample as OpenMetrics, without its help.
fn open_metrics(name: &str, value: u64) -> String {
    let definition = ALL.iter().find(|definition| definition.name == name);
    let mut latencies = LatencyHistogram::default();
    latencies.observe(Duration::from_millis(300));
    let (text, series) = written_as(Format::OpenMetrics, |writer| {
        writer.family(definition.unwrap(), |family| {
            family.counting_since(UNIX_EPOCH + Duration::from_millis(1_500));
            let labels = [("peer", "a")];
            if definition.unwrap().kind == Kind::Histogram {
                family.latencies(labels, &latencies, false);
            } else {
                family.integer(labels, value);
            }
        });
    });
    assert_eq!(series, samples(&text));
    let lines = text.lines().filter(|line| !line.starts_with("# HELP"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn open_metrics_names_families_without_the_suffixes_of_their_samples() {
    assert_eq!(
        open_metrics("convex_peer_polls_total", 7),
        "# TYPE convex_peer_polls counter\n\
         convex_peer_polls_total{peer=\"a\"} 7\n\
         convex_peer_polls_created{peer=\"a\"} 1.5\n# EOF"
    );
    assert_eq!(
        open_metrics("convex_peer_process_cpu_seconds_total", 7),
        "# TYPE convex_peer_process_cpu_seconds counter\n\
         # UNIT convex_peer_process_cpu_seconds seconds\n\
         convex_peer_process_cpu_seconds_total{peer=\"a\"} 7\n\
         convex_peer_process_cpu_seconds_created{peer=\"a\"} 1.5\n# EOF"
    );
    assert_eq!(
        open_metrics("convex_peer_info", 1),
        "# TYPE convex_peer info\nconvex_peer_info{peer=\"a\"} 1\n# EOF"
    );
    assert_eq!(
        open_metrics("convex_peer_up", 1),
        "# TYPE convex_peer_up gauge\nconvex_peer_up{peer=\"a\"} 1\n# EOF"
    );
}

#[test]
fn a_histogram_of_open_metrics_says_when_it_began() {
    assert_eq!(
        open_metrics("convex_probe_duration_seconds", 0),
        "# TYPE convex_probe_duration_seconds histogram\n\
         # UNIT convex_probe_duration_seconds seconds\n\
         convex_probe_duration_seconds_bucket{peer=\"a\",le=\"+Inf\"} 1\n\
         convex_probe_duration_seconds_sum{peer=\"a\"} 0.3\n\
         convex_probe_duration_seconds_count{peer=\"a\"} 1\n\
         convex_probe_duration_seconds_created{peer=\"a\"} 1.5\n# EOF"
    );
}

#[test]
fn a_counter_that_is_still_at_0_shows_that_itself() {
    assert_eq!(
        open_metrics("convex_peer_polls_total", 0),
        "# TYPE convex_peer_polls counter\nconvex_peer_polls_total{peer=\"a\"} 0\n# EOF"
    );
}

#[test]
fn bounds_of_open_metrics_are_floats_and_quotes_in_its_help_are_escaped() {
    let registry = Registry::new();
    let delay = HistogramOpts::new("delay_seconds", "A \"quoted\" \\ help\nof two lines.");
    let delay = prometheus::Histogram::with_opts(delay.buckets(vec![0.001, 1.0, 10.0])).unwrap();
    registry.register(Box::new(delay.clone())).unwrap();
    delay.observe(0.5);
    let (text, _) = written_as(Format::OpenMetrics, |writer| {
        writer.gathered_family(&registry.gather()[0], None);
    });
    assert!(text.starts_with("# HELP delay_seconds A \\\"quoted\\\" \\\\ help\\nof two lines.\n"));
    let bounds: Vec<&str> = text.split("le=\"").skip(1).collect();
    let bounds: Vec<&str> = bounds
        .iter()
        .map(|it| it.split('"').next().unwrap())
        .collect();
    assert_eq!(bounds, ["0.001", "1.0", "10.0", "+Inf"]);
}
