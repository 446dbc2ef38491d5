//! An agent whose clock is wrong, with a real Alertmanager that it notifies itself.

use std::time::{Duration, SystemTime};

use crate::paging::Pages;
use crate::pipeline::{Alertmanager, Pace, Receiver, own_address};
use crate::{Agent, faketime, simulated};

#[tokio::test]
async fn an_agent_whose_clock_is_wrong_notifies_and_accuses_no_peer() {
    // All at once: they wait for minutes.
    tokio::join!(
        notifies_with_clock_at("-600"),
        notifies_with_clock_at("+600")
    );
}

async fn notifies_with_clock_at(offset: &str) {
    let receiver = Receiver::start().await.unwrap();
    let alertmanager = Alertmanager::start(Pace::Fast, &receiver).await.unwrap();
    // With seven peers, the loss of one does not put the quorum at risk.
    let network = simulated::network(7, &["refuse:2:20s..180s"], None).await;
    let config = network.config()
        + &format!(
            "defaults: {{ interval: 3s, timeout: 2900ms }}\n\
             notify: {{ alertmanagers: [{{ name: am, url: 'http://{}' }}] }}\n",
            alertmanager.address()
        );
    let environment = [
        ("LD_PRELOAD", faketime::library().display().to_string()),
        ("FAKETIME", offset.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let address = own_address().unwrap();
    let _agent = Agent::start_within(address, &config, environment.into()).await;
    let mut pages = Pages::new(receiver);

    let down = pages.until("ConvexPeerDown", true).await;
    for (what, time) in [
        ("start", &down.starts_at),
        ("annotation", &down.annotations["started_at"]),
    ] {
        let time = humantime::parse_rfc3339_weak(time).unwrap();
        let age = SystemTime::now().duration_since(time);
        println!("clock at {offset}: the {what} is {age:?} ago");
        let distance = age.unwrap_or_else(|future| future.duration());
        assert!(distance < Duration::from_secs(300), "{what}: {time:?}");
    }
    pages.until("ConvexPeerDown", false).await;
    let clock = match pages.received("ConvexMonitorClockWrong") {
        Some(clock) => clock,
        None => pages.until("ConvexMonitorClockWrong", true).await,
    };
    let direction = if offset.starts_with('-') {
        "behind"
    } else {
        "ahead of"
    };
    let description = &clock.annotations["description"];
    let expected = format!("{direction} those of most peers. It is wrong.");
    assert!(description.contains(&expected), "{description}");

    let about_clocks = ["ConvexClockSkew", "ConvexClockDrift"];
    let told = |name: &&str| pages.histories().keys().any(|labels| labels.contains(name));
    assert_eq!(about_clocks.iter().find(|name| told(name)), None);
}
