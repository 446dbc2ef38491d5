//! Receivers of chat and paging services: what each type needs, and what it cannot do.

use std::fs;

use convex_peer_monitor::config::{self, Service};

use super::{PEER, errors, parse_in, valid};

fn with_receiver(keys: &str) -> String {
    format!("{PEER}notify:\n  receivers:\n    - {{ name: r, {keys} }}\n")
}

/// A valid receiver of each type.
const VALID: [&str; 6] = [
    "type: discord, url: 'https://discord.com/api/webhooks/1/s3cret'",
    "type: slack, url: 'https://hooks.slack.com/services/s3cret'",
    "type: slack, token: xoxb-s3cret, channel: '#ops'",
    "type: telegram, token: '123:s3cret', chat_id: -1001234567890",
    "type: ntfy, topic: s3cret, token: tk_s3cret, min_severity: info",
    "type: pagerduty, routing_key: s3cret89abcdef0123456789abcdef01",
];

#[test]
fn each_type_is_read_and_shown_without_its_secrets() {
    for (keys, kind) in
        VALID
            .iter()
            .zip(["discord", "slack", "slack", "telegram", "ntfy", "pagerduty"])
    {
        let config = valid(&with_receiver(keys));
        let receiver = &config.notify.receivers[0];
        assert_eq!(receiver.service.type_name(), kind);
        assert_eq!(config.notify.receivers().collect::<Vec<_>>(), ["r"]);
        let shown = config::render(&config);
        let debug = format!("{config:?}");
        assert!(
            !shown.contains("s3cret") && !debug.contains("s3cret"),
            "{shown}"
        );
        assert!(config.warnings.lines().count() <= 1, "{keys}");
    }
}

#[test]
fn a_secret_may_be_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("url"),
        "https://discord.com/api/webhooks/1/x\n",
    )
    .unwrap();
    fs::write(dir.path().join("token"), "123:s3cret\n").unwrap();
    fs::write(dir.path().join("topic"), "s3cret\n").unwrap();
    fs::write(dir.path().join("key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    for keys in [
        "type: discord, url_file: url",
        "type: telegram, token_file: token, chat_id: '@channel'",
        "type: ntfy, topic_file: topic, token_file: token",
        "type: pagerduty, routing_key_file: key",
        "type: slack, token_file: token, channel: C0123456789",
    ] {
        let config = parse_in(dir.path(), &with_receiver(keys)).unwrap();
        if let Service::Telegram { token, chat_id } = &config.notify.receivers[0].service {
            assert_eq!(
                (token.expose(), chat_id.as_str()),
                ("123:s3cret", "@channel")
            );
        }
    }
}

#[test]
fn an_error_says_what_the_type_needs() {
    for (keys, expected) in [
        ("url: 'https://x'", "type: is missing; add it"),
        (
            "type: dicsord, url: 'https://x'",
            "expected discord, slack, telegram, ntfy or pagerduty",
        ),
        (
            "type: discord",
            "url: is missing; set the URL of the webhook, or `url_file`",
        ),
        (
            "type: discord, url: 'https://x/1', token: s3cret",
            "token: is for type slack or telegram or ntfy only; remove it, a receiver of type \
             discord has url, url_file",
        ),
        (
            "type: slack",
            "url: is missing; set the URL of an incoming webhook, or `token` and `channel`",
        ),
        (
            "type: slack, token: s3cret",
            "channel: is missing; add the id of the channel, as in C0123456789",
        ),
        (
            "type: slack, url: 'https://x/s3cret', channel: C1",
            "channel: needs a token; add `token`, or remove this key",
        ),
        (
            "type: slack, url: 'https://hooks.slack.com/s3cret', token: s3cret, channel: C1",
            "url: is an incoming webhook, which takes no token",
        ),
        (
            "type: slack, token: s3cret, channel: 'a b'",
            "channel: \"a b\" is not a channel",
        ),
        (
            "type: telegram, token: s3cret, chat_id: 1",
            "token: not the token of a bot; expected a number, a colon",
        ),
        (
            "type: telegram, token: '1:s3cret'",
            "chat_id: is missing; add it",
        ),
        (
            "type: telegram, token: '1:s3cret', chat_id: ops",
            "chat_id: \"ops\" is not a chat; expected its id",
        ),
        (
            "type: telegram, token: '1:s3cret/x', chat_id: 1",
            "token: not the token of a bot",
        ),
        ("type: ntfy", "topic: is missing; set it, or `topic_file`"),
        (
            "type: ntfy, topic: 's3cret/x'",
            "topic: not a topic; expected 1 to 64 letters",
        ),
        (
            "type: ntfy, topic: x, token: 's3cret x'",
            "token: not a token; expected printable ASCII without spaces",
        ),
        (
            "type: pagerduty, routing_key: s3cret",
            "routing_key: not an integration key; expected 32 letters and digits",
        ),
        (
            "type: ntfy, topic: x, chat: 1",
            "chat: unknown key; did you mean `chat_id`?",
        ),
        (
            "type: ntfy, topic: x, topic_file: y",
            "topic_file: conflicts with `topic`; keep one of them",
        ),
        (
            "type: ntfy, topic: x, networks: [nowhere]",
            "networks[0]: \"nowhere\" is not",
        ),
        (
            "type: ntfy, topic: x, min_severity: high",
            "min_severity: \"high\" is not allowed; expected info, warning or critical",
        ),
    ] {
        let report = errors(&with_receiver(keys));
        assert!(report.contains(expected), "{keys}: {report}");
        assert!(report.starts_with("c.yml:"), "{keys}: {report}");
        assert!(!report.contains("s3cret"), "{keys}: {report}");
    }
    let twice = format!(
        "{PEER}notify:\n  webhooks: [{{ name: r, url: 'http://x' }}]\n  receivers: [{{ name: r, {} }}]\n",
        VALID[0]
    );
    assert!(errors(&twice).contains("\"r\" is already used"));
}

#[test]
fn what_a_receiver_cannot_do_or_does_not_protect_is_a_warning() {
    for (keys, expected) in [
        (VALID[0], None),
        (VALID[1], Some("cannot be edited")),
        (VALID[2], None),
        (VALID[3], None),
        (VALID[4], None),
        (VALID[5], None),
        (
            "type: ntfy, topic: t",
            Some("without a token, everyone who knows the topic"),
        ),
        (
            "type: discord, url: 'https://discord.com/channels/1/2'",
            Some("does not look like a webhook of Discord"),
        ),
        (
            "type: ntfy, topic: t, token: x, url: 'http://ntfy.example'",
            Some("cross the network unencrypted; use https"),
        ),
        (
            "type: ntfy, topic: t, token: x, url: 'http://127.0.0.1:8080'",
            None,
        ),
    ] {
        let config = valid(&with_receiver(keys));
        let warnings: Vec<String> = config.warnings.lines().collect();
        match expected {
            None => assert_eq!(warnings, Vec::<String>::new(), "{keys}"),
            Some(expected) => {
                assert!(
                    warnings.iter().any(|it| it.contains(expected)),
                    "{keys}: {warnings:?}"
                );
                assert!(warnings.iter().all(|it| it.contains("receiver \"r\"")));
            }
        }
    }
}
