//! Metrics and labels of an expression, checked against the metric catalogue.

use std::collections::BTreeSet;
use std::convert::Infallible;

use convex_client::{ORDER_LEVELS, Transport};
use convex_peer_monitor::config::Role;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, Health, OrderState, StakeClass};
use convex_peer_monitor::metrics::{ALL, Definition, Kind, Lean};
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, StringLiteral, VectorSelector, parse,
};
use promql_parser::util::{ExprVisitor, walk_expr};

/// Labels that Prometheus adds to every scraped series.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// Metrics that Prometheus generates.
const PROMETHEUS_METRICS: [(&str, &[&str]); 4] = [
    ("up", &[]),
    ("scrape_duration_seconds", &[]),
    (
        "ALERTS",
        &[
            "alertname",
            "alertstate",
            "severity",
            "peer",
            "network",
            "service",
            "vantage",
        ],
    ),
    (
        "ALERTS_FOR_STATE",
        &[
            "alertname",
            "severity",
            "peer",
            "network",
            "service",
            "vantage",
        ],
    ),
];

/// The metrics and labels that an expression uses.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// The metric and the matchers of each selector.
    pub(super) selectors: Vec<(String, Vec<Matcher>)>,
    /// Labels that are grouped by, matched on or copied.
    labels: BTreeSet<String>,
    /// Labels that the expression creates.
    created: BTreeSet<String>,
}

impl Named {
    /// Parses an expression.
    pub(super) fn new(expression: &str) -> Self {
        let parsed = parse(expression).unwrap_or_else(|error| panic!("{error} in {expression}"));
        let mut named = Self::default();
        let Ok(_) = walk_expr(&mut named, &parsed);
        named
    }

    fn select(&mut self, selector: &VectorSelector) {
        let name = selector.name.clone().expect("a selector has a metric");
        self.selectors
            .push((name, selector.matchers.matchers.clone()));
    }

    fn modify(&mut self, modifier: Option<&LabelModifier>) {
        if let Some(modifier) = modifier {
            self.labels.extend(modifier.labels().labels.iter().cloned());
        }
    }

    /// Panics unless every metric and label is in the catalogue, or is recorded by a rule named in
    /// `recorded`.
    pub(super) fn exists(&self, recorded: &BTreeSet<String>, expression: &str) {
        let mut known: BTreeSet<String> = self.created.clone();
        known.extend(TARGET_LABELS.map(str::to_owned));
        for (metric, matchers) in &self.selectors {
            let labels = labels_of(metric, recorded)
                .unwrap_or_else(|| panic!("there is no metric {metric}: {expression}"));
            for matcher in matchers {
                assert!(
                    labels.contains(&matcher.name)
                        || TARGET_LABELS.contains(&matcher.name.as_str()),
                    "{metric} has no label {}: {expression}",
                    matcher.name
                );
                values_exist(matcher, expression);
            }
            known.extend(labels);
        }
        for label in &self.labels {
            assert!(
                known.contains(label),
                "no metric has the label {label}: {expression}"
            );
        }
    }
}

