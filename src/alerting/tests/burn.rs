//! A service that spends its error budget fast.

use crate::config::shard::Shard;
use crate::fleet::ServiceTime;

use super::*;

const BURNS: &str = "120 +ConvexErrorBudgetBurn";

/// Time of a service in seconds: known, and bad of this.
fn time((known, bad): (u64, u64)) -> ServiceTime {
    ServiceTime {
        known: Duration::from_secs(known),
        bad: Duration::from_secs(bad),
    }
}

/// A service with this last hour and these last five minutes.
fn level(hour: (u64, u64), five_minutes: (u64, u64)) -> ServiceLevel {
    ServiceLevel {
        total: time(hour),
        hour: time(hour),
        five_minutes: time(five_minutes),
    }
}

fn burning() -> ServiceLevel {
    level((3600, 130), (300, 1))
}

fn fixture(level: ServiceLevel) -> Fixture {
    Fixture {
        service: Some(level),
        ..Fixture::new()
    }
}

#[test]
fn a_twentieth_of_the_budget_within_an_hour_is_a_page_while_it_goes_on() {
    for (what, level, expected) in [
        ("5 % and more", burning(), Some(BURNS)),
        ("less than 129.6 s", level((3600, 129), (300, 60)), None),
        ("it is over", level((3600, 1800), (300, 0)), None),
        (
            "half of the hour is known",
            level((1800, 130), (300, 1)),
            Some(BURNS),
        ),
        (
            "less than that is known",
            level((1799, 1799), (300, 300)),
            None,
        ),
        ("nothing is known", ServiceLevel::default(), None),
    ] {
        let transitions = fixture(level).run(200);
        assert_eq!(transitions, Vec::from_iter(expected), "{what}");
    }
}

#[test]
fn it_ends_two_minutes_after_the_last_bad_five_minutes() {
    let mut fixture = fixture(burning());
    assert_eq!(fixture.run(200), [BURNS]);
    fixture.service = Some(level((3600, 130), (300, 0)));
    assert_eq!(fixture.run(200), ["119 -ConvexErrorBudgetBurn"]);
}

#[test]
fn an_outage_that_was_paged_explains_it_for_an_hour() {
    let mut fixture = fixture(burning());
    fixture.record.health = Health::Down;
    assert_eq!(fixture.run(100), ["60 +ConvexPeerDown"]);
    fixture.record.health = Health::Up;
    assert_eq!(fixture.run(200), ["119 -ConvexPeerDown"]);
    // Nobody is paged for the same minutes again, also under another name.
    let renamed = Rename {
        from: "p".to_owned(),
        to: "q".to_owned(),
        network: "n".to_owned(),
    };
    fixture
        .tracker
        .rename(&[renamed], fixture.now, fixture.wall);
    "q".clone_into(&mut fixture.peer().name);
    assert_eq!(fixture.run(3_400), Vec::<String>::new());
    assert_eq!(
        fixture.run(400).len(),
        1,
        "the outage is more than an hour ago"
    );
}

#[test]
fn a_shard_judges_no_service_and_maintenance_ends_it() {
    for shard in ["1/2", "2/2"] {
        let mut sharded = fixture(burning());
        sharded.monitor.shard = shard.parse::<Shard>().unwrap();
        let transitions = sharded.run(200);
        let burns = transitions.iter().any(|it| it.contains("Budget"));
        assert!(!burns, "{shard}: {transitions:?}");
    }
    let mut maintained = fixture(burning());
    assert_eq!(maintained.run(200), [BURNS]);
    let window = Window {
        from: SystemTime::UNIX_EPOCH,
        to: SystemTime::UNIX_EPOCH + Duration::from_secs(10_000_000),
        comment: None,
    };
    maintained.peer().maintenance.push(window);
    maintained.service = Some(ServiceLevel::default());
    assert_eq!(maintained.run(10), ["0 -ConvexErrorBudgetBurn"]);
    let ended = maintained.tracker.alerts().next().unwrap().ended_by.clone();
    assert_eq!(ended, Some(EndedBy::Maintenance));
}
