//! Tests, and a record for those of other modules.

use convex_client::transaction::{AccountKey, TransactionFailure};

use super::*;

/// A record of the account #7, of which nothing is known.
pub(crate) fn record() -> CanaryRecord {
    CanaryRecord::new(&Canary {
        account: 7,
        key_file: "key".into(),
        key: AccountKey::from_seed(&[7; 32]).into(),
        interval: Duration::from_secs(600),
        objective: Duration::from_secs(10),
        peers: None,
        daily_budget_copper: 1_000_000,
        allow_idle: false,
    })
}

/// A transaction that was executed within so many seconds.
pub(crate) fn executed(seconds: u64) -> CanaryResult {
    CanaryResult {
        at: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
        outcome: Ok(Executed {
            result: Duration::from_secs(seconds),
            seen: None,
        }),
    }
}

/// A transaction that failed.
pub(crate) fn failed(failure: TransactionFailure) -> CanaryResult {
    CanaryResult {
        outcome: Err((failure, "as scripted".to_owned())),
        ..executed(0)
    }
}

#[test]
fn writes_through_a_peer_fail_after_two_rounds() {
    use TransactionFailure::{Funds, Overloaded, Rejected, Sequence, Timeout, Unregistered};
    for (what, results, expected) in [
        ("nothing was sent", vec![], ""),
        (
            "one round",
            vec![("a", Some(Timeout)), ("b", Some(Timeout))],
            "",
        ),
        (
            "two rounds of one peer",
            vec![
                ("a", Some(Timeout)),
                ("b", None),
                ("a", Some(Rejected)),
                ("b", None),
            ],
            "a",
        ),
        (
            "two rounds of two peers",
            vec![
                ("a", Some(Timeout)),
                ("b", Some(Overloaded)),
                ("a", Some(Timeout)),
                ("b", Some(Unregistered)),
            ],
            "a b",
        ),
        (
            "one in between was executed",
            vec![("a", Some(Timeout)), ("a", None), ("a", Some(Timeout))],
            "",
        ),
        (
            "the account is to blame",
            vec![
                ("a", Some(Funds)),
                ("a", Some(Sequence)),
                ("a", Some(Funds)),
            ],
            "",
        ),
    ] {
        let mut record = record();
        for (peer, failure) in results {
            record.record_result(peer, failure.map_or_else(|| executed(1), failed));
        }
        let failing: Vec<&str> = record.failing_peers().collect();
        assert_eq!(failing.join(" "), expected, "{what}");
    }
}

#[test]
fn a_skipped_round_neither_begins_nor_ends_a_failure() {
    for rounds in [1, 2] {
        let mut record = record();
        for _ in 0..rounds {
            record.record_result("a", failed(TransactionFailure::Timeout));
        }
        let before = record.peers.clone();
        record.record_skip(CanarySkip::Idle, None, SystemTime::UNIX_EPOCH);
        assert_eq!(record.peers, before);
        assert_eq!(record.failing_peers().count(), rounds - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nine_of_ten_durations_of_the_last_six_hours_are_compared_with_the_objective() {
    let mut record = record();
    for seconds in [1; 9] {
        record.record_result("a", executed(seconds));
    }
    assert_eq!(record.result_p90(Instant::now()), None, "too few");
    record.record_result("a", executed(30));
    assert_eq!(
        record.result_p90(Instant::now()),
        Some(Duration::from_secs(1))
    );
    assert!(!record.is_slow(Instant::now()));
    record.record_result("a", executed(11));
    assert_eq!(
        record.result_p90(Instant::now()),
        Some(Duration::from_secs(11))
    );
    assert!(record.is_slow(Instant::now()));
    tokio::time::advance(PERCENTILE_WINDOW + Duration::from_secs(1)).await;
    assert_eq!(record.result_p90(Instant::now()), None, "too old");
}

#[tokio::test(start_paused = true)]
async fn a_result_is_shown_for_three_intervals() {
    let mut record = record();
    record.record_result("a", executed(1));
    tokio::time::advance(Duration::from_secs(1799)).await;
    assert!(record.fresh_result("a", Instant::now()).is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(record.fresh_result("a", Instant::now()).is_none());
}

#[test]
fn coins_that_last_for_less_than_three_days_and_a_spent_budget_are_problems() {
    use CanaryProblem::{BudgetSpent, LowBalance, TooRich};
    // At a round each ten minutes, 432 transactions are made in three days.
    for (balance, cost, skip, refusal, expected) in [
        (432_000, Some(1_000), None, None, vec![]),
        (431_000, Some(1_000), None, None, vec![LowBalance]),
        (1, None, None, None, vec![]),
        (0, None, None, None, vec![LowBalance]),
        (
            432_000,
            Some(1_000),
            Some(CanarySkip::Budget),
            None,
            vec![BudgetSpent],
        ),
        (432_000, Some(1_000), Some(CanarySkip::Idle), None, vec![]),
        (
            432_000,
            Some(1_000),
            Some(CanarySkip::Refused),
            Some(TooRich),
            vec![TooRich],
        ),
    ] {
        let mut record = record();
        record.funds = Some(CanaryFunds {
            balance_copper: balance,
            cost_copper: cost,
            ..CanaryFunds::default()
        });
        if let Some(skip) = skip {
            record.record_skip(skip, refusal, SystemTime::UNIX_EPOCH);
        }
        assert_eq!(record.problems(), expected, "{balance} {cost:?} {skip:?}");
    }
}

#[test]
fn another_account_begins_again_and_other_settings_do_not() {
    let canary = |account, seconds| Canary {
        account,
        interval: Duration::from_secs(seconds),
        key_file: "key".into(),
        key: AccountKey::from_seed(&[7; 32]).into(),
        objective: Duration::from_secs(10),
        peers: None,
        daily_budget_copper: 1,
        allow_idle: false,
    };
    let mut found = Some(Arc::new(record()));
    let executed_once = |found: &Option<Arc<CanaryRecord>>| found.as_ref().map(|it| it.peers.len());
    Arc::make_mut(found.as_mut().unwrap()).record_result("a", executed(1));
    reconfigure(&mut found, Some(&canary(7, 60)));
    assert_eq!(executed_once(&found), Some(1));
    assert_eq!(found.as_ref().unwrap().interval, Duration::from_secs(60));
    reconfigure(&mut found, Some(&canary(8, 60)));
    assert_eq!(executed_once(&found), Some(0));
    reconfigure(&mut found, None);
    assert_eq!(executed_once(&found), None);
}
