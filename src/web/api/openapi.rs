//! `/api/v1/openapi.json`: the description of the API, generated from its types and routes.

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
        description = "State and history of the Convex peers that this agent monitors. Times are seconds since the epoch, \
            durations seconds. Unknown values are absent, never null. Integers beyond 2^53 are strings of decimal digits.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(super::badge::badge),
    tags(
        (name = "peers", description = "The watched peers."),
        (name = "networks", description = "The networks of the watched peers."),
        (name = "alerts", description = "The alerts that fire, and what operators do about them."),
        (name = "opinion", description = "What agents tell each other."),
        (name = "status page", description = "What everybody can read, and its incidents."),
        (name = "history", description = "Past polls, uptime and events."),
        (name = "badges", description = "Images to embed in other sites."),
        (name = "about", description = "This description."),
    ),
)]
struct About;

/// Returns the description without the routes that add themselves to it.
pub(super) fn base() -> Description {
    About::openapi()
}

/// Formats the description of routes under `prefix` as JSON.
pub(super) fn to_json(mut description: Description, prefix: &str) -> String {
    if !prefix.is_empty() {
        description.servers = Some(vec![Server::new(prefix)]);
    }
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("Required if `basic_auth_users` is configured."));
    description
        .components
        .get_or_insert_default()
        .add_security_scheme("basic", SecurityScheme::Http(basic.build()));
    let basic = SecurityRequirement::new("basic", [""; 0]);
    description.security = Some(vec![SecurityRequirement::default(), basic]);
    let mut value = serde_json::to_value(&description).unwrap_or_default();
    remove_null(&mut value);
    add_listener_responses(&mut value);
    value.to_string()
}

/// Adds to each route the responses that the listener gives before a route is reached:
/// host, authentication and limits.
fn add_listener_responses(description: &mut Value) {
    let unauthorized = json!({
        "description": "Authentication failed. Only if authentication is configured.",
        "headers": { "WWW-Authenticate": { "schema": { "type": "string" }, "description": "`Basic`." } },
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let too_large = json!({
        "description": "The request body is too large.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let misdirected = json!({
        "description": "The Host header does not name this host. Only on a loopback address.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let too_many = json!({
        "description": "More requests than `rate_limit` allows.",
        "headers": { "Retry-After": { "schema": { "type": "integer" }, "description": "Seconds to wait before trying again." } },
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let busy = json!({
        "description": "Too many connections, or too many password checks in progress.",
        "headers": { "Retry-After": { "schema": { "type": "integer" }, "description": "Seconds to wait before trying again." } },
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let routes = description["paths"].as_object_mut().into_iter();
    let routes = routes.flat_map(|paths| paths.values_mut());
    let methods = routes.filter_map(Value::as_object_mut);
    for operation in methods.flat_map(|route| route.values_mut()) {
        if let Some(responses) = operation["responses"].as_object_mut() {
            responses.insert("401".to_owned(), unauthorized.clone());
            responses.insert("413".to_owned(), too_large.clone());
            responses.insert("421".to_owned(), misdirected.clone());
            responses.entry("429").or_insert_with(|| too_many.clone());
            responses.entry("503").or_insert_with(|| busy.clone());
        }
    }
}

/// Removes `null` from the types of optional fields: they are absent instead.
fn remove_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(remove_null),
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
            fields.values_mut().for_each(remove_null);
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
        (status = 200, description = "An OpenAPI 3.1 document.", body = Object, headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
    )
)]
pub(super) async fn openapi(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    json_text(&headers, api.description)
}
