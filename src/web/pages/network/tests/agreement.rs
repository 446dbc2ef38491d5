//! States and histories over time.

use crate::fleet::example;
use crate::history::AgreementSpan;
use crate::web::pages::relative_times;

/// A span from so many to so many minutes before the time of the snapshots.
fn span(from: u64, to: u64, states: Option<u32>, histories: Option<u32>) -> AgreementSpan {
    let minutes_ago = |minutes: u64| example::NOW_MS.unsigned_abs() - minutes * 60_000;
    let several = |count: Option<u32>| count.is_some_and(|count| count > 1);
    AgreementSpan {
        since_ms: minutes_ago(from),
        until_ms: minutes_ago(to),
        states,
        histories,
        state_block: several(states).then_some(1_234),
        fork_block: several(histories).then_some(137),
    }
}

#[test]
fn past_differences_are_drawn_and_listed_with_the_first_block() {
    let snapshot = example::snapshot(4, 4);
    let agreement = |spans: &[AgreementSpan]| {
        let times = relative_times(&snapshot);
        let content = super::super::content("/x", &snapshot.networks[0], &snapshot, spans, times);
        content.unwrap().section("agreement").to_string()
    };
    let day = 24 * 60;
    let html = agreement(&[
        // Before both ranges, in the longer one only, and now.
        span(40 * day, 35 * day, Some(1), Some(1)),
        span(3 * day, 3 * day - 60, Some(3), Some(1)),
        span(720, 360, Some(1), None),
        span(360, 0, Some(1), Some(2)),
    ]);
    for expected in [
        "aria-label=\"States, Last 24 h: compared for 12 h, no difference\"",
        "aria-label=\"Histories, Last 24 h: compared for 6 h, different for 6 h\"",
        "aria-label=\"States, Last 30 d: compared for 13 h, different for 60 min\"",
        "<path class=\"one\" d=\"M240.0 1h120.0v12h-120.0zM360.0 1h120.0v12h-120.0z\"/>",
        "<td class=\"figure\"><span class=\"down\">still</span></td><td class=\"figure\">–</td><td class=\"figure\"><span class=\"down\">2 different</span></td><td class=\"figure\">block 137</td>",
        "<td class=\"figure\">60 min</td><td class=\"figure\"><span class=\"down\">3 different</span></td><td class=\"figure\">–</td><td class=\"figure\">state of block 1,234</td>",
    ] {
        assert!(html.contains(expected), "{expected} is not in {html}");
    }
    // A moment is drawn wide enough to be seen, also at the end.
    let html = agreement(&[span(0, 0, Some(2), None)]);
    assert!(
        html.contains("<path class=\"several\" d=\"M478.5 1h1.5v12h-1.5z\"/>"),
        "{html}"
    );
    assert!(
        html.contains("aria-label=\"Histories, Last 24 h: not compared\""),
        "{html}"
    );
    let html = agreement(&[span(5, 0, Some(1), Some(1))]);
    assert!(!html.contains("Past differences"), "{html}");
    let many = (0..50).map(|i| span(100 + i, 100 + i, Some(2), None));
    let html = agreement(&many.collect::<Vec<_>>());
    assert!(html.contains("30 earlier ones are in the API."), "{html}");
}
