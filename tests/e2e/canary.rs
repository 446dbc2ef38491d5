//! The canary: its account at real peers, and transactions that are slower than the objective.

use std::path::Path;

use convex_client::transaction::AccountKey;
use convex_simulator::{NewAccount, Options};

use super::network::Network;
use super::paging::Pages;
use super::pipeline::{Receiver, own_address};
use super::prometheus::Prometheus;
use super::{Agent, dashboards, faketime, simulated};

const SEED: [u8; 32] = [7; 32];

/// Lets the first peer create an account with this key and these coins, in copper, and returns its
/// number.
pub(super) async fn create_account(network: &mut Network, key: &AccountKey, balance: u64) -> u64 {
    let key = key.public_key();
    let code = format!("(let [a (create-account {key})] (transfer a {balance}) a)");
    let answer = network.transact(0, &code).await;
    let (_, number) = answer.split_once('#').expect("an address");
    number.trim().parse().expect("its number")
}

/// Creates an account with 0.2 CVM and the file of its key in `dir`, and returns the configuration
/// of a canary that uses it once a minute, which is the least time between two transactions.
pub(super) async fn canary(network: &mut Network, dir: &Path, peers: &str) -> String {
    let key = AccountKey::from_seed(&SEED);
    let account = create_account(network, &key, 200_000_000).await;
    let key_file = dir.join("canary.key");
    std::fs::write(&key_file, hex::encode(SEED)).unwrap();
    format!(
        "canary: {{ account: {account}, key_file: '{}', interval: 1m, peers: {peers}, \
         daily_budget_cvm: 0.1 }}",
        key_file.display()
    )
}

/// Ten transactions make a percentile, and they are a minute apart: the clocks of the agent run ten
/// times as fast as those of its peers, and so do transactions seem ten times as slow.
#[tokio::test]
async fn transactions_that_take_longer_than_the_objective_are_a_ticket() {
    let options = Options {
        accounts: vec![NewAccount::new(AccountKey::from_seed(&SEED).public_key())],
        ..simulated::options(2, &[], None)
    };
    let network = convex_simulator::Network::start(options).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("canary.key"), hex::encode(SEED)).unwrap();
    let hook = Receiver::start().await.unwrap();
    let config = network.config().replace(
        "name: simulated, ",
        &format!(
            "name: simulated, canary: {{ account: {}, key_file: '{}', interval: 1m, \
             objective: 1s, peers: [sim-1], daily_budget_cvm: 0.1 }}, ",
            network.account(0),
            dir.path().join("canary.key").display()
        ),
    ) + &format!(
        "state_dir: '{}'\n\
         defaults: {{ interval: 1m, timeout: 50s }}\n\
         notify: {{ webhooks: [{{ name: hook, url: '{}', min_severity: warning }}] }}\n",
        dir.path().join("state").display(),
        hook.url("hook")
    );
    let environment = [
        ("LD_PRELOAD", faketime::library().display().to_string()),
        ("FAKETIME", "+0 x10".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let address = own_address().unwrap();
    let agent = Agent::start_within(address, &config, environment.into()).await;
    let prometheus = Prometheus::start(&agent.address).await;
    let mut pages = Pages::new(hook);

    let slow = pages.until("ConvexCanarySlow", true).await;
    let text = "; the objective is 1.0 s.";
    let description = &slow.annotations["description"];
    assert!(description.contains(text), "{description}");
    let firing = "ALERTS{alertname=\"ConvexCanarySlow\",alertstate=\"firing\"}";
    prometheus.wait_for(firing, |firing| firing == 1.0).await;
    let description = prometheus.annotation("ConvexCanarySlow", "warning", "description");
    let description = description.await;
    assert!(
        description.ends_with("; the objective is 1s."),
        "{description}"
    );
    let place = "convex-consensus, Duration of transactions, B";
    assert!(dashboards::has_data(place, &prometheus).await, "{place}");
}
