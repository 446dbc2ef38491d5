//! Secrets in a configuration: never in an error message, and protected on disk.

use std::fmt::Write as _;
use std::fs;

use convex_peer_monitor::cli::check_config;
use convex_peer_monitor::config;

use super::{PEER, check, environment, errors, parse_in, with_peer};

#[test]
fn errors_do_not_contain_values_from_the_environment() {
    for lines in [
        "bearer_token: ${BAD_TOKEN}",
        "bearer_token_file: ${TOKEN}",
        "headers: { X-Key: \"${TOKEN}\\n\" }",
        "interval: ${TOKEN}",
        "account: ${TOKEN}",
        "key: ${TOKEN}",
        "role: ${TOKEN}",
        "network: ${TOKEN}",
        "server_name: \"${BAD_TOKEN}\"",
        "proxy: ${TOKEN}",
        "proxy: http://h/${TOKEN}",
        "ca_file: ${TOKEN}",
        "key: 5s3cret",
        "bearer_token: s3cret\nbearer_token: s3cret",
        "proxy: http://u:s3cret@h",
        "proxy: u:s3cret@h",
        "expect_block_every: ${TOKEN}",
        "maintenance: [{ from: \"${TOKEN}\", to: \"${TOKEN}\" }]",
    ] {
        let error = errors(&with_peer(lines));
        // This value is in the file itself.
        let given = lines.contains("key: 5s3cret");
        assert!(given == error.contains("s3cret"), "{lines} gives {error}");
    }
    for endpoint in [
        "${TOKEN}",
        "http://h/?${TOKEN}",
        "tcp://h/${TOKEN}",
        "${TOKEN}://h",
        "http://h:${TOKEN}",
        "u:s3cret@h:18888",
        "http://u:s3cret@h",
    ] {
        let error = errors(&format!(
            "peers: [{{ name: a, endpoints: [\"{endpoint}\"] }}]"
        ));
        assert!(!error.contains("s3cret"), "{endpoint} gives {error}");
    }
    for line in [
        "self_check: { references: [\"${TOKEN}\"] }",
        "self_check: { dns_name: \"${BAD_TOKEN}\" }",
        "queries: [{ name: \"${BAD_TOKEN}\", source: \"1\" }]",
        "queries: [{ name: a, source: \"1 \\\\${TOKEN}\" }]",
        "queries: [{ name: a, source: \"##${TOKEN}\" }]",
        "queries: [{ name: a, source: \"1\", networks: [\"${TOKEN}\"] }]",
    ] {
        let error = errors(&format!("{PEER}{line}\n"));
        assert!(!error.contains("s3cret"), "{line} gives {error}");
    }
}

#[test]
fn errors_about_secret_files_do_not_contain_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for (key, content) in [
        ("bearer_token_file", b"s3cret\nline\n".as_slice()),
        ("bearer_token_file", b""),
        ("bearer_token_file", b"\n"),
        ("bearer_token_file", b"s3cret\xff"),
        ("headers_file", b"X-A: 1\ns3cret\n"),
        ("headers_file", b"X-A: s3cret\x01\n"),
        ("headers_file", b"X-A: s3cret\nx-a: s3cret\n"),
        ("headers_file", b"Content-Type: s3cret\n"),
        ("ca_file", b"s3cret"),
        (
            "ca_file",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        (
            "ca_file",
            b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
        ),
    ] {
        fs::write(dir.path().join("f"), content).unwrap();
        let error = parse_in(dir.path(), &with_peer(&format!("{key}: f"))).expect_err(key);
        writeln!(all, "{error}").unwrap();
    }
    assert!(!all.contains("s3cret"), "{all}");
    insta::assert_snapshot!(all.replace(dir.path().to_str().unwrap(), "DIR"));
}

#[test]
fn errors_about_receivers_do_not_contain_their_secrets() {
    insta::assert_snapshot!(errors(&format!(
        "{PEER}{}",
        r#"notify:
  labels: { severity: page }
  alertmanagers:
    - { name: am, url: "ftp://s3cret" }
    - { name: am, url: "https://me:s3cret@am.example" }
    - { name: heartbeat, url: "s3cret" }
    - { name: none }
    - { name: two, url: http://a, url_file: b }
    - { name: both, url: http://a, bearer_token: s3cret, basic_auth: { username: a, password: s3cret } }
    - { name: user, url: http://a, basic_auth: { username: "a:b", password: s3cret } }
    - { name: word, url: http://a, basic_auth: { username: a } }
    - { name: more, url: http://a, server_name: a, send_resolved: true }
  webhooks:
    - { name: am, url: http://a }
    - { name: level, url: http://a, min_severity: page, send_resolved: 1 }
  heartbeat: { interval: 1m }
"#
    )));
}

#[test]
fn secrets_that_every_user_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = "tls_server_config: { cert_file: cert.pem, key_file: key.pem }";
    let files = [
        ("token", "s3cret".to_owned()),
        ("password", "s3cret".to_owned()),
        ("url", "http://127.0.0.1/s3cret".to_owned()),
        ("headers", "X-Key: s3cret".to_owned()),
        ("cert.pem", own.cert.pem()),
        ("key.pem", own.signing_key.serialize_pem()),
        ("web.yml", format!("{tls}\nbasic_auth_users: {{ a: '{hash}' }}\n")),
        (
            "c.yml",
            "web: { config_file: web.yml }\n\
             peers: [{ name: a, endpoints: [http://a], headers: { X-Key: s3cret }, bearer_token_file: token }]\n\
             notify:\n  webhooks:\n  - { name: w, url_file: url, headers_file: headers, basic_auth: { username: u, password_file: password } }\n"
                .to_owned(),
        ),
    ];
    let warnings = |mode| {
        for (name, text) in &files {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let config = config::load(&dir.path().join("c.yml"), &environment).unwrap();
        let lines: Vec<_> = config.warnings.lines().collect();
        lines
            .join("\n")
            .replace(dir.path().to_str().unwrap(), "DIR")
    };
    for mode in [0o600, 0o640] {
        assert_eq!(warnings(mode), "", "{mode:o}");
    }
    insta::assert_snapshot!(warnings(0o644));
    let (ok, out, _) = check(
        &[dir.path().join("c.yml")],
        check_config::Options::default(),
    );
    assert!(
        ok && out.contains("warning: ") && out.contains("chmod 640"),
        "{out}"
    );
}
