//! The listener with a web configuration file: TLS, client certificates, passwords, and reloads.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use convex_client::{HttpOptions, http_client};
use reqwest::{Method, StatusCode, Version};
use serde_json::Value;

use crate::support::DEADLINE;
use crate::support::agent::Agent;
use crate::support::authority::{Authority, Identity};
use crate::support::client::Client;

/// The lowest cost of a bcrypt hash.
const BCRYPT_COST: u32 = 4;

const TLS: &str = "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n";

/// A directory with a web configuration and its files, and an agent that uses it.
struct Site {
    dir: tempfile::TempDir,
    agent: Agent,
    authority: Authority,
}

impl Site {
    async fn start(web_config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let site = dir.path();
        write(site, &authority.issue("localhost"));
        fs::write(site.join("ca.pem"), authority.pem()).unwrap();
        fs::write(site.join("web.yml"), web_config).unwrap();
        let agent = Agent::start(&format!(
            "web: {{ config_file: {} }}\npeers: [{{ name: a, endpoints: ['tcp://127.0.0.1:1'] }}]\n",
            site.join("web.yml").display()
        ))
        .await;
        Self {
            dir,
            agent,
            authority,
        }
    }

    fn write_config(&self, text: &str) {
        fs::write(self.dir.path().join("web.yml"), text).unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.agent.address.port())
    }

    fn plain_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.agent.address)
    }

    /// Makes a client that trusts the authority.
    fn client(&self) -> Client {
        Client::new(&self.authority, None)
    }

    /// Makes a client that also presents a certificate for `name`, issued by `authority`.
    fn client_named(&self, authority: &Authority, name: &str) -> Client {
        Client::new(&self.authority, Some(&authority.issue(name)))
    }
}

fn write(dir: &Path, identity: &Identity) {
    fs::write(dir.join("cert.pem"), &identity.certificate).unwrap();
    fs::write(dir.join("key.pem"), &identity.key).unwrap();
}

fn users(users: &[(&str, &str)]) -> String {
    let user = |(name, password): &(&str, &str)| {
        format!(
            "  {name}: '{}'\n",
            bcrypt::hash(password, BCRYPT_COST).unwrap()
        )
    };
    let lines: String = users.iter().map(user).collect();
    format!("basic_auth_users:\n{lines}")
}

#[tokio::test]
async fn the_listener_speaks_tls_with_http_1_and_2_and_explains_itself_to_plain_http() {
    let site = Site::start(TLS).await;
    let client = site.client();
    let answer = client.get(&site.url("/metrics")).await.unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    site.write_config(&format!("{TLS}http_server_config: {{ http2: false }}\n"));
    let reload = site
        .client()
        .request(Method::POST, &site.url("/-/reload"), &[])
        .await
        .unwrap();
    assert_eq!(reload.status(), StatusCode::OK);
    let answer = site.client().get(&site.url("/metrics")).await.unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_11)
    );

    let plain = site.client().get(&site.plain_url("/")).await.unwrap();
    assert_eq!(plain.status(), StatusCode::BAD_REQUEST);
    assert!(plain.text().await.unwrap().contains("use https"));
    let stranger = Client::new(&Authority::new(), None);
    assert!(
        stranger.get(&site.url("/")).await.is_err(),
        "a client that trusts another authority"
    );
    site.agent.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections_and_open_ones_stay() {
    let site = Site::start(TLS).await;
    let before = site.client();
    assert!(before.get(&site.url("/-/ready")).await.is_ok());
    let other = Authority::new();

    // While only half of the pair is replaced, the old one stays in use.
    let renewed = other.issue("localhost");
    fs::write(site.dir.path().join("cert.pem"), &renewed.certificate).unwrap();
    assert!(site.client().get(&site.url("/-/ready")).await.is_ok());

    // Kubernetes replaces the files of a secret by linking to another directory.
    let next = site.dir.path().join("next");
    fs::create_dir(&next).unwrap();
    write(&next, &renewed);
    for file in ["cert.pem", "key.pem"] {
        fs::remove_file(site.dir.path().join(file)).unwrap();
        symlink(next.join(file), site.dir.path().join(file)).unwrap();
    }
    assert!(
        Client::new(&other, None)
            .get(&site.url("/-/ready"))
            .await
            .is_ok()
    );
    assert!(site.client().get(&site.url("/-/ready")).await.is_err());
    assert!(
        before.get(&site.url("/-/ready")).await.is_ok(),
        "an open connection stays"
    );

    fs::remove_file(next.join("key.pem")).unwrap();
    assert!(
        Client::new(&other, None)
            .get(&site.url("/-/ready"))
            .await
            .is_ok()
    );
    site.agent.stop().await;
}

