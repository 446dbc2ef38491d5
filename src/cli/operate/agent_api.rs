//! A client of a running agent's API, for the commands that act on it.

use std::time::Duration;

use anyhow::{Context, bail};
use convex_client::{HttpOptions, http_client_for, http_client_over};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::agent_url::AgentUrl;
use crate::config::read_file;

use super::args::ConnectionArgs;

/// Longer than the agent waits for its disk.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest file with a password or certificates, bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A client of a running agent's API.
pub(super) struct AgentApi {
    client: Client,
    agent: AgentUrl,
    /// User name and password.
    user: Option<(String, String)>,
}

/// The part of an error response that is printed.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl AgentApi {
    /// Prepares requests to the agent that the command line names.
    pub(super) fn new(args: &ConnectionArgs) -> anyhow::Result<Self> {
        let read = |path: &std::path::Path| {
            let read = read_file(path, MAX_FILE_BYTES);
            let (bytes, _) = read.with_context(|| format!("cannot read {}", path.display()))?;
            anyhow::Ok(bytes)
        };
        let ca = args.ca_file.as_ref().map(|path| {
            let pem = read(path)?;
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let certificates = certificates
                .ok()
                .filter(|certificates| !certificates.is_empty());
            let certificates = certificates
                .with_context(|| format!("{} contains no certificate", path.display()))?;
            anyhow::Ok(certificates.into_iter().map(|it| it.to_vec()).collect())
        });
        let options = HttpOptions {
            ca: ca.transpose()?,
            ..HttpOptions::default()
        };
        let user = args.user.as_ref().zip(args.password_file.as_ref());
        let user = user.map(|(user, path)| {
            let password = String::from_utf8(read(path)?.to_vec());
            let password = password.with_context(|| format!("{} is not UTF-8", path.display()))?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            anyhow::Ok((user.clone(), password))
        });
        Ok(Self {
            client: match args.url.socket() {
                Some(path) => http_client_over(path, &options, TIMEOUT)?,
                None => http_client_for(&args.url.url("/"), &options, TIMEOUT)?,
            },
            agent: args.url.clone(),
            user: user.transpose()?,
        })
    }

    /// Sends a request to a route below `/api/v1`. Returns the answer.
    pub(super) async fn request(
        &self,
        method: Method,
        route: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let (status, answer) = self.send(method, route, query, body).await?;
        if !status.is_success() {
            bail!("{}: {}", self.agent, refusal(status, &answer));
        }
        serde_json::from_slice(&answer)
            .with_context(|| format!("{} is not an agent: no JSON", self.agent))
    }

    /// Whether there is something at a route below `/api/v1`.
    pub(super) async fn exists(&self, route: &[&str]) -> anyhow::Result<bool> {
        match self.send(Method::GET, route, &[], None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(false),
            (status, _) if status.is_success() => Ok(true),
            (status, answer) => bail!("{}: {}", self.agent, refusal(status, &answer)),
        }
    }

    async fn send(
        &self,
        method: Method,
        route: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let mut url = self.agent.url("/");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(route);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(method, url);
        let request = match &self.user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let request = match body {
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string()),
            None => request,
        };
        let no_answer = || format!("no answer from {}", self.agent);
        let failed = |error: reqwest::Error| error.without_url();
        let response = request.send().await.map_err(failed);
        let response = response.with_context(no_answer)?;
        let status = response.status();
        let answer = response.bytes().await.map_err(failed);
        Ok((status, answer.with_context(no_answer)?.to_vec()))
    }
}

/// Says why the agent did not do what was asked.
fn refusal(status: StatusCode, answer: &[u8]) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED => "; give --user and --password-file",
        _ => "",
    };
    match serde_json::from_slice::<Problem>(answer) {
        Ok(problem) => format!("{}{hint}", problem.detail),
        Err(_) => format!("the answer was {status}{hint}"),
    }
}
