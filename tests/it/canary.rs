//! The canary of a running program: killed at the worst moment, and run once by `probe`.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use convex_client::chain::economics::cvm;
use convex_client::transaction::{AccountKey, AccountState, Invoke, account_query, read_account};
use convex_client::{ClientOptions, Endpoint, TcpClient};
use convex_simulator::{NewAccount, Options};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::support::agent::value_of;
use crate::support::program::Program;
use crate::support::{DEADLINE, simulated};

const SEED: [u8; 32] = [7; 32];

/// The balance of a new account, in copper.
const BALANCE: u64 = 1_000_000_000;

/// A few transactions, and less than thirty, with which an account would be too rich.
const SMALL_BALANCE: u64 = 50_000;

/// Longest wait for what the canary does. On a busy machine rounds are skipped, because a poll was
/// not answered in time or nothing is known of the network yet, and they are a minute apart.
const ROUNDS: Duration = Duration::from_secs(600);

/// A network of two peers with an account for the canary, and a directory for one agent.
struct Scene {
    network: convex_simulator::Network,
    dir: tempfile::TempDir,
}

impl Scene {
    /// The canary can pay for a transaction a minute.
    async fn start(faults: &[&str]) -> Self {
        Self::start_with(faults, BALANCE, |_| BALANCE / 10).await
    }

    /// The budget of a day is enough for one transaction, so that no second one is in the way.
    async fn for_one_transaction(faults: &[&str]) -> Self {
        Self::start_with(faults, SMALL_BALANCE, |cost| cost + cost / 2).await
    }

    /// `budget` returns the budget of a day for what a transaction costs, in copper.
    async fn start_with(faults: &[&str], balance: u64, budget: fn(u64) -> u64) -> Self {
        let key = AccountKey::from_seed(&SEED).public_key();
        let options = Options {
            accounts: vec![NewAccount {
                balance_copper: balance.cast_signed(),
                ..NewAccount::new(key)
            }],
            ..simulated::options(2, faults, None)
        };
        let network = convex_simulator::Network::start(options).await.unwrap();
        let price = account(&network).await.juice_price;
        let cost = Invoke::nothing(network.account(0), 1).fees_of_nothing(price);
        let budget = cvm(budget(cost).cast_signed());
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("canary.key"), hex::encode(SEED)).unwrap();
        // Both peers are own ones, so that the canary sends on an idle network.
        let config = format!(
            "state_dir: state
defaults: {{ interval: 5s, timeout: 4900ms }}
networks:
  - name: main
    genesis: '{}'
    canary:
      {{ account: {}, key_file: canary.key, interval: 1m, peers: [one], daily_budget_cvm: {budget} }}
peers:
  - {{ name: one, network: main, endpoints: ['tcp://{}'] }}
  - {{ name: two, network: main, endpoints: ['tcp://{}'] }}
",
            network.genesis(),
            network.account(0),
            network.tcp(1),
            network.tcp(2),
        );
        fs::write(dir.path().join("config.yml"), config).unwrap();
        Self { network, dir }
    }

    async fn program(&self) -> Program {
        Program::start(&self.dir.path().join("config.yml")).await
    }

    fn ledger(&self) -> Option<Value> {
        let text = fs::read(self.dir.path().join("state/canary-main.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Lets the next transaction be sent at once.
    fn forget_the_pause(&self) {
        let mut ledger = self.ledger().unwrap();
        ledger["sent_ms"] = Value::from(0);
        let path = self.dir.path().join("state/canary-main.json");
        fs::write(path, ledger.to_string()).unwrap();
    }

    async fn account(&self) -> AccountState {
        account(&self.network).await
    }

    /// Waits until the ledger has a transaction that is sent, and returns it.
    async fn sent(&self) -> Value {
        eventually("a transaction is sent", async || {
            let ledger = self.ledger();
            ledger.is_some_and(|ledger| !ledger["open"].is_null() && ledger["sent_ms"] != 0)
        })
        .await;
        self.ledger().unwrap()["open"].clone()
    }

    /// Runs `probe --canary`, and returns its exit code and output.
    async fn probe(&self) -> (Option<i32>, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
        command.args(["probe", "--canary", "--config"]);
        command.arg(self.dir.path().join("config.yml"));
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    }
}

/// Returns the account as the second peer has it.
async fn account(network: &convex_simulator::Network) -> AccountState {
    let endpoint = Endpoint::parse(&format!("tcp://{}", network.tcp(2))).unwrap();
    let mut client = TcpClient::new(&endpoint, &ClientOptions::default());
    let query = account_query(network.account(0));
    let answer = client.query(&query, Instant::now() + DEADLINE).await;
    read_account(&answer.unwrap()).unwrap().unwrap()
}

/// Waits until `condition` holds; panics after [`ROUNDS`].
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = timeout(ROUNDS, waiting).await.is_ok();
    assert!(in_time, "not within {ROUNDS:?}: {what}");
}

async fn kill(mut program: Program) {
    program.signal(Signal::KILL);
    program.child.wait().await.unwrap();
}

#[tokio::test]
async fn a_kill_between_signing_and_answer_spends_nothing_twice() {
    let scene = Scene::for_one_transaction(&["tx-hang:1"]).await;
    let program = scene.program().await;
    scene.sent().await;
    eventually("the network executes it", async || {
        scene.account().await.sequence == 1
    })
    .await;
    kill(program).await;

    let program = scene.program().await;
    eventually("the agent knows that it was executed", async || {
        scene
            .ledger()
            .is_some_and(|ledger| ledger["open"].is_null())
    })
    .await;
    let spent = "convex_canary_spent_cvm_total{network=\"main\"}";
    eventually("it is counted", async || {
        let metrics = program.get("/metrics").await.1;
        value_of(&metrics, spent).is_some_and(|spent| spent > 0.0)
    })
    .await;
    let (account, ledger) = (scene.account().await, scene.ledger().unwrap());
    assert_eq!((account.sequence, &ledger["used"]), (1, &Value::from(1)));
    assert_eq!(ledger["spent_copper"], SMALL_BALANCE - account.balance);
}

#[tokio::test]
async fn after_a_kill_the_same_bytes_are_sent_again() {
    let scene = Scene::start(&["tx-lose:1"]).await;
    let program = scene.program().await;
    let before = scene.sent().await;
    kill(program).await;
    scene.forget_the_pause();

    let program = scene.program().await;
    let after = scene.sent().await;
    kill(program).await;
    assert_eq!(
        (&after["sequence"], &after["bytes"]),
        (&before["sequence"], &before["bytes"])
    );
    assert_eq!(scene.account().await.sequence, 0);
}

#[tokio::test]
async fn probe_prints_the_stages_and_leaves_a_running_agent_alone() {
    let scene = Scene::start(&[]).await;
    let (code, text) = scene.probe().await;
    assert!(text.contains("  one: executed, result after "), "{text}");
    assert!(text.contains(" s, seen at two after "), "{text}");
    assert!(text.contains("\n  balance 0.99999"), "{text}");
    assert_eq!(code, Some(0));
    assert_eq!(scene.account().await.sequence, 1);

    let program = scene.program().await;
    // It has opened its ledger when it shows the balance.
    eventually("the agent reads the account", async || {
        let metrics = program.get("/metrics").await.1;
        value_of(&metrics, "convex_canary_balance_cvm{network=\"main\"}").is_some()
    })
    .await;
    let (code, text) = scene.probe().await;
    assert!(text.contains("  one: refused, ledger: "), "{text}");
    assert_eq!(code, Some(3));
}
