//! The agent is killed a hundred times, at random moments.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::aftermath::{Before, events};
use super::agent::Agent;
use super::network::Network;

const PEERS: usize = 20;

const KILLS: u64 = 100;

#[tokio::test]
async fn a_hundred_kills_leave_state_and_history_readable() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let mut agent = Agent::start(dir.path(), &network.config()).await;
    let before = Before::fault(&agent, PEERS).await;
    // A graceful stop writes everything, so these events must stay.
    agent.end().await;
    agent.begin().await;
    let written = events(&agent).await;
    agent.kill().await;

    let random = RandomState::new();
    for i in 0..KILLS {
        // Every other time before the agent is ready.
        let longest = if i % 2 == 0 { 500 } else { 2500 };
        let wait = Duration::from_millis(random.hash_one(i) % longest);
        if i % 2 == 0 {
            agent.launch();
        } else {
            agent.begin().await;
            let found = events(&agent).await;
            assert_eq!(found.get(..written.len()), Some(&written[..]), "kill {i}");
            assert!(found.is_sorted_by(|one, next| one.0 < next.0), "kill {i}");
        }
        tokio::time::sleep(wait).await;
        agent.kill().await;
        let text = fs::read_to_string(dir.path().join("state/state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(state.is_object(), "kill {i}");
        let files = fs::read_dir(dir.path().join("state")).unwrap();
        let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let aside = names.find(|name| name.contains(".bad-"));
        assert_eq!(aside, None, "kill {i}, after {wait:?}");
    }
    agent.begin().await;
    before.restored(&mut agent, "100 kills").await;
}
