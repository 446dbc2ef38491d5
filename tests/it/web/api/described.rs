//! The API matches its own description and the documentation.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use reqwest::Method;
use serde_json::Value;

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Script};

use super::{Watched, header};

const DOCS: &str = include_str!("../../../../docs/api.md");

/// The description of the API that the agent serves.
struct Description(Value);

impl Description {
    async fn of(watched: &Watched) -> Self {
        let mut description = watched.json("/api/v1/openapi.json").await;
        // An undescribed field is a mistake, except in schemas that are part of a larger one.
        let mut parts = BTreeSet::new();
        visit(&mut description, &mut |value| {
            for part in value["allOf"].as_array().into_iter().flatten() {
                parts.extend(part["$ref"].as_str().map(name_of));
            }
        });
        let schemas = description["components"]["schemas"].as_object_mut();
        for (name, schema) in schemas.unwrap() {
            if !parts.contains(name)
                && (schema["type"] == "object" || schema.get("allOf").is_some())
            {
                schema["unevaluatedProperties"] = false.into();
            }
        }
        Self(description)
    }

    /// Returns all routes, as `GET /route`.
    fn routes(&self) -> BTreeSet<String> {
        let paths = self.0["paths"].as_object().unwrap();
        let methods = |(path, item): (&String, &Value)| {
            let methods = item.as_object().unwrap().keys();
            let route = |method: &String| format!("{} {path}", method.to_uppercase());
            methods.map(route).collect::<Vec<_>>()
        };
        paths.iter().flat_map(methods).collect()
    }

    /// Returns the route of a request.
    fn route(&self, method: &str, path: &str) -> String {
        let path = path.split('?').next().unwrap();
        let fits = |route: &str| {
            let (wanted, template) = route.split_once(' ').unwrap();
            let (mut parts, mut given) = (template.split('/'), path.split('/'));
            wanted == method
                && template.split('/').count() == path.split('/').count()
                && parts.all(|part| {
                    let given = given.next().unwrap();
                    let (before, after) =
                        part.split_once('{').map_or((part, ""), |(before, rest)| {
                            (before, rest.split_once('}').unwrap().1)
                        });
                    part == given
                        || (part.contains('{')
                            && given.starts_with(before)
                            && given.ends_with(after))
                })
        };
        let found = self.routes().into_iter().find(|route| fits(route));
        found.unwrap_or_else(|| panic!("{method} {path} is not described"))
    }

    /// Asserts that an answer matches the description of its route.
    fn check(&self, route: &str, status: u16, media_type: Option<&str>, body: &str) {
        let (method, path) = route.split_once(' ').unwrap();
        let operation = &self.0["paths"][path][method.to_lowercase()];
        let described = &operation["responses"][status.to_string()];
        assert!(described.is_object(), "{route}: {status} is not described");
        let Some(media_type) = media_type else {
            assert!(described.get("content").is_none(), "{route} {status}");
            assert_eq!(body, "", "{route} {status}");
            return;
        };
        let content = &described["content"][media_type];
        assert!(content.is_object(), "{route} {status}: {media_type}");
        if !media_type.ends_with("json") {
            return;
        }
        let mut schema = content["schema"].clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let value: Value = serde_json::from_str(body).unwrap();
        let mut errors = String::new();
        for error in validator.iter_errors(&value) {
            writeln!(errors, "{}: {error}", error.instance_path()).unwrap();
        }
        assert_eq!(errors, "", "{route} {status}: {body}");
    }
}

fn visit(value: &mut Value, with: &mut impl FnMut(&Value)) {
    with(value);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, with)),
        Value::Object(fields) => fields.values_mut().for_each(|field| visit(field, with)),
        _ => {}
    }
}

