//! OpenMetrics: a Prometheus asks for it, and its reference parser accepts it.

use std::process::Stdio;

use convex_client::{HttpOptions, http_client};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::prometheus::Prometheus;
use super::{Agent, TIMEOUT, simulated};

/// Parses an exposition strictly. Prints each family: name, type, unit and number of samples.
const PARSER: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    print(family.name, family.type, family.unit or '-', len(family.samples))
";

/// Returns the families of an exposition as the Python client of Prometheus reads them.
async fn parsed(exposition: &str) -> Vec<String> {
    let mut python = Command::new("python3")
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    input.write_all(exposition.as_bytes()).await.unwrap();
    drop(input);
    let output = python.wait_with_output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let families = String::from_utf8(output.stdout).unwrap();
    families.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn prometheus_gets_open_metrics_with_units_and_created_times() {
    let network = simulated::network(2, &[], Some("1s")).await;
    let agent = Agent::start(&format!(
        "defaults: {{ interval: 1s, timeout: 900ms }}\nreferences: {{ interval: 1s }}\nmetrics: {{ detail: full }}\n\
         peers:\n- {{ name: one, endpoints: ['tcp://{}', 'http://{}'] }}\n\
         - {{ name: 'two \"2\"', role: reference, endpoints: ['tcp://{}'] }}\n",
        network.tcp(1),
        network.http(1),
        network.tcp(2),
    ))
    .await;
    let prometheus = Prometheus::start_without_rules(&agent.address, None).await;

    // Series that only OpenMetrics has, with a plausible value.
    let created = "count(convex_peer_polls_created)";
    prometheus.wait_for(created, |peers| peers == 2.0).await;
    let age = "time() - convex_peer_polls_created{peer=\"one\"}";
    let age = prometheus.wait_for(age, |age| age > 0.0).await;
    assert!(age < TIMEOUT.as_secs_f64());
    prometheus
        .wait_for("convex_peer_polls_total{peer=\"one\"}", |polls| polls > 1.0)
        .await;
    let bound = "convex_probe_duration_seconds_bucket{peer=\"one\",transport=\"tcp\",le=\"10.0\"}";
    prometheus.wait_for(bound, |count| count > 1.0).await;
    for (metric, kind, unit) in [
        ("convex_peer_process_cpu_seconds", "", ""),
        ("process_cpu_seconds", "counter", "seconds"),
        ("convex_probe_duration_seconds", "histogram", "seconds"),
        ("convex_peer", "info", ""),
        ("convex_peer_up", "gauge", ""),
    ] {
        let metadata = prometheus.metadata(metric).await;
        assert_eq!(
            metadata["type"].as_str().unwrap_or_default(),
            kind,
            "{metric}"
        );
        assert_eq!(
            metadata["unit"].as_str().unwrap_or_default(),
            unit,
            "{metric}"
        );
    }

    let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
    let request = client.get(format!("http://{}/metrics", agent.address));
    let request = request.header("accept", "application/openmetrics-text; version=1.0.0");
    let response = request.send().await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let exposition = response.text().await.unwrap();
    assert!(exposition.ends_with("\n# EOF\n"));
    let families = parsed(&exposition).await;
    for family in [
        "convex_peer_polls counter - 4",
        "convex_peer_up gauge - 2",
        "convex_peer info - 2",
        "process_cpu_seconds counter seconds 2",
    ] {
        assert!(
            families.iter().any(|it| it == family),
            "{family}: {families:#?}"
        );
    }
    // What the text format has too, and what is written of the exposition itself.
    let samples: usize = families
        .iter()
        .map(|family| family.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert!(exposition.contains(&format!("\nconvex_monitor_series {samples}\n")));
}

#[tokio::test]
#[should_panic(expected = "ValueError")]
async fn the_parser_of_open_metrics_finds_mistakes() {
    parsed("# TYPE a counter\na 1\n# EOF\n").await;
}

impl Prometheus {
    /// Returns what Prometheus knows about a family: null if nothing.
    async fn metadata(&self, family: &str) -> Value {
        let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
        let url = format!(
            "http://{}/api/v1/targets/metadata?metric={family}",
            self.address()
        );
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["data"][0].clone()
    }
}
