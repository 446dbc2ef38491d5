//! The status page: what is published, and colours that can be read.

use std::fs;

use super::{check, errors, parse_in, valid};
use convex_peer_monitor::cli::check_config;
use convex_peer_monitor::config::LogoKind;

const PEERS: &str = "networks: [{ name: main }, { name: test }]\npeers:\n  - { name: one, network: main, endpoints: [http://a] }\n  - { name: two, network: test, endpoints: [http://b] }\n";

/// A configuration whose section `status` has these lines.
fn with_status(lines: &str) -> String {
    let lines: Vec<&str> = lines.lines().collect();
    format!("{PEERS}status:\n  {}\n", lines.join("\n  "))
}

const TITLE: &str = "title: Gateways\npeers: [{ peer: one, name: Paris }]";

#[test]
fn only_what_is_named_is_published() {
    let text = with_status(
        "title: Gateways\nlisten: 127.0.0.1:0\nnetworks: [{ network: test, name: Testnet }]\npeers:\n  - { peer: two, name: Gateway Oslo }\n  - { peer: one, name: 東京, id: tokyo }",
    );
    let status = valid(&text).status.unwrap();
    let published = status.networks.iter().chain(&status.peers);
    let published: Vec<_> = published
        .map(|it| (it.internal.as_str(), it.name.as_str(), it.id.as_str()))
        .collect();
    assert_eq!(
        published,
        [
            ("test", "Testnet", "testnet"),
            ("two", "Gateway Oslo", "gateway-oslo"),
            ("one", "東京", "tokyo")
        ]
    );
    assert_eq!(valid(PEERS).status, None);
}

#[test]
fn mistakes_are_reported_with_their_position_and_what_would_be_right() {
    for (lines, expected) in [
        (
            "title: Gateways",
            "5:1: status: would show nothing, as it names nothing; add `peers` or `networks`",
        ),
        (
            "peers: [{ peer: one, name: Paris }]",
            "6:3: status.title: is missing; add it",
        ),
        (
            "title: ' '\npeers: [{ peer: one, name: Paris }]",
            "6:10: status.title: is empty; write what visitors shall read",
        ),
        (
            "title: x\npeers: [{ peer: on, name: Paris }]",
            "7:19: status.peers[0].peer: no peer is called \"on\"; did you mean \"one\"?",
        ),
        (
            "title: x\nnetworks: [{ network: other, name: Paris }]",
            "status.networks[0].network: no network of this file is called \"other\"",
        ),
        (
            "title: x\npeers: [{ peer: one }]",
            "status.peers[0].name: is missing; add it",
        ),
        (
            "title: x\npeers: [{ peer: one, name: A }, { peer: one, name: B }]",
            "status.peers[1].peer: \"one\" is published already, by line 7",
        ),
        (
            "title: x\npeers: [{ peer: one, name: A b }, { peer: two, name: a-B }]",
            "status.peers[1].name: names files \"a-b\" as the entry on line 7 does",
        ),
        (
            "title: x\nnetworks: [{ network: main, name: A }]\npeers: [{ peer: two, name: B, id: a }]",
            "status.peers[0].id: names files \"a\"",
        ),
        (
            "title: x\npeers: [{ peer: one, name: 東京 }]",
            "add `id`, such as `id: gateway-1`",
        ),
        (
            "title: x\npeers: [{ peer: one, name: A, id: ../x }]",
            "status.peers[0].id: \"../x\" is not an id; expected up to 60 of a to z, 0 to 9 and `-`",
        ),
        (
            "title: x\npeers: [{ peer: one, name: A, url: x }]",
            "status.peers[0].url: unknown key",
        ),
        (
            "title: x\nlisten: 127.0.0.1:18880\npeers: [{ peer: one, name: A }]",
            "7:11: status.listen: 127.0.0.1:18880 is the agent's own `listen`",
        ),
        (
            "title: x\nlinks: [{ text: Us, url: 'javascript:alert(1)' }]\npeers: [{ peer: one, name: A }]",
            "status.links[0].url: ",
        ),
    ] {
        let found = errors(&with_status(lines));
        assert!(found.contains(expected), "{lines}\n{found}");
    }
}

