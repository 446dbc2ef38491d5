//! The web configuration file.

use std::fs;
use std::time::Duration;

use convex_peer_monitor::cli::check_config;
use convex_peer_monitor::config::{self, Config};

use super::{PEER, check, parse_in};

/// Reads a configuration with this web configuration, next to a certificate, its key and another
/// key.
fn with_web(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("cert.pem", identity.cert.pem()),
        ("key.pem", identity.signing_key.serialize_pem()),
        ("other.pem", other.signing_key.serialize_pem()),
        ("web.yml", text.to_owned()),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let config = parse_in(
        dir.path(),
        &format!("web: {{ config_file: web.yml }}\n{PEER}"),
    );
    config.map_err(|errors| {
        errors
            .to_string()
            .replace(dir.path().to_str().unwrap(), "DIR")
    })
}

#[test]
fn every_key_of_a_web_configuration_is_read() {
    let config = with_web(include_str!("web.yml")).unwrap();
    let web = &config.web;
    assert!(web.requires_authentication() && !web.http2);
    assert_eq!(
        web.users.keys().collect::<Vec<_>>(),
        ["Jürgen", "prometheus"]
    );
    assert!(web.users["prometheus"].verify(b"s3cret") && !web.users["prometheus"].verify(b"other"));
    assert_eq!(web.headers["strict-transport-security"], "max-age=31536000");
    assert!(config.web.tls.as_ref().unwrap().requires_certificate());
    let limit = web.rate_limit.unwrap();
    assert_eq!(
        (limit.interval, limit.burst),
        (Duration::from_millis(100), 50)
    );
    assert!(config::render(&config).contains("/web.yml"));
}

#[test]
fn an_empty_web_configuration_means_plain_http_without_passwords() {
    for text in ["", "\n# later\n"] {
        let config = with_web(text).unwrap();
        assert!(
            config.web.tls.is_none() && config.web.http2 && !config.web.requires_authentication()
        );
    }
}

#[test]
fn errors_in_a_web_configuration_name_its_own_file() {
    insta::assert_snapshot!(with_web(include_str!("bad-web.yml")).unwrap_err());
    let tls = |lines: &str| {
        let text = format!("tls_server_config:\n  cert_file: cert.pem\n{lines}");
        with_web(&text).unwrap_err()
    };
    insta::assert_snapshot!(
        [
            tls("  key_file: other.pem\n"),
            tls("  key_file: gone.pem\n"),
            tls("  key_file: cert.pem\n"),
            tls("  key_file: key.pem\n  client_ca_file: cert.pem\n"),
            tls("  key_file: key.pem\n  client_auth_type: RequireAndVerifyClientCert\n"),
            tls("  key_file: key.pem\n  client_ca_file: key.pem\n  client_auth_type: VerifyClientCertIfGiven\n"),
            tls("  key_file: key.pem\n  min_version: TLS13\n  max_version: TLS12\n"),
            with_web("basic_auth_users: {}\n").unwrap_err(),
            with_web("tls_server_config: [").unwrap_err(),
        ]
        .join("\n")
    );
}

/// Indents a text for a block of YAML.
fn block(text: &str) -> String {
    let lines = text.lines().map(|line| format!("\n    {line}"));
    format!("|{}", lines.collect::<String>())
}

#[test]
fn certificates_can_stand_in_the_web_configuration_itself() {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (identity.cert.pem(), identity.signing_key.serialize_pem());
    let inline = format!("  cert: {}\n  key: {}\n", block(&cert), block(&key));
    let client = format!(
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca: {}\n",
        block(&cert)
    );
    let config = with_web(&format!("tls_server_config:\n{inline}{client}")).unwrap();
    assert!(config.web.tls.as_ref().unwrap().requires_certificate());
    let warnings: Vec<String> = config.warnings.lines().collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("web.yml\" holds a secret"),
        "{warnings:?}"
    );
    let secret = key.lines().nth(1).unwrap();
    assert!(!format!("{config:?}").contains(secret));

    // A file is used rather than what stands beside it, as in Prometheus.
    let both = format!("tls_server_config:\n{inline}  cert_file: cert.pem\n  key_file: key.pem\n");
    let config = with_web(&both).unwrap();
    let warnings: Vec<String> = config.warnings.lines().collect();
    for unused in [
        "cert: has no effect beside cert_file",
        "key: has no effect beside key_file",
    ] {
        assert!(
            warnings.iter().any(|it| it.contains(unused)),
            "{warnings:?}"
        );
    }
}

