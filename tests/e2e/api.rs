//! The API as a stranger asks it who knows nothing but its description.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::{Agent, simulated};

/// Time that the stranger has besides the cases that it derives from the description one by one.
const SECONDS: &str = "45";

#[tokio::test]
async fn no_request_gets_an_answer_that_is_not_described() {
    let faults = ["refuse:2", "lag=40:3", "fork:4"];
    let network = simulated::network(8, &faults, Some("1s")).await;
    let config = format!(
        "defaults: {{ interval: 2s, timeout: 1s }}\n{}",
        network.config()
    );
    let agent = Agent::start(&config).await;
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml");
    let run = Command::new("schemathesis")
        .arg("--config-file")
        .arg(settings)
        .args(["--no-color", "run"])
        .arg(format!("http://{}/api/v1/openapi.json", agent.address))
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-time",
            SECONDS,
        ])
        .args([
            "--max-examples",
            "20",
            "--seed",
            "1",
            "--continue-on-failure",
        ])
        .args(["--generation-database", "none"])
        .current_dir(agent.dir.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("'scripts/test e2e' installs schemathesis");
    let (told, errors) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(run.status.success(), "{told}\n{errors}");
    // A run that asked nothing would be no test.
    assert!(told.contains("10 selected / 10 total"), "{told}");
    drop(network);
}