#[tokio::test]
async fn a_client_needs_an_allowed_certificate() {
    let config = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_ca_file: ca.pem\n  \
                  client_auth_type: RequireAndVerifyClientCert\n";
    let site = Site::start(&format!(
        "{config}  client_allowed_sans: [prometheus.example, 192.0.2.7]\n"
    ))
    .await;
    let url = site.url("/metrics");
    for name in ["prometheus.example", "192.0.2.7"] {
        let client = site.client_named(&site.authority, name);
        assert_eq!(
            client.get(&url).await.unwrap().status(),
            StatusCode::OK,
            "{name}"
        );
        // With it, a client may reload under any host name.
        let reload = client
            .request(Method::POST, &site.url("/-/reload"), &[])
            .await
            .unwrap();
        assert_eq!(reload.status(), StatusCode::OK);
        let foreign = [("origin", "https://evil.example")];
        let reload = client
            .request(Method::POST, &site.url("/-/reload"), &foreign)
            .await
            .unwrap();
        assert_eq!(reload.status(), StatusCode::FORBIDDEN);
    }
    let others = [
        site.client(),
        site.client_named(&site.authority, "other.example"),
        site.client_named(&Authority::new(), "prometheus.example"),
    ];
    for client in others {
        assert!(client.get(&url).await.is_err());
    }
    let probe = site.authority.issue("192.0.2.7");
    let (cert, key) = (
        site.dir.path().join("probe.pem"),
        site.dir.path().join("probe-key.pem"),
    );
    fs::write(&cert, probe.certificate).unwrap();
    fs::write(&key, probe.key).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    assert_eq!(healthcheck(&site, &[]).await, Some(1));
    assert_eq!(
        healthcheck(&site, &["--cert-file", cert, "--key-file", key]).await,
        Some(0)
    );
    site.agent.stop().await;
}

#[tokio::test]
async fn a_client_without_its_optional_certificate_cannot_reload() {
    let site = Site::start(
        "tls_server_config: { cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, \
         client_auth_type: VerifyClientCertIfGiven }\n",
    )
    .await;
    let known = site.client_named(&site.authority, "me.example");
    for (client, expected) in [
        (site.client(), StatusCode::FORBIDDEN),
        (known, StatusCode::OK),
    ] {
        assert_eq!(
            client.get(&site.url("/metrics")).await.unwrap().status(),
            StatusCode::OK
        );
        let reload = client
            .request(Method::POST, &site.url("/-/reload"), &[])
            .await
            .unwrap();
        assert_eq!(reload.status(), expected);
    }
    let stranger = site.client_named(&Authority::new(), "me.example");
    assert!(stranger.get(&site.url("/metrics")).await.is_err());
    site.agent.stop().await;
}