#[test]
fn what_is_wrong_with_certificates_in_the_configuration_is_said_without_them() {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (identity.cert.pem(), other.signing_key.serialize_pem());
    for (lines, expected) in [
        (
            format!("  cert: {}\n", block(&cert)),
            "key_file: is missing; add it, or `key`",
        ),
        (
            "  key_file: key.pem\n".to_owned(),
            "cert_file: is missing; add it, or `cert`",
        ),
        (
            "  cert: x\n  key_file: key.pem\n".to_owned(),
            "tls_server_config.cert: contains no certificate",
        ),
        (
            "  cert_file: cert.pem\n  key: s3cret\n".to_owned(),
            "tls_server_config.key: contains no private key",
        ),
        (
            format!("  cert_file: cert.pem\n  key: {}\n", block(&key)),
            "tls_server_config.key: does not match the certificate",
        ),
        (
            "  cert_file: cert.pem\n  key_file: key.pem\n  client_ca: x\n".to_owned(),
            "tls_server_config.client_ca: has no effect without client certificates",
        ),
    ] {
        let errors = with_web(&format!("tls_server_config:\n{lines}")).unwrap_err();
        assert!(errors.contains(expected), "{expected}: {errors}");
        assert!(!errors.contains("s3cret"), "{errors}");
    }
}

#[test]
fn a_rate_limit_needs_an_interval_and_a_burst() {
    let limit = |text: &str| with_web(&format!("rate_limit: {text}\n"));
    assert!(
        limit("{ interval: 0, burst: 7 }")
            .unwrap()
            .web
            .rate_limit
            .is_none()
    );
    for (text, expected) in [
        (
            "{ burst: 1 }",
            "web.yml:1:13: rate_limit.interval: is missing",
        ),
        (
            "{ interval: 1s }",
            "web.yml:1:13: rate_limit.burst: at least 1 is needed",
        ),
        (
            "{ interval: 1s, burst: 0 }",
            "web.yml:1:36: rate_limit.burst: at least 1 is needed",
        ),
        (
            "{ interval: 1s, burst: -1 }",
            "web.yml:1:36: rate_limit.burst: -1 is not a whole number",
        ),
        (
            "{ interval: 5, burst: 1 }",
            "web.yml:1:25: rate_limit.interval: 5 is not a duration",
        ),
    ] {
        let errors = limit(text).unwrap_err();
        assert!(errors.contains(expected), "{expected}: {errors}");
    }
}

#[test]
fn a_listener_open_to_other_hosts_is_warned_about() {
    let exposure = |text: &str, address: &str| {
        let config = with_web(text).unwrap();
        config.web.exposure_warning(&address.parse().unwrap())
    };
    let open = exposure("", "0.0.0.0:18880").unwrap();
    assert!(open.contains("open to anyone"), "{open}");
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    let users = format!("basic_auth_users: {{ a: '{hash}' }}\n");
    let plain = exposure(&users, "[2001:db8::1]:1").unwrap();
    assert!(plain.contains("in plain"), "{plain}");
    let tls = "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n";
    assert!(
        exposure(tls, "192.0.2.1:1")
            .unwrap()
            .contains("open to anyone")
    );
    assert_eq!(exposure(&format!("{tls}{users}"), "192.0.2.1:1"), None);
    assert_eq!(exposure("", "127.0.0.1:1"), None);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yml");
    fs::write(&file, format!("listen: 0.0.0.0:1\n{PEER}")).unwrap();
    let (ok, out, _) = check(&[file], check_config::Options::default());
    assert!(
        ok && out.contains("warning: 0.0.0.0:1 is open to anyone"),
        "{out}"
    );
}
