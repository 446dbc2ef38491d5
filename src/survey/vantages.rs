//! Asks other agents for their opinions.

use std::sync::Arc;
use std::time::Duration;

use convex_client::{http_client_for, request_failure};
use reqwest::Client;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use url::Url;

use crate::config::{BasicAuth, Config, Target};
use crate::fleet::{Fleet, Opinion};
use crate::supervisor::liveness::{Part, Pulse};
use crate::supervisor::{Supervisor, TaskSet};

/// Time between two requests.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long an answer may take in all.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Largest answer, bytes: an opinion on 30,000 peers.
const MAX_BYTES: usize = 8 << 20;

/// Route of another agent's opinion, below its base URL.
const ROUTE: &str = "/api/v1/opinion";

/// The other agents, with one task each.
#[derive(Debug)]
pub struct VantageSurvey {
    fleet: Arc<Fleet>,
    tasks: TaskSet<Target>,
}

/// Why another agent has no opinion that counts.
#[derive(Debug, PartialEq, thiserror::Error)]
enum NoOpinion {
    #[error("{0}")]
    Request(String),
    #[error("the agent answered with HTTP status {0}")]
    Status(u16),
    #[error("the answer is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the answer is not an opinion: {0}")]
    Malformed(String),
    #[error("it is this agent, or has the same `vantage`; give each agent a name of its own")]
    SameVantage,
    #[error("no answer within {TIMEOUT:?}")]
    Late,
}

impl VantageSurvey {
    /// Creates a survey that asks nobody.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, supervisor: Supervisor) -> Self {
        Self {
            fleet,
            tasks: TaskSet::new(supervisor),
        }
    }

    /// Asks the agents of `config` from now on, and no others.
    pub fn apply(&mut self, config: &Config) {
        let fleet = &self.fleet;
        let wanted = config.vantages.iter();
        let wanted = wanted.map(|vantage| (vantage.name.clone(), vantage.target.clone()));
        self.tasks.apply(wanted, |vantage, target, supervisor| {
            let (fleet, vantage) = (Arc::clone(fleet), vantage.to_owned());
            let (target, name) = (target.clone(), format!("opinion of {vantage}"));
            let pulse = supervisor.liveness().pulse(Part::Verdicts, name.clone());
            supervisor.start(name, move || {
                let (fleet, vantage) = (Arc::clone(&fleet), vantage.clone());
                keep_asking(fleet, vantage, target.clone(), pulse.clone())
            });
        });
    }
}

/// Keeps the opinion of another agent up to date. A request that fails changes nothing: an opinion
/// that is not renewed ends by itself.
async fn keep_asking(fleet: Arc<Fleet>, vantage: String, target: Target, pulse: Pulse) {
    let reader = OpinionReader::new(&target);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_failure = None;
    loop {
        ticks.tick().await;
        pulse.expect(TIMEOUT);
        let asked = Instant::now();
        let own_name = fleet.vantage();
        let answer = timeout(TIMEOUT, reader.read(&own_name)).await;
        let failure = match answer.unwrap_or(Err(NoOpinion::Late)) {
            Ok(opinion) => {
                fleet.record_opinion(&vantage, opinion, asked);
                None
            }
            Err(failure) => Some(failure),
        };
        match &failure {
            Some(why) if failure != last_failure => {
                tracing::warn!(%vantage, %why, "another agent has no opinion");
            }
            None if last_failure.is_some() => {
                tracing::info!(%vantage, "another agent has an opinion again");
            }
            _ => {}
        }
        last_failure = failure;
        pulse.turned();
    }
}

/// Reads the opinion of one agent.
struct OpinionReader {
    client: Result<(Client, Url), String>,
    basic_auth: Option<BasicAuth>,
}

impl OpinionReader {
    fn new(target: &Target) -> Self {
        let client = || {
            let mut url = Url::parse(target.url.expose()).map_err(|error| error.to_string())?;
            let options = target.http.client_options();
            let client = http_client_for(&url, &options, TIMEOUT);
            let path = format!("{}{ROUTE}", url.path().trim_end_matches('/'));
            url.set_path(&path);
            Ok((client.map_err(|error| error.to_string())?, url))
        };
        Self {
            client: client(),
            basic_auth: target.basic_auth.clone(),
        }
    }

    /// Asks for an opinion of an agent that is not called `own_name`.
    async fn read(&self, own_name: &str) -> Result<Opinion, NoOpinion> {
        let (client, url) = self.client.clone().map_err(NoOpinion::Request)?;
        let mut request = client.get(url);
        if let Some(BasicAuth { username, password }) = &self.basic_auth {
            request = request.basic_auth(username, Some(password.expose()));
        }
        let failed = |error: reqwest::Error| {
            NoOpinion::Request(request_failure(&error.without_url()).to_string())
        };
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(NoOpinion::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(NoOpinion::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        // Ten thousand peers take too long for the threads that poll.
        let parsed = spawn_blocking(move || parse(&body)).await;
        let opinion = parsed.map_err(|error| NoOpinion::Malformed(error.to_string()))??;
        if opinion.vantage == own_name {
            return Err(NoOpinion::SameVantage);
        }
        Ok(opinion)
    }
}

fn parse(body: &[u8]) -> Result<Opinion, NoOpinion> {
    let malformed = |why: &dyn std::fmt::Display| NoOpinion::Malformed(why.to_string());
    let opinion: Opinion = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    opinion.check().map_err(|error| malformed(&error))?;
    Ok(opinion)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use crate::config::HttpOptions;

    use super::*;

    const OPINION: &str = r#"{"vantage":"b","mode":"central","networks":[],"peers":[]}"#;

    /// Asks an agent `own` that gets this answer for the opinion of another one.
    async fn answered(status: u16, body: String) -> Result<Opinion, NoOpinion> {
        let status = StatusCode::from_u16(status).unwrap();
        let route = get(move || {
            let body = body.clone();
            async move { (status, body) }
        });
        let app = Router::new().route("/below/api/v1/opinion", route);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/below/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let target = Target {
            url: url.as_str().into(),
            basic_auth: None,
            http: HttpOptions::default(),
        };
        let opinion = OpinionReader::new(&target).read("own").await;
        server.abort();
        opinion
    }

    #[tokio::test]
    async fn only_plausible_opinions_of_other_agents_are_used() {
        assert_eq!(
            answered(200, OPINION.to_owned()).await.unwrap().vantage,
            "b"
        );
        let own = OPINION.replace("\"b\"", "\"own\"");
        assert_eq!(answered(200, own).await, Err(NoOpinion::SameVantage));
        let late = answered(401, String::new()).await;
        assert_eq!(late, Err(NoOpinion::Status(401)));
        let moved = answered(302, String::new()).await;
        assert_eq!(moved, Err(NoOpinion::Status(302)));
        let endless = answered(200, " ".repeat(MAX_BYTES + 1)).await;
        assert_eq!(endless, Err(NoOpinion::TooLong));
        let peer = r#"{"name":"p","network":"n","health":"up","interval_seconds":-1,"proven":[]}"#;
        let negative = OPINION.replace("\"peers\":[]", &format!("\"peers\":[{peer}]"));
        for body in ["", "[]", "{}", &"[".repeat(10_000), &negative] {
            let answer = answered(200, (*body).to_owned()).await;
            assert!(matches!(answer, Err(NoOpinion::Malformed(_))), "{answer:?}");
        }
    }
}
