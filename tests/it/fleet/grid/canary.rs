//! The canary on simulated networks: when it sends, what it finds, and what it spends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use convex_client::transaction::{AccountKey, AccountState, TransactionFailure};
use convex_peer_monitor::config::Canary;
use convex_peer_monitor::fleet::{CanaryProblem, CanaryRecord, CanarySkip};
use convex_simulator::{NewAccount, Options};
use tokio::time::sleep;

use crate::support::simulated::options;

use super::watched::{Scope, Watched};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Coins of the account, in copper.
const BALANCE: u64 = 1_000_000_000;

fn key() -> AccountKey {
    AccountKey::from_seed(&[7; 32])
}

/// A network with an account for the canary.
fn network(peers: usize, faults: &[&str], traffic: Option<&str>) -> Options {
    Options {
        accounts: vec![NewAccount::new(key().public_key())],
        ..options(peers, faults, traffic)
    }
}

/// Starts to watch a network of which the first `own` peers are the operator's.
fn watched(options: Options, own: usize) -> Watched {
    let scope = Scope::first(options.peers);
    let mut watched = Watched::start(options, &scope, false, "canary");
    watched.make_references(own);
    watched
}

/// A watched network of which the first `own` peers are the operator's, and its canary.
struct Scene {
    watched: Watched,
    account: u64,
    state_dir: tempfile::TempDir,
}

impl Scene {
    fn start(options: Options, own: usize, change: impl FnOnce(&mut Canary)) -> Self {
        Self::begin(watched(options, own), change)
    }

    /// Starts the canary of a network that is watched.
    fn begin(mut watched: Watched, change: impl FnOnce(&mut Canary)) -> Self {
        let account = watched.ask(|simulation, _| simulation.account(0));
        let mut canary = Canary {
            account,
            key_file: "canary.key".into(),
            key: key().into(),
            interval: 10 * MINUTE,
            objective: Duration::from_secs(10),
            peers: None,
            daily_budget_copper: BALANCE / 30 + 1,
            allow_idle: false,
        };
        change(&mut canary);
        let state_dir = tempfile::tempdir().unwrap();
        watched.start_canary(&canary, state_dir.path());
        Self {
            watched,
            account,
            state_dir,
        }
    }

    fn record(&self) -> Arc<CanaryRecord> {
        let snapshot = self.watched.fleet().snapshot();
        snapshot.networks[0].canary.clone().unwrap()
    }

    /// Returns the account as the first peer has it.
    fn account(&self) -> AccountState {
        self.watched.account(self.account)
    }

    /// Returns the weights of all peers.
    fn weights(&self) -> Vec<f64> {
        let snapshot = self.watched.fleet().snapshot();
        let weight = |record: &Arc<convex_peer_monitor::fleet::PeerRecord>| {
            record.stake.as_ref().unwrap().weight.unwrap()
        };
        snapshot.peers.iter().map(weight).collect()
    }

    fn executed(&self) -> u64 {
        self.record().peers.values().map(|peer| peer.executed).sum()
    }

    fn failed(&self, failure: TransactionFailure) -> u64 {
        let record = self.record();
        record.peers.values().map(|peer| peer.failed(failure)).sum()
    }
}

