//! Events: as a list, and as a stream.

use reqwest::{Method, Response, StatusCode};

use crate::support::DEADLINE;
use crate::support::fake::Fault;

use super::{Watched, header};

/// Reads a stream until `wanted` is in it.
async fn until(stream: &mut Response, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let chunk = tokio::time::timeout(DEADLINE, stream.chunk()).await;
        let chunk = chunk.expect(wanted).unwrap().expect("the stream continues");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

#[tokio::test]
async fn events_are_streamed_and_a_client_can_resume() {
    let watched = Watched::start().await;
    let listed = watched.json("/api/v1/events").await;
    assert_eq!(listed[0]["kind"], "agent_started");
    let down = "down, was unknown: tcp: closed: ";
    let messages = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["message"].as_str().unwrap());
    assert!(
        messages
            .into_iter()
            .any(|message| message.starts_with(down)),
        "{listed}"
    );

    let mut stream = watched
        .send(Method::GET, "/api/v1/events?peer=good", &[])
        .await;
    assert_eq!(header(&stream, "content-type"), Some("text/event-stream"));
    let begin = until(&mut stream, "\n\n").await;
    let id = begin
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap();
    watched.bad.set(|script| script.fault = Fault::None);
    watched.good.set(|script| script.fault = Fault::Close);
    let received = until(&mut stream, "\"to\":\"down\"").await;
    assert!(
        !received.contains("bad & <worse>"),
        "only events of one peer: {received}"
    );
    drop(stream);

    let resumed = [("last-event-id", id)];
    let mut stream = watched
        .send(Method::GET, "/api/v1/events?after=0&peer=good", &resumed)
        .await;
    let again = until(&mut stream, "\"to\":\"down\"").await;
    assert!(again.starts_with(&format!("id: {id}\n")), "{again}");
    assert!(again.contains(&received), "{again} lacks {received}");
    let wrong = [("last-event-id", "x")];
    let refused = watched.send(Method::GET, "/api/v1/events", &wrong).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    watched.agent.stop().await;
}

#[tokio::test]
async fn the_list_of_events_is_paged() {
    let watched = Watched::start().await;
    let all = watched.json("/api/v1/events?limit=1000").await;
    let first = watched.get("/api/v1/events?limit=1&network=main").await;
    let link = header(&first, "link").unwrap();
    let next = link
        .strip_prefix('<')
        .unwrap()
        .strip_suffix(">; rel=\"next\"")
        .unwrap();
    let second = watched.json(&format!("/api/v1/events{next}")).await;
    let in_main: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["network"] == "main")
        .collect();
    assert_eq!(&second[0], in_main[1]);
    watched.agent.stop().await;
}

#[tokio::test]
async fn the_number_of_streams_is_limited_and_streams_do_not_delay_the_stop() {
    let watched = Watched::start().await;
    let mut streams = Vec::new();
    for _ in 0..256 {
        let mut stream = watched.send(Method::GET, "/api/v1/events", &[]).await;
        until(&mut stream, "\n\n").await;
        streams.push(stream);
    }
    let one_more = watched.send(Method::GET, "/api/v1/events", &[]).await;
    assert_eq!(one_more.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header(&one_more, "retry-after").is_some());
    assert_eq!(
        watched.json("/api/v1/events").await[0]["kind"],
        "agent_started"
    );
    let mut last = streams.pop().unwrap();
    let ended = async {
        // A stream that is cut off is an error here.
        while last.chunk().await.unwrap().is_some() {}
    };
    let ended = tokio::time::timeout(DEADLINE, ended);
    let ((), ended) = tokio::join!(watched.agent.stop(), ended);
    ended.expect("a stream ends when the agent stops");
}
