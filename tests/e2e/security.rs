//! Prometheus scrapes the agent over TLS, with a password and a client certificate.

use std::fs;

use super::Agent;
use super::authority::Authority;
use super::pipeline;
use super::prometheus::Prometheus;

const PASSWORD: &str = "right";

#[tokio::test]
async fn prometheus_scrapes_over_tls_with_a_password_and_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let address = pipeline::own_address().unwrap();
    let authority = Authority::new();
    let (own, prometheus) = (
        authority.issue(&address.ip().to_string()),
        authority.issue("prometheus.example"),
    );
    let users = bcrypt::hash(PASSWORD, 4).unwrap();
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("cert.pem", own.certificate),
        ("key.pem", own.key),
        ("prometheus.pem", prometheus.certificate),
        ("prometheus.key", prometheus.key),
        (
            "web-config.yml",
            format!(
                "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_auth_type: RequireAndVerifyClientCert\n  \
                 client_ca_file: ca.pem\n  client_allowed_sans: [prometheus.example]\nbasic_auth_users: {{ scraper: '{users}' }}\n"
            ),
        ),
        (
            "config.yml",
            "web: { config_file: web-config.yml }\npeers: [{ name: a, endpoints: ['tcp://127.0.0.1:1'] }]\n".to_owned(),
        ),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let address = address.to_string();
    let shipped = fs::read_to_string(pipeline::root().join("deploy/prometheus.yml")).unwrap();
    let config = |password: &str| {
        let job = "  - job_name: convex-peer-monitor\n";
        let more = format!(
            "{job}    scheme: https\n    tls_config: {{ ca_file: {}, cert_file: {}, key_file: {} }}\n    \
             basic_auth: {{ username: scraper, password: {password} }}\n",
            path("ca.pem"),
            path("prometheus.pem"),
            path("prometheus.key")
        );
        let config = shipped.replace("\"127.0.0.1:9093\"", "");
        config
            .replace(job, &more)
            .replace("127.0.0.1:18880", &address)
    };
    let configs = [(config(PASSWORD), 1.0), (config("wrong"), 0.0)];
    let child = Agent::run(dir.path(), &address, &[]).await;
    let agent = Agent {
        address,
        child,
        dir,
        environment: Vec::new(),
    };
    for (config, up) in configs {
        let prometheus = Prometheus::start_with(&config).await;
        let scraped = "up{job=\"convex-peer-monitor\"}";
        assert_eq!(prometheus.value(scraped).await, up);
    }
    drop(agent);
}
