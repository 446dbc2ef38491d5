//! The release of a peer, where it tells it: in its answer to an MCP client, or on its index page.

use http::header::{ACCEPT, HeaderValue};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::attempt::Attempt;
use crate::failure::Failure;

use super::requests::{self, Requests};
use super::rest::Rest;
use super::{HttpClient, failure};

/// Largest answer that is read; the index page takes about 10 kB.
const MAX_BYTES: usize = 64 << 10;

/// Longest release that is accepted, in bytes.
const MAX_RELEASE_BYTES: usize = 40;

/// What stands before the release on the index page of release 0.8.6.
const BEFORE_VERSION: &str = "<td>Version</td><td><code>";

impl HttpClient {
    /// Asks the peer for its release, on a connection of its own, by `deadline`. Returns nothing if
    /// the peer does not tell it, as release 0.8.0 does not.
    ///
    /// # Errors
    /// The peer could not be asked.
    pub async fn release(&self, deadline: Instant) -> Result<Option<String>, Failure> {
        let client = match &self.client {
            Ok(client) => client,
            Err(reason) => return Err(super::unusable(reason)),
        };
        let mut stream = client.dial(deadline).await?;
        let exchange = requests::on(&mut stream, async |requests| {
            ask(&client.protocol, requests).await
        });
        let outcome = timeout_at(deadline, exchange).await.map(|(found, _)| found);
        outcome.unwrap_or_else(|_| Err(failure::deadline_passed::<()>(&Attempt::default())))
    }
}

async fn ask(rest: &Rest, requests: &mut Requests) -> Result<Option<String>, Failure> {
    let mut headers = rest.headers.clone();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let body = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": { "name": "convex-peer-monitor", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let answer = requests
        .post(&rest.mcp_uri, &headers, body.to_string(), MAX_BYTES)
        .await?;
    if let Some(release) = in_mcp(&answer.body) {
        return Ok(Some(release));
    }
    headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
    let page = requests.get(&rest.index_uri, &headers, MAX_BYTES).await?;
    Ok(in_page(&page.body))
}

/// Returns the release in the answer to an MCP client.
fn in_mcp(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    valid(answer["result"]["serverInfo"]["version"].as_str()?)
}

/// Returns the release on the index page.
fn in_page(body: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(body);
    let (_, rest) = page.split_once(BEFORE_VERSION)?;
    valid(rest.split_once('<')?.0)
}

/// Returns the text if it can be a release: it becomes a label.
fn valid(text: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let is_release = text.len() <= MAX_RELEASE_BYTES
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(is_allowed);
    is_release.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_both_answers() {
        let mcp = r#"{"result":{"serverInfo":{"name":"x","version":"0.8.6-SNAPSHOT"}},"id":1}"#;
        assert_eq!(in_mcp(mcp.as_bytes()).as_deref(), Some("0.8.6-SNAPSHOT"));
        let page = "<tr><td>Version</td><td><code>0.8.17</code></td></tr>";
        assert_eq!(in_page(page.as_bytes()).as_deref(), Some("0.8.17"));
    }

    #[test]
    fn what_is_no_release_is_none() {
        for body in [
            "",
            "{}",
            "[]",
            "404 Not found: /mcp",
            "\u{fffd}",
            r#"{"result":null}"#,
        ] {
            assert_eq!(
                (in_mcp(body.as_bytes()), in_page(body.as_bytes())),
                (None, None),
                "{body}"
            );
        }
        let long = "1".repeat(MAX_RELEASE_BYTES + 1);
        for version in [
            "",
            "Unlabelled SNAPSHOT",
            "v1",
            "1\\n",
            "1 2",
            "1\\u001b[0m",
            &long,
        ] {
            let mcp = format!(r#"{{"result":{{"serverInfo":{{"version":"{version}"}}}}}}"#);
            assert_eq!(in_mcp(mcp.as_bytes()), None, "{version:?}");
            let page = format!("{BEFORE_VERSION}{version}</code>");
            assert_eq!(in_page(page.as_bytes()), None, "{version:?}");
        }
    }
}
