//! `/api/v1/openapi.json`: the description of the API, made of its types and routes.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi as Description, Server};

use super::Api;
use super::conditional::json_text;
use super::problem::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "convex-peer-monitor",
        description = "What the agent knows of the Convex peers that it watches. Times are seconds since the epoch, durations \
            seconds. What is not known is absent, and nothing is null. Integers beyond 2^53 are strings of decimal digits.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(super::badge::badge),
    tags(
        (name = "peers", description = "The watched peers."),
        (name = "networks", description = "What the watched peers of a network say together."),
        (name = "history", description = "What was."),
        (name = "badges", description = "For pages elsewhere."),
        (name = "about", description = "This description."),
    ),
)]
struct About;

/// What is described besides the routes that describe themselves.
pub(super) fn about() -> Description {
    About::openapi()
}

/// The description of routes under `prefix`, as JSON.
pub(super) fn told(mut description: Description, prefix: &str) -> String {
    if !prefix.is_empty() {
        description.servers = Some(vec![Server::new(prefix)]);
    }
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("Where `basic_auth_users` are configured."));
    description
        .components
        .get_or_insert_default()
        .add_security_scheme("basic", SecurityScheme::Http(basic.build()));
    let basic = SecurityRequirement::new("basic", [""; 0]);
    description.security = Some(vec![SecurityRequirement::default(), basic]);
    let mut value = serde_json::to_value(&description).unwrap_or_default();
    without_null(&mut value);
    every_route_is_guarded(&mut value);
    value.to_string()
}

/// Adds to each route what stands before all of them: the question who asks, and limits.
fn every_route_is_guarded(description: &mut Value) {
    let unauthorized = json!({
        "description": "Who asks is not known. Only where authentication is configured.",
        "headers": { "WWW-Authenticate": { "schema": { "type": "string" }, "description": "`Basic`." } },
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let too_large = json!({
        "description": "The body is longer than any may be.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let busy = json!({
        "description": "There are too many connections, or too many passwords are being checked.",
        "headers": { "Retry-After": { "schema": { "type": "integer" }, "description": "Seconds to wait." } },
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let routes = description["paths"].as_object_mut().into_iter();
    let routes = routes.flat_map(|paths| paths.values_mut());
    let methods = routes.filter_map(Value::as_object_mut);
    for operation in methods.flat_map(|route| route.values_mut()) {
        if let Some(responses) = operation["responses"].as_object_mut() {
            responses.insert("401".to_owned(), unauthorized.clone());
            responses.insert("413".to_owned(), too_large.clone());
            responses.entry("503").or_insert_with(|| busy.clone());
        }
    }
}

/// Takes back that a field which may be absent may be null: here it never is.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("oneOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = &mut choices[..] {
                    let only = std::mem::take(only);
                    fields.remove("oneOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// This description.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "about",
    responses(
        (status = 200, description = "An OpenAPI 3.1 document.", body = Object, headers(("ETag" = String, description = "For If-None-Match."))),
        (status = 304, description = "As the client has it already."),
    )
)]
pub(super) async fn openapi(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    json_text(&headers, api.description)
}