#[test]
fn colours_that_cannot_be_read_are_refused() {
    let theme = |theme: &str| errors(&with_status(&format!("{TITLE}\ntheme: {{ {theme} }}")));
    for (lines, expected) in [
        (
            "light: { accent: red }",
            "status.theme.light.accent: \"red\" is not a colour; expected red, green and blue in hexadecimal and in quotes, such as \"#0757ba\"",
        ),
        (
            "light: { accent: '#ffff00' }",
            "status.theme.light.accent: the contrast of #ffff00 with the background, #ffffff, is 1; expected at least 4.5",
        ),
        (
            "dark: { text: '#333' }",
            "status.theme.dark.text: the contrast of #333333 with the background, #14171a, is 1.4",
        ),
        (
            "light: { background: '#777777' }",
            "status.theme.light.background: the contrast of #777777 with #116329, the colour of what is up, is 1.6; expected at least 4.5: choose a lighter background",
        ),
        (
            "dark: { background: '#ffffff', text: '#000000' }",
            "choose a darker background",
        ),
    ] {
        let found = theme(lines);
        assert!(found.contains(expected), "{lines}\n{found}");
    }
    let fine = "light: { background: '#fffdf5', text: '#222', accent: '#7a1f5c' }, dark: { accent: '#ffb3e6' }";
    let config = valid(&with_status(&format!("{TITLE}\ntheme: {{ {fine} }}")));
    assert_eq!(
        config.status.unwrap().theme.light.text.to_string(),
        "#222222"
    );
}

#[test]
fn a_logo_is_a_small_png_or_svg() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("logo.svg"),
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
    )
    .unwrap();
    fs::write(dir.path().join("logo.gif"), "GIF89a").unwrap();
    fs::write(
        dir.path().join("large.png"),
        [b"\x89PNG\r\n\x1a\n".to_vec(), vec![0; 33_000]].concat(),
    )
    .unwrap();
    let with_logo = |name: &str| {
        let text = with_status(&format!("{TITLE}\ntheme: {{ logo: {name} }}"));
        parse_in(dir.path(), &text)
    };
    let status = with_logo("logo.svg").unwrap().status.unwrap();
    assert_eq!(status.theme.logo.as_ref().unwrap().kind, LogoKind::Svg);
    for (name, expected) in [
        ("logo.gif", "logo.gif\" is neither a PNG nor an SVG"),
        ("large.png", "larger than 32768 bytes"),
        ("none.png", "cannot read"),
    ] {
        let found = with_logo(name).unwrap_err().to_string();
        assert!(
            found.contains(expected) && found.contains("status.theme.logo: "),
            "{found}"
        );
    }
}

#[test]
fn visitors_are_not_asked_for_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let identity = rcgen::generate_simple_self_signed(["mon.example".to_owned()]).unwrap();
    fs::write(dir.path().join("cert.pem"), identity.cert.pem()).unwrap();
    fs::write(
        dir.path().join("key.pem"),
        identity.signing_key.serialize_pem(),
    )
    .unwrap();
    let tls = "tls_server_config: { cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem, client_auth_type: RequireAndVerifyClientCert }\n";
    fs::write(dir.path().join("web.yml"), tls).unwrap();
    let text = with_status(&format!("{TITLE}\nlisten: 127.0.0.1:1"));
    let found = parse_in(
        dir.path(),
        &format!("web: {{ config_file: web.yml }}\n{text}"),
    );
    let found = found.unwrap_err().to_string();
    assert!(
        found.contains("status.listen: `client_auth_type` of web.config_file"),
        "{found}"
    );
}

#[test]
fn check_config_says_what_everybody_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yml");
    for (more, place) in [
        ("", "served only by what `status export` writes"),
        (
            "\nlisten: 0.0.0.0:8080",
            "served to everybody at 0.0.0.0:8080",
        ),
    ] {
        fs::write(&file, with_status(&format!("{TITLE}{more}"))).unwrap();
        let (ok, out, err) = check(
            std::slice::from_ref(&file),
            check_config::Options::default(),
        );
        assert!(ok, "{err}");
        assert!(
            out.contains(&format!("  status page: shows \"Paris\"; {place}\n")),
            "{out}"
        );
        assert!(
            out.contains("warning: state_dir is not set: the status page loses"),
            "{out}"
        );
    }
}
