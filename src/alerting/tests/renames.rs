//! Peers that are renamed, removed or in maintenance.

use super::*;

/// Names, ends and starts of all alerts about peers.
fn by_peer(fixture: &Fixture) -> Vec<(String, Option<EndedBy>, SystemTime)> {
    let alerts = fixture.alerts().into_iter();
    alerts
        .map(|alert| {
            let peer = alert.subject.labels("v")["peer"].clone();
            assert_eq!(alert.ends_at.is_some(), alert.ended_by.is_some());
            (peer, alert.ended_by, alert.starts_at)
        })
        .collect()
}

fn rename(from: &str, to: &str) -> Rename {
    Rename {
        network: "n".to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

#[test]
fn the_alert_of_a_renamed_peer_ends_at_the_old_name_and_goes_on_at_the_new_one() {
    let mut fixture = Fixture::down();
    assert_eq!(fixture.run(300).len(), 1);
    let started = fixture.alerts()[0].starts_at;
    "q".clone_into(&mut fixture.peer().name);
    let fires = fixture
        .tracker
        .rename(&[rename("p", "q")], fixture.now, fixture.wall);
    assert!(fires);
    let renamed = Some(EndedBy::Renamed("q".to_owned()));
    let expected = [
        ("p".to_owned(), renamed, started),
        ("q".to_owned(), None, started),
    ];
    assert_eq!(by_peer(&fixture), expected);
    assert_eq!(fixture.run(300), Vec::<String>::new());
    assert_eq!(
        by_peer(&fixture),
        expected[1..],
        "the end is reported for a while"
    );
}

#[test]
fn alerts_follow_two_peers_that_exchange_their_names() {
    let mut fixture = Fixture::down();
    fixture.run(60);
    let steps = [("p", "\0p"), ("q", "\0q"), ("\0p", "q"), ("\0q", "p")];
    let steps = steps.map(|(from, to)| rename(from, to));
    fixture.tracker.rename(&steps, fixture.now, fixture.wall);
    let started = fixture.alerts()[1].starts_at;
    let renamed = Some(EndedBy::Renamed("q".to_owned()));
    let expected = [
        ("p".to_owned(), renamed, started),
        ("q".to_owned(), None, started),
    ];
    assert_eq!(by_peer(&fixture), expected);
}

/// A change of the configuration of a peer.
type ChangePeer = fn(&mut Peer);

#[test]
fn an_alert_whose_peer_is_removed_or_begins_maintenance_ends_and_says_why() {
    let removed = |peer: &mut Peer| "another".clone_into(&mut peer.name);
    let not_own = |peer: &mut Peer| peer.role = Role::Reference;
    let maintained = |peer: &mut Peer| {
        peer.maintenance = vec![Window {
            from: SystemTime::UNIX_EPOCH,
            to: SystemTime::UNIX_EPOCH + Duration::from_secs(9_999_999),
            comment: None,
        }];
    };
    let changes: [(ChangePeer, EndedBy); 3] = [
        (removed, EndedBy::Removed),
        (not_own, EndedBy::Removed),
        (maintained, EndedBy::Maintenance),
    ];
    for (change, expected) in changes {
        let mut fixture = Fixture::down();
        fixture.run(60);
        change(fixture.peer());
        assert_eq!(fixture.run(1)[0], "0 -ConvexPeerDown", "{expected:?}");
        let ended = fixture.alerts().remove(0);
        assert_eq!(ended.ended_by, Some(expected));
        fixture.restart(Duration::from_secs(5));
        assert_eq!(fixture.alerts()[0].ended_by, ended.ended_by);
    }
}

#[test]
fn reference_peers_and_peers_in_maintenance_raise_no_alerts() {
    let mut reference = Fixture::down();
    reference.peer().role = Role::Reference;
    assert!(reference.run(100).is_empty());

    let mut maintained = Fixture::down();
    let (from, to) = (maintained.wall, maintained.wall + Duration::from_secs(100));
    maintained.peer().maintenance = vec![Window {
        from,
        to,
        comment: None,
    }];
    assert_eq!(
        maintained.run(161),
        ["160 +ConvexPeerDown"],
        "counted from the end of the maintenance"
    );
}
