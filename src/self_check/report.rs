//! Logs which checks fail and pass again: each once, and none that fails because of another.

use std::collections::BTreeSet;

use super::kinds::{Check, CheckResult, Checks};

/// The failing checks that were logged.
#[derive(Default)]
pub(super) struct Report(BTreeSet<Check>);

impl Report {
    /// Logs what changed.
    pub(super) fn log(&mut self, checks: &Checks) {
        let (began, ended) = self.update(checks);
        for check in began {
            tracing::warn!(
                check = check.as_str(),
                "{}; polls that fail because of that do not count against peers",
                check.problem()
            );
        }
        for check in ended {
            tracing::info!(check = check.as_str(), "self-check passes again");
        }
    }

    /// Returns the checks that began to fail and those that pass again.
    fn update(&mut self, checks: &Checks) -> (Vec<Check>, Vec<Check>) {
        let fails = |check: Check| {
            let result = checks.0.get(&check);
            result.is_some_and(|result| *result != CheckResult::Passed)
        };
        // Offline nothing else can pass.
        let is_offline = fails(Check::Route);
        let follows = |check| is_offline && matches!(check, Check::Dns | Check::References);
        let failing = checks.0.keys().copied().filter(|check| fails(*check));
        let began: Vec<Check> = failing
            .filter(|check| !follows(*check) && !self.0.contains(check))
            .collect();
        self.0.extend(&began);
        self.0.retain(|check| checks.0.contains_key(check));
        let ended: Vec<Check> = self.0.iter().copied().filter(|it| !fails(*it)).collect();
        self.0.retain(|check| fails(*check));
        (began, ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(route: CheckResult, dns: CheckResult) -> Checks {
        [(Check::Route, route), (Check::Dns, dns)]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_host_that_is_offline_gets_one_line_and_another_when_it_is_back() {
        use CheckResult::{Failed, Passed, Suspect};
        let mut report = Report::default();
        assert_eq!(report.update(&checks(Passed, Passed)), (vec![], vec![]));
        let offline = checks(Failed, Suspect);
        assert_eq!(report.update(&offline), (vec![Check::Route], vec![]));
        assert_eq!(report.update(&offline), (vec![], vec![]));
        let back = checks(Passed, Passed);
        assert_eq!(report.update(&back), (vec![], vec![Check::Route]));
    }

    #[test]
    fn names_that_do_not_resolve_with_a_route_are_reported() {
        use CheckResult::{Failed, Passed, Suspect};
        let mut report = Report::default();
        report.update(&checks(Failed, Suspect));
        let (began, ended) = report.update(&checks(Passed, Suspect));
        assert_eq!((began, ended), (vec![Check::Dns], vec![Check::Route]));
        // A check that is no longer needed neither fails nor passes.
        let none = Checks::default();
        assert_eq!(report.update(&none), (vec![], vec![]));
        assert_eq!(report.update(&checks(Passed, Passed)), (vec![], vec![]));
    }
}
