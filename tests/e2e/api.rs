//! The API, tested by Schemathesis with requests that it generates from `openapi.json`.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::{Agent, simulated};

/// Limit for random requests, in addition to the ones derived from the document.
const FUZZING_SECONDS: &str = "45";

#[tokio::test]
async fn every_response_is_described_in_the_openapi_document() {
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
            FUZZING_SECONDS,
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
        .expect("schemathesis is in the PATH; `make test` installs it");
    let (output, errors) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(run.status.success(), "{output}\n{errors}");
    // Not a run without requests.
    assert!(output.contains("20 selected / 20 total"), "{output}");
    drop(network);
}