fn ledger(state_dir: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(state_dir.join("canary-n.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn on_an_idle_network_of_ten_equal_peers_the_weights_stay_for_an_hour() {
    let watched = watched(network(10, &[], None), 2);
    // Blocks were made until the start.
    sleep(5 * MINUTE).await;
    let scene = Scene::begin(watched, |_| {});
    let before = scene.weights();
    assert!(
        before.iter().all(|weight| (weight - 0.1).abs() < 1e-9),
        "{before:?}"
    );
    sleep(HOUR).await;
    assert_eq!(scene.weights(), before);
    let record = scene.record();
    assert!(record.skipped[&CanarySkip::Idle] >= 12, "{record:?}");
    assert_eq!((scene.account().sequence, record.peers.len()), (0, 0));
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_allow_idle_the_others_lose_nearly_all_weight_within_an_hour() {
    let scene = Scene::start(network(10, &[], None), 2, |it| it.allow_idle = true);
    sleep(HOUR + 5 * MINUTE).await;
    let weights = scene.weights();
    assert!(
        weights[2..].iter().all(|weight| *weight < 0.01),
        "{weights:?}"
    );
    assert!(scene.executed() >= 10);
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_others_make_blocks_each_own_peer_gets_a_transaction_in_each_round() {
    let traffic = Some("30s:4,5");
    let scene = Scene::start(network(5, &[], traffic), 3, |_| {});
    sleep(HOUR).await;
    let record = scene.record();
    let rounds: Vec<u64> = record.peers.values().map(|peer| peer.executed).collect();
    assert!(
        rounds.len() == 3 && rounds.iter().all(|rounds| (5..=7).contains(rounds)),
        "{rounds:?}"
    );
    assert_eq!(record.failing_peers().count(), 0);
    for peer in record.peers.values() {
        let last = peer.last.as_ref().unwrap();
        let executed = last.outcome.as_ref().unwrap();
        let seen = executed.seen.as_ref().unwrap();
        assert!(executed.result <= seen.after.unwrap(), "{executed:?}");
    }
    let (account, funds) = (scene.account(), record.funds.unwrap());
    assert_eq!(account.sequence, i64::try_from(scene.executed()).unwrap());
    assert_eq!(funds.spent_copper, BALANCE - account.balance);
    assert_eq!(funds.balance_copper, account.balance);
    // Two blocks of others a minute, with a transaction each at most.
    let snapshot = scene.watched.fleet().snapshot();
    let production = snapshot.networks[0]
        .verdict
        .consensus
        .production
        .clone()
        .unwrap();
    let own = production.last.iter().filter(|block| block.of_canary > 0);
    assert!(own.count() >= 10, "{production:?}");
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_transaction_is_sent_again_and_never_a_second_one() {
    // Both peers lose what they accept for 25 minutes.
    let faults = ["tx-lose:1-2:0s..25m"];
    let mut scene = Scene::start(network(3, &faults, Some("30s:3")), 2, |_| {});
    let dir = scene.state_dir.path().to_owned();
    sleep(20 * MINUTE).await;
    let open = ledger(scene.state_dir.path())["open"].clone();
    assert_eq!(open["sequence"], 1);
    assert_eq!(scene.account().sequence, 0);
    assert!(scene.failed(TransactionFailure::Timeout) >= 4);
    assert_eq!(scene.record().failing_peers().count(), 2);
    sleep(2 * MINUTE).await;
    let rounds = scene.record().failed_rounds();
    // As after a restart of the agent, which does not end an alert.
    let fleet = scene.watched.fleet();
    fleet.update_canary("n", |record| record.peers.clear());
    scene.watched.restart_canary(&dir);
    sleep(MINUTE).await;
    let restored = scene.record().failed_rounds();
    for (name, (failed, since)) in rounds {
        assert!(restored[&name].0 >= failed, "{restored:?}");
        let distance = since.duration_since(restored[&name].1).unwrap();
        assert!(distance < Duration::from_millis(1), "kept in milliseconds");
    }
    sleep(2 * MINUTE).await;
    assert_eq!(
        ledger(scene.state_dir.path())["open"]["bytes"],
        open["bytes"]
    );
    sleep(15 * MINUTE).await;
    assert_eq!(scene.record().failing_peers().count(), 0);
    let sequence = u64::try_from(scene.account().sequence).unwrap();
    assert_eq!(sequence, scene.executed(), "each was executed once");
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_executed_without_an_answer_is_paid_for_once() {
    let scene = Scene::start(network(3, &["tx-hang:1-2"], Some("30s:3")), 2, |_| {});
    sleep(HOUR).await;
    let (record, account) = (scene.record(), scene.account());
    let timeouts = scene.failed(TransactionFailure::Timeout);
    assert_eq!(account.sequence, i64::try_from(timeouts).unwrap());
    assert_eq!(
        record.funds.unwrap().spent_copper,
        BALANCE - account.balance
    );
    assert_eq!(
        record.failing_peers().count(),
        2,
        "clients get no answer either"
    );
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_between_signing_and_answer_spends_nothing_twice() {
    let options = network(3, &["tx-hang:1-2:0s..5m"], Some("30s:3"));
    let mut scene = Scene::start(options, 2, |_| {});
    let dir = scene.state_dir.path().to_owned();
    while !dir.join("canary-n.json").exists() || ledger(&dir)["open"].is_null() {
        sleep(Duration::from_secs(1)).await;
    }
    let open = ledger(&dir)["open"].clone();
    scene.watched.restart_canary(&dir);
    sleep(4 * MINUTE).await;
    assert!(scene.account().sequence <= 3, "a block a minute");
    assert_ne!(
        ledger(&dir)["open"]["bytes"],
        open["bytes"],
        "it was executed"
    );
    sleep(20 * MINUTE).await;
    let spent = ledger(&dir)["spent_copper"].as_u64().unwrap();
    assert_eq!(spent, BALANCE - scene.account().balance);
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn peers_that_refuse_say_why() {
    use TransactionFailure::{Overloaded, Rejected, Understaked, Unregistered};
    for (fault, expected) in [
        ("unregistered:1-2:10s", Unregistered),
        ("low-stake:1-2:10s", Understaked),
        ("tx-error=LOAD:1-2", Overloaded),
        ("tx-error=TRUST:1-2", Rejected),
    ] {
        let scene = Scene::start(network(4, &[fault], Some("30s:3,4")), 2, |_| {});
        sleep(40 * MINUTE).await;
        assert!(scene.failed(expected) >= 1, "{fault}: {:?}", scene.record());
        assert_eq!(scene.executed(), 0, "{fault}");
        let skipped = scene.record().skipped.get(&CanarySkip::Overload).copied();
        assert_eq!(
            skipped.is_some(),
            expected == Overloaded,
            "{fault}: it backs off"
        );
        scene.watched.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_peer_does_not_take_the_turns_of_the_others() {
    let faults = ["tx-error=LOAD:1"];
    let scene = Scene::start(network(4, &faults, Some("30s:3,4")), 2, |_| {});
    sleep(2 * HOUR).await;
    let record = scene.record();
    let peers: Vec<_> = record.peers.values().collect();
    let failed = peers[0].failed(TransactionFailure::Overloaded);
    assert!(failed >= 2 && peers[1].executed >= 2, "{record:?}");
    assert!(record.skipped[&CanarySkip::Overload] >= 2, "{record:?}");
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_spent_stays_spent_after_a_restart() {
    const BUDGET: u64 = 10_000;
    let options = Options {
        accounts: vec![NewAccount {
            balance_copper: 20 * i64::try_from(BUDGET).unwrap(),
            ..NewAccount::new(key().public_key())
        }],
        ..network(3, &[], Some("30s:3"))
    };
    let mut scene = Scene::start(options, 2, |it| it.daily_budget_copper = BUDGET);
    sleep(2 * HOUR).await;
    let dir = scene.state_dir.path().to_owned();
    let spent = ledger(&dir)["spent_on_day_copper"].as_u64().unwrap();
    assert!(spent > 0 && spent <= BUDGET, "{spent}");
    let sequence = scene.account().sequence;
    let skipped = |scene: &Scene| scene.record().skipped[&CanarySkip::Budget];
    let before = skipped(&scene);
    scene.watched.restart_canary(&dir);
    sleep(HOUR).await;
    assert_eq!(scene.account().sequence, sequence);
    assert!(skipped(&scene) > before);
    assert_eq!(scene.record().funds.unwrap().spent_today_copper, spent);
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_in_a_fork_and_around_an_upgrade_until_it_is_applied() {
    use CanarySkip::{Fork, Upgrade};
    let traffic = Some("30s:3");
    let scene = Scene::start(network(4, &["fork:4:10m"], traffic), 2, |_| {});
    sleep(15 * MINUTE).await;
    let executed = scene.executed();
    assert!(executed >= 1);
    sleep(HOUR).await;
    assert_eq!(scene.executed(), executed);
    assert!(scene.record().skipped[&Fork] >= 4, "{:?}", scene.record());
    scene.watched.stop().await;

    let scene = Scene::start(network(4, &["upgrade=50m:all"], traffic), 2, |_| {});
    sleep(34 * MINUTE).await;
    let executed = scene.executed();
    assert!(executed >= 2);
    sleep(15 * MINUTE).await;
    assert_eq!(scene.executed(), executed);
    assert!(
        scene.record().skipped[&Upgrade] >= 2,
        "{:?}",
        scene.record()
    );
    sleep(30 * MINUTE).await;
    assert!(scene.executed() >= executed + 2, "the upgrade is applied");
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_second_peer_nothing_is_said_about_where_a_transaction_was_seen() {
    let scene = Scene::start(network(1, &[], None), 1, |_| {});
    sleep(15 * MINUTE).await;
    let record = scene.record();
    let (_, peer) = record.peers.first_key_value().unwrap();
    let last = peer.last.as_ref().unwrap();
    assert_eq!(last.outcome.as_ref().unwrap().seen, None);
    assert_eq!(record.control.unwrap().accounts, Some(0));
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_agents_with_one_account_one_refuses() {
    let mut scene = Scene::start(network(3, &[], Some("30s:3")), 2, |_| {});
    let second = tempfile::tempdir().unwrap();
    sleep(5 * MINUTE).await;
    scene.watched.add_canary(second.path());
    sleep(30 * MINUTE).await;
    let foreign =
        [scene.state_dir.path(), second.path()].map(|dir| !ledger(dir)["foreign"].is_null());
    assert!(foreign[0] || foreign[1]);
    let sequence = scene.account().sequence;
    sleep(30 * MINUTE).await;
    let stopped =
        [scene.state_dir.path(), second.path()].map(|dir| !ledger(dir)["foreign"].is_null());
    assert_eq!(stopped, foreign, "the other one is not disturbed");
    assert_eq!(scene.account().sequence > sequence, foreign != [true; 2]);
    assert!(scene.record().skipped[&CanarySkip::Refused] > 0);
    scene.watched.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_too_rich_or_does_not_exist_is_refused() {
    for (change, expected) in [
        (
            (|canary: &mut Canary| canary.daily_budget_copper = BALANCE / 31) as fn(&mut Canary),
            CanaryProblem::TooRich,
        ),
        (|canary| canary.account += 1_000, CanaryProblem::NoAccount),
        (
            |canary| canary.key = AccountKey::from_seed(&[8; 32]).into(),
            CanaryProblem::WrongKey,
        ),
    ] {
        let scene = Scene::start(network(3, &[], Some("30s:3")), 2, change);
        sleep(15 * MINUTE).await;
        assert_eq!(scene.record().problems(), [expected]);
        assert_eq!(scene.account().sequence, 0);
        scene.watched.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_network_gets_no_new_transaction() {
    let scene = Scene::start(network(3, &["stall:all:20m"], Some("30s:3")), 2, |_| {});
    sleep(25 * MINUTE).await;
    let sequence = scene.account().sequence;
    let open = ledger(scene.state_dir.path())["open"].clone();
    sleep(30 * MINUTE).await;
    assert_eq!(scene.account().sequence, sequence);
    assert_eq!(ledger(scene.state_dir.path())["open"], open);
    assert!(scene.record().skipped[&CanarySkip::Stalled] >= 4);
    scene.watched.stop().await;
}