impl ExprVisitor for Named {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.select(selector),
            Expr::MatrixSelector(matrix) => self.select(&matrix.vs),
            Expr::Aggregate(AggregateExpr {
                modifier, param, ..
            }) => {
                self.modify(modifier.as_ref());
                if let Some(Expr::StringLiteral(StringLiteral { val })) = param.as_deref() {
                    self.created.insert(val.clone());
                }
            }
            Expr::Binary(BinaryExpr {
                modifier: Some(modifier),
                ..
            }) => {
                self.modify(modifier.matching.as_ref());
                if let Some(copied) = modifier.card.labels() {
                    self.labels.extend(copied.labels.iter().cloned());
                }
            }
            Expr::Call(Call { func, args }) if func.name == "label_replace" => {
                if let Expr::StringLiteral(made) = &*args.args[1] {
                    self.created.insert(made.val.clone());
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

/// Returns the definition of a metric. A histogram has three metric names.
pub(super) fn definition(metric: &str) -> Option<&'static Definition> {
    ALL.iter().copied().find(|definition| {
        let suffix = metric.strip_prefix(definition.name);
        match definition.kind {
            Kind::Histogram => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
            Kind::Gauge | Kind::Counter => suffix == Some(""),
        }
    })
}

/// Whether lean detail exposes the metric, with the label `reason` if `by_reason`. True for metrics
/// that are not in the catalogue, such as recorded ones.
pub(super) fn is_lean(metric: &str, by_reason: bool) -> bool {
    definition(metric).is_none_or(|definition| match definition.lean {
        Lean::Kept => true,
        Lean::Reduced(_) => !metric.ends_with("_bucket") && !by_reason,
        Lean::Omitted => false,
    })
}

fn labels_of(metric: &str, recorded: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let own = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    if let Some(definition) = definition(metric) {
        let mut labels: BTreeSet<String> = own(definition.labels);
        if metric.ends_with("_bucket") {
            labels.insert("le".to_owned());
        }
        return Some(labels);
    }
    if recorded.contains(metric) {
        // The first part of a recorded name determines the labels.
        return match metric.split(':').next() {
            Some("network") => Some(own(&["network"])),
            Some("peer") => Some(own(&["peer", "network"])),
            Some("service") => Some(own(&["network", "service"])),
            Some("peer_mode") => Some(own(&["peer", "network", "mode"])),
            Some("network_vantage") => Some(own(&["network", "vantage"])),
            Some("peer_transport") => Some(own(&["peer", "network", "transport"])),
            _ => None,
        };
    }
    let (_, labels) = PROMETHEUS_METRICS
        .iter()
        .find(|(name, _)| *name == metric)?;
    Some(own(labels))
}

/// Returns all values of a label with a fixed set of values.
fn values(label: &str) -> Option<Vec<&'static str>> {
    Some(match label {
        "condition" => {
            let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
            let besides = Condition::BESIDES_REASONS
                .iter()
                .map(|(condition, _)| condition.as_str());
            reasons.chain(besides).collect()
        }
        "state" => {
            let health = Health::ALL.iter().map(|it| it.as_str());
            health
                .chain(OrderState::ALL.iter().map(|it| it.as_str()))
                .collect()
        }
        "standing" => StakeClass::ALL.iter().map(|it| it.as_str()).collect(),
        "reason" => Reason::ALL.iter().map(|it| it.as_str()).collect(),
        "transport" => Transport::ALL.iter().map(|it| it.as_str()).collect(),
        "role" => [Role::Own, Role::Reference]
            .iter()
            .map(|it| it.as_str())
            .collect(),
        "level" => ORDER_LEVELS.to_vec(),
        "check" => vec![
            "advertised_url",
            "genesis",
            "key_proof",
            "peer_key",
            "transports_agree",
        ],
        "severity" => vec!["critical", "warning", "info"],
        "alertstate" => vec!["firing", "pending"],
        _ => return None,
    })
}

/// Panics on a value that does not exist: it would silently select nothing.
fn values_exist(matcher: &Matcher, expression: &str) {
    let Some(values) = values(&matcher.name) else {
        return;
    };
    let selected: Vec<&str> = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
        MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
    };
    for value in selected {
        assert!(
            values.contains(&value),
            "{} is never {value:?}: {expression}",
            matcher.name
        );
    }
}

mod tests {
    use super::*;

    fn fails(expression: &str) -> bool {
        std::panic::catch_unwind(|| Named::new(expression).exists(&BTreeSet::new(), expression))
            .is_err()
    }

    #[test]
    fn metrics_labels_and_values_that_do_not_exist_are_found() {
        for good in [
            "max by (peer) (convex_peer_health{state=\"down\"})",
            "convex_monitor_shard * on (job, instance) group_left (vantage) convex_monitor_info",
            "count(count_values(\"shard\", convex_monitor_shard))",
            "rate(convex_probe_duration_seconds_bucket{le=\"1\"}[5m])",
        ] {
            assert!(!fails(good), "{good}");
        }
        for bad in [
            "convex_peer_heath",
            "convex_probe_duration_seconds",
            "convex_peer_up_bucket",
            "convex_peer_health{mood=\"down\"}",
            "convex_peer_health{state=\"dwn\"}",
            "convex_peer_condition{condition=~\"wrong_peer|wrong_pear\"}",
            "max by (pear) (convex_peer_up)",
            "convex_peer_up * on (job, instanze) convex_peer_up",
            "convex_peer_up * on (job) group_left (vintage) convex_monitor_info",
            "peer:never_recorded:rate5m",
            "rate(convex_peer_polls_total[5m)",
        ] {
            assert!(fails(bad), "{bad}");
        }
    }
}