#[tokio::test]
async fn without_a_password_only_health_and_readiness_are_served() {
    let site = Site::start(&users(&[("ann", "right"), ("bob", "also: right")])).await;
    let (client, auth) = (site.client(), |user: &str, password: &str| {
        Some((user.to_owned(), password.to_owned()))
    });
    for (path, is_public) in [
        ("/-/healthy", true),
        ("/-/ready", true),
        ("/-/healthy/", false),
        ("/", false),
        ("/metrics", false),
        ("/config", false),
        ("/api/v1/peers", false),
        ("/api/v1/openapi.json", false),
        ("/badge/a.svg", false),
        ("/runbooks/", false),
        ("/nothing", false),
    ] {
        let url = site.plain_url(path);
        let expected = if is_public {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        for given in [
            None,
            auth("ann", "wrong"),
            auth("eve", "right"),
            auth("", ""),
        ] {
            let answer = client.get_as(&url, given.as_ref()).await.unwrap();
            assert_eq!(answer.status(), expected, "{path} {given:?}");
            let challenge = answer.headers().get("www-authenticate");
            assert_eq!(challenge.is_some(), !is_public, "{path}");
            assert!(answer.headers().contains_key("content-security-policy"));
        }
    }
    for given in [auth("ann", "right"), auth("bob", "also: right")] {
        let answer = client
            .get_as(&site.plain_url("/metrics"), given.as_ref())
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{given:?}");
    }
    let refused = client.get(&site.plain_url("/api/v1/peers")).await.unwrap();
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(problem["status"], 401);
    site.agent.stop().await;
}

#[tokio::test]
async fn with_a_password_anyone_but_a_page_of_another_origin_may_reload() {
    let site = Site::start(&users(&[("ann", "right")])).await;
    let (client, ann) = (site.client(), ("ann".to_owned(), "right".to_owned()));
    for (path, done) in [
        ("/-/reload", StatusCode::OK),
        ("/api/v1/peers/none/poll", StatusCode::NOT_FOUND),
        ("/peers/none/poll", StatusCode::NOT_FOUND),
    ] {
        for (headers, given, expected) in [
            (("host", "192.0.2.1"), Some(&ann), done),
            (
                ("origin", "https://evil.example"),
                Some(&ann),
                StatusCode::FORBIDDEN,
            ),
            (("host", "127.0.0.1"), None, StatusCode::UNAUTHORIZED),
        ] {
            let answer = client
                .send(Method::POST, &site.plain_url(path), &[headers], given)
                .await
                .unwrap();
            assert_eq!(answer.status(), expected, "{path} {headers:?}");
        }
    }
    site.agent.stop().await;
}

#[tokio::test]
async fn a_reload_applies_new_users_and_an_invalid_file_changes_nothing() {
    let site = Site::start(&users(&[("ann", "right")])).await;
    let (ann, bob) = (
        ("ann".to_owned(), "right".to_owned()),
        ("bob".to_owned(), "new".to_owned()),
    );
    let client = site.client();
    let reload = async |user| {
        let url = site.plain_url("/-/reload");
        let answer = client
            .send(Method::POST, &url, &[], Some(user))
            .await
            .unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    site.write_config(
        "basic_auth_users: { ann: right }\ntls_server_config: { cert_file: gone.pem }\n",
    );
    let (status, why) = reload(&ann).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    for wrong in [
        "web.yml:1:26: basic_auth_users.ann: not a bcrypt hash",
        "web.yml:2:20: tls_server_config.key_file: is missing",
    ] {
        assert!(why.contains(wrong), "{why}");
    }
    assert_eq!(reload(&bob).await.0, StatusCode::UNAUTHORIZED);
    site.write_config(&users(&[("bob", "new")]));
    assert_eq!(
        reload(&ann).await.0,
        StatusCode::OK,
        "the old user is valid until this reload"
    );
    assert_eq!(reload(&ann).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(reload(&bob).await.0, StatusCode::OK);
    site.agent.stop().await;
}

#[tokio::test]
async fn configured_headers_replace_the_default_ones() {
    let site = Site::start(
        "http_server_config: { headers: { Strict-Transport-Security: max-age=31536000, X-Frame-Options: deny, \
         content-security-policy: \"default-src 'self'\" } }\n",
    )
    .await;
    let answer = site
        .client()
        .get(&site.plain_url("/-/ready"))
        .await
        .unwrap();
    for (name, value) in [
        ("strict-transport-security", "max-age=31536000"),
        ("x-frame-options", "deny"),
        ("content-security-policy", "default-src 'self'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ] {
        let values: Vec<_> = answer.headers().get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    site.agent.stop().await;
}

#[tokio::test]
async fn requests_beyond_the_rate_limit_are_refused_before_their_passwords_are_checked() {
    let hash = bcrypt::hash("s3cret", BCRYPT_COST).unwrap();
    let site = Site::start(&format!(
        "basic_auth_users: {{ a: '{hash}' }}\nrate_limit: {{ interval: 1h, burst: 2 }}\n"
    ))
    .await;
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let get = async |path: &str| client.get(site.plain_url(path)).send().await.unwrap();
    for _ in 0..2 {
        assert_eq!(get("/").await.status(), StatusCode::UNAUTHORIZED);
    }
    let refused = get("/").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("`rate_limit` of web.config_file")
    );
    let refused = get("/api/v1/peers").await;
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    // Health checks restart agents that are well otherwise.
    assert_eq!(get("/-/healthy").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn healthcheck_needs_no_password_and_no_matching_certificate() {
    let site = Site::start(&format!("{TLS}{}", users(&[("ann", "right")]))).await;
    assert_eq!(healthcheck(&site, &[]).await, Some(0));
    site.agent.stop().await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let site = Site::start("").await;
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    for path in ["/-/reload", "/api/v1/peers/a/poll"] {
        let request = client
            .post(site.plain_url(path))
            .body(vec![b'x'; (16 << 10) + 1]);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
    let lines = client
        .get(site.plain_url("/-/ready"))
        .header("x-long", "x".repeat(40 << 10));
    let answer = lines.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    site.agent.stop().await;
}

/// Returns the exit code of `healthcheck` at the address, for which the certificate is not issued.
async fn healthcheck(site: &Site, args: &[&str]) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    let url = format!("https://{}/-/healthy", site.agent.address);
    command.args(["healthcheck", "--url", &url]).args(args);
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap().status.code()
}