fn name_of(reference: &str) -> String {
    reference.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_route_and_every_answer_match_the_description() {
    let watched = Watched::start().await;
    let description = Description::of(&watched).await;
    let mut requested = BTreeSet::new();
    for (method, path, expected) in [
        ("GET", "/api/v1/peers", 200),
        (
            "GET",
            "/api/v1/peers?network=main&health=up&role=own&after=a&limit=1",
            200,
        ),
        ("GET", "/api/v1/peers?limit=0", 400),
        ("GET", "/api/v1/peers/good", 200),
        ("GET", "/api/v1/peers/bad%20&%20%3Cworse%3E", 200),
        ("GET", "/api/v1/peers/later", 200),
        ("GET", "/api/v1/peers/none", 404),
        ("GET", "/api/v1/peers/%ff", 400),
        ("GET", "/api/v1/peers/good/history", 200),
        (
            "GET",
            "/api/v1/peers/good/history?from=0&to=253402300799&step=7776000",
            200,
        ),
        ("GET", "/api/v1/peers/later/history", 200),
        ("GET", "/api/v1/peers/good/history?from=5&to=4", 400),
        ("GET", "/api/v1/peers/none/history", 404),
        ("GET", "/api/v1/peers/good/polls", 200),
        ("GET", "/api/v1/peers/bad%20&%20%3Cworse%3E/polls", 200),
        ("GET", "/api/v1/peers/none/polls", 404),
        ("GET", "/api/v1/peers/good/transcripts", 200),
        (
            "GET",
            "/api/v1/peers/bad%20&%20%3Cworse%3E/transcripts",
            200,
        ),
        ("GET", "/api/v1/peers/none/transcripts", 404),
        ("POST", "/api/v1/peers/good/poll", 200),
        ("POST", "/api/v1/peers/good/poll", 429),
        ("POST", "/api/v1/peers/none/poll", 404),
        ("GET", "/api/v1/networks", 200),
        ("GET", "/api/v1/networks/test%20net", 200),
        ("GET", "/api/v1/networks/none", 404),
        ("GET", "/api/v1/networks/test%20net/agreement", 200),
        ("GET", "/api/v1/networks/none/agreement", 404),
        ("GET", "/api/v1/opinion", 200),
        ("GET", "/api/v1/alerts", 200),
        ("GET", "/api/v1/actions", 200),
        ("POST", "/api/v1/actions", 415),
        ("DELETE", "/api/v1/actions/7?created_by=a", 404),
        ("DELETE", "/api/v1/actions/7", 400),
        ("DELETE", "/api/v1/actions/x?created_by=a", 400),
        ("GET", "/api/v1/status", 200),
        ("GET", "/api/v1/incidents", 200),
        ("PUT", "/api/v1/incidents/7/note", 415),
        ("DELETE", "/api/v1/incidents/7/note?created_by=a", 409),
        ("DELETE", "/api/v1/incidents/x/note?created_by=a", 400),
        ("GET", "/api/v1/events", 200),
        ("GET", "/api/v1/events?limit=x", 400),
        ("GET", "/api/v1/openapi.json", 200),
        ("GET", "/badge/good.svg", 200),
        ("GET", "/badge/good.svg?uptime=90d", 200),
        ("GET", "/badge/good.svg?uptime=1d", 400),
        ("GET", "/badge/none.svg", 404),
    ] {
        let (verb, accept): (Method, _) =
            (method.parse().unwrap(), [("accept", "application/json")]);
        let mut response = watched.send(verb.clone(), path, &accept).await;
        // The machine may be too slow for two requests within a second.
        while expected == 429 && response.status() == 200 {
            response = watched.send(verb.clone(), path, &accept).await;
        }
        assert_eq!(response.status(), expected, "{method} {path}");
        let media_type = header(&response, "content-type").map(str::to_owned);
        let body = response.text().await.unwrap();
        let route = description.route(method, path);
        description.check(&route, expected, media_type.as_deref(), &body);
        requested.insert(route);
    }
    assert_eq!(requested, description.routes(), "every route was requested");
    watched.agent.stop().await;
}

#[tokio::test]
async fn the_examples_in_the_documentation_match_the_description() {
    let watched = Watched::start().await;
    let description = Description::of(&watched).await;
    let rows = DOCS.lines().filter_map(|line| {
        let route = line.strip_prefix("| `")?.split_once('`')?.0;
        route.contains(" /").then(|| route.to_owned())
    });
    assert_eq!(rows.collect::<BTreeSet<_>>(), description.routes());
    let mut examples = 0;
    for example in DOCS.split("```http\n").skip(1) {
        let (request, rest) = example.split_once('\n').unwrap();
        let (method, path) = request.split_once(' ').unwrap();
        let body = rest
            .split_once("```json\n")
            .unwrap()
            .1
            .split_once("```")
            .unwrap()
            .0;
        let value: Value = serde_json::from_str(body).unwrap();
        let problem = value["status"]
            .as_u64()
            .map(|status| u16::try_from(status).unwrap());
        let media_type = if problem.is_some() {
            "application/problem+json"
        } else {
            "application/json"
        };
        let route = description.route(method, path);
        description.check(&route, problem.unwrap_or(200), Some(media_type), body);
        if let Some(status) = problem {
            let response = watched.get(path).await;
            assert_eq!(response.status(), status);
            let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(answer, value);
        }
        examples += 1;
    }
    assert!(examples >= 6, "{examples} examples were found");
    watched.agent.stop().await;
}

#[tokio::test]
async fn the_description_is_also_served_under_the_path_of_external_url() {
    let peer = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&format!(
        "external_url: https://mon.example/convex/\nnetworks: [{{ name: n }}]\npeers: [{{ name: a, endpoints: ['tcp://{}'] }}]\n",
        peer.tcp
    ))
    .await;
    for path in ["/convex/api/v1/openapi.json", "/api/v1/openapi.json"] {
        let (status, text) = agent.get(path).await;
        let description: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (status, &description["servers"][0]["url"]),
            (200, &"/convex".into())
        );
    }
    assert_eq!(agent.get("/convex/api/v1/nothing").await.0, 404);
    agent.stop().await;
}
