//! Answers to invalid requests.

use serde_json::Value;

use super::{Watched, header};

/// Method, path, status and detail.
const PROBLEMS: &[(&str, &str, u16, &str)] = &[
    (
        "GET",
        "/api/v1/peers?limit=1001",
        400,
        "limit: \"1001\" is not a whole number from 1 to 1000",
    ),
    (
        "GET",
        "/api/v1/peers?limit=1&limit=2",
        400,
        "duplicate field `limit`",
    ),
    (
        "GET",
        "/api/v1/peers?page=1",
        400,
        "page: unknown field `page`, expected one of `network`, `health`, `role`, `after`, `limit`",
    ),
    (
        "GET",
        "/api/v1/peers?role=boss",
        400,
        "role: unknown variant `boss`, expected `own` or `reference`",
    ),
    (
        "GET",
        "/api/v1/peers/none",
        404,
        "no peer named \"none\"; /api/v1/peers lists all of them",
    ),
    (
        "GET",
        "/api/v1/networks/none",
        404,
        "no network named \"none\"; /api/v1/networks lists all of them",
    ),
    (
        "GET",
        "/api/v1/peers/good/history?from=yesterday",
        400,
        "from: \"yesterday\" is not a time; expected seconds since the epoch, such as 1767225600",
    ),
    (
        "GET",
        "/api/v1/peers/good/history?to=NaN",
        400,
        "to: \"NaN\" is not a time; expected seconds since the epoch, such as 1767225600",
    ),
    (
        "GET",
        "/api/v1/peers/good/history?from=5&to=4",
        400,
        "from (5) is later than to (4); from must not be later than to",
    ),
    (
        "GET",
        "/api/v1/peers/good/history?step=0",
        400,
        "step: \"0\" is not a whole number from 1 to 7776000",
    ),
    (
        "GET",
        "/api/v1/events?after=-1",
        400,
        "after: \"-1\" is not a whole number from 0 to 9007199254740992",
    ),
    (
        "GET",
        "/badge/good.svg?uptime=1y",
        400,
        "uptime: unknown variant `1y`, expected one of `24h`, `7d`, `30d`, `90d`",
    ),
    (
        "GET",
        "/badge/good",
        404,
        "\"good\" is not a badge; badge names end in .svg",
    ),
    (
        "GET",
        "/api/v2/peers",
        404,
        "no route /api/v2/peers; /api/v1/openapi.json describes all of them",
    ),
    (
        "DELETE",
        "/api/v1/peers/good",
        405,
        "/api/v1/peers/good does not support this method; see the Allow header",
    ),
    (
        "GET",
        "/api/v1/peers/good/poll",
        405,
        "/api/v1/peers/good/poll does not support this method; see the Allow header",
    ),
];

#[tokio::test]
async fn an_invalid_request_is_answered_with_what_would_be_right() {
    let watched = Watched::start().await;
    for (method, path, status, detail) in PROBLEMS.iter().copied() {
        let response = watched.send(method.parse().unwrap(), path, &[]).await;
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(
            header(&response, "content-type"),
            Some("application/problem+json")
        );
        if status == 405 {
            let allowed = header(&response, "allow").unwrap();
            assert!(
                !allowed.is_empty() && !allowed.contains(method),
                "{allowed}"
            );
        }
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(problem["detail"], detail, "{method} {path}");
        assert_eq!(
            (&problem["status"], &problem["type"]),
            (&status.into(), &"about:blank".into())
        );
    }
    watched.agent.stop().await;
}
