//! What an expression names, checked against the metric catalogue.

use std::collections::BTreeSet;
use std::convert::Infallible;

use convex_client::{LEVELS, Transport};
use convex_peer_monitor::config::Role;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, Health, OrderState, StakeClass};
use convex_peer_monitor::metrics::{ALL, Definition, Kind, Lean};
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, StringLiteral, VectorSelector, parse,
};
use promql_parser::util::{ExprVisitor, walk_expr};

/// Set by Prometheus on everything that it scrapes.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// Metrics that Prometheus makes itself.
const OF_PROMETHEUS: [(&str, &[&str]); 3] = [
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
            "vantage",
        ],
    ),
];

/// What one expression names.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Each selector: the metric and its matchers.
    pub(super) selectors: Vec<(String, Vec<Matcher>)>,
    /// Labels that are grouped by, matched on or copied.
    labels: BTreeSet<String>,
    /// Labels that the expression makes itself.
    made: BTreeSet<String>,
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
        let name = selector.name.clone().expect("a selector names its metric");
        self.selectors
            .push((name, selector.matchers.matchers.clone()));
    }

    fn modify(&mut self, modifier: Option<&LabelModifier>) {
        if let Some(modifier) = modifier {
            self.labels.extend(modifier.labels().labels.iter().cloned());
        }
    }

    /// Panics unless every metric and label is in the catalogue, or is recorded by a rule named in `recorded`.
    pub(super) fn exists(&self, recorded: &BTreeSet<String>, expression: &str) {
        let mut known: BTreeSet<String> = self.made.clone();
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
                    self.made.insert(val.clone());
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
                    self.made.insert(made.val.clone());
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

/// The definition that a series belongs to: a histogram has three names.
pub(super) fn definition(metric: &str) -> Option<&'static Definition> {
    ALL.iter().copied().find(|definition| {
        let suffix = metric.strip_prefix(definition.name);
        match definition.kind {
            Kind::Histogram => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
            Kind::Gauge | Kind::Counter => suffix == Some(""),
        }
    })
}

/// Whether lean detail writes a series, as far as its metric and the label `reason` say; recorded ones are made of such.
pub(super) fn is_lean(metric: &str, by_reason: bool) -> bool {
    definition(metric).is_none_or(|definition| match definition.lean {
        Lean::Kept => true,
        Lean::Reduced(_) => !metric.ends_with("_bucket") && !by_reason,
        Lean::Left => false,
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
        // The first part of a recorded name says what the series are of.
        return match metric.split(':').next() {
            Some("peer") => Some(own(&["peer", "network"])),
            Some("peer_transport") => Some(own(&["peer", "network", "transport"])),
            _ => None,
        };
    }
    let (_, labels) = OF_PROMETHEUS.iter().find(|(name, _)| *name == metric)?;
    Some(own(labels))
}

/// Every value of a closed label, as the code has it.
fn closed(label: &str) -> Option<Vec<&'static str>> {
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
        "level" => LEVELS.to_vec(),
        "check" => vec!["advertised_url", "genesis", "peer_key", "transports_agree"],
        "severity" => vec!["critical", "warning", "info"],
        "alertstate" => vec!["firing", "pending"],
        _ => return None,
    })
}

/// A misspelt value would select nothing, for ever and in silence.
fn values_exist(matcher: &Matcher, expression: &str) {
    let Some(values) = closed(&matcher.name) else {
        return;
    };
    let wanted: Vec<&str> = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
        MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
    };
    for value in wanted {
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
    fn what_does_not_exist_is_found() {
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
