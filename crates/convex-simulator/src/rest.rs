//! The REST interface of a peer (PEER-PROTOCOL, section 9): the routes that a monitor uses, and the
//! effect of faults on them.

mod blocks;

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use cad3::{Cell, encode_message, reader};
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::reply::{RESULT, query_result, rest_error, status_map};
use super::script::{Queries, Wire};
use super::state::GENESIS_USER;
use super::world::View;

/// Route of a block, before its number.
const BLOCKS: &str = "/api/v1/blocks/";
/// Longest request body that is read.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Length that a huge reply announces.
const HUGE_REPLY_BYTES: u64 = 50_000_000;
/// The part of a huge reply that is sent.
pub(super) const HUGE_REPLY_START: &[u8] = &[0; 65_536];
/// How long a peer waits for its query thread before it reports a timeout.
const QUERY_TIMEOUT: Duration = Duration::from_secs(8);
/// Pause between sending half of a reply and closing, so that the half arrives.
const HALF_REPLY_PAUSE: Duration = Duration::from_millis(20);
/// Longest text that a peer prints.
const PRINT_LIMIT_BYTES: usize = 65_536;

/// The connection is closed without a response.
#[derive(Debug, thiserror::Error)]
#[error("the simulated peer closes the connection")]
pub(super) struct Disconnected;

/// A response, before faults of the wire change it.
struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
}

/// Answers one request. Calls `view` once the request is read, for what the peer knows by then.
pub(super) async fn answer(
    view: impl Fn() -> View,
    request: Request<Body>,
) -> Result<Response<Body>, Disconnected> {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return Err(Disconnected);
    };
    let view = view();
    match view.faults.wire {
        Wire::Tarpit => std::future::pending().await,
        Wire::Refuse | Wire::Reset => return Err(Disconnected),
        _ => sleep(view.faults.slow).await,
    }
    let reply = if view.faults.http_500 {
        text(
            &view,
            StatusCode::INTERNAL_SERVER_ERROR,
            "Unexpected error: simulated",
        )
    } else {
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/api/v1/query") => query(&view, &head.headers, &body).await,
            (&Method::GET | &Method::HEAD, "/api/v1/status") if !view.faults.is_old() => {
                value(&view, StatusCode::OK, &status_map(&view), &head.headers)
            }
            (&Method::POST, "/mcp") if !view.faults.is_old() => initialize(&view),
            (&Method::OPTIONS, _) => text(&view, StatusCode::NO_CONTENT, ""),
            (&Method::GET, path) if !view.faults.is_old() => match path.strip_prefix(BLOCKS) {
                Some(number) => blocks::block(&view, path, number),
                None => not_found(&view, path),
            },
            (_, path) => not_found(&view, path),
        }
    };
    Ok(response(&view, reply))
}

/// Turns a reply into a response, with the faults of the wire.
fn response(view: &View, reply: Reply) -> Response<Body> {
    let length = reply.body.len() as u64;
    let (status, length, body) = match view.faults.wire {
        Wire::Garbage => {
            let garbage = b"\xff\xfe garbage";
            (
                StatusCode::OK,
                garbage.len() as u64,
                Body::from(&garbage[..]),
            )
        }
        Wire::HugeFrame => {
            let start = stream::iter([Ok::<_, io::Error>(Bytes::from_static(HUGE_REPLY_START))]);
            (
                StatusCode::OK,
                HUGE_REPLY_BYTES,
                Body::from_stream(start.chain(stream::pending())),
            )
        }
        Wire::HalfReply => {
            let half = Bytes::from(reply.body).slice(..usize::try_from(length / 2).unwrap_or(0));
            let end = stream::once(async {
                sleep(HALF_REPLY_PAUSE).await;
                Err(io::Error::from(io::ErrorKind::ConnectionAborted))
            });
            let body = Body::from_stream(stream::iter([Ok(half)]).chain(end));
            (reply.status, length, body)
        }
        _ => (reply.status, length, Body::from(reply.body)),
    };
    let clock_ms = u64::try_from(view.clock_ms).unwrap_or(0);
    let clock = UNIX_EPOCH + Duration::from_millis(clock_ms);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static(reply.content_type),
    );
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(
        ACCESS_CONTROL_ALLOW_ORIGIN,
        http::HeaderValue::from_static("*"),
    );
    if let Ok(date) = http::HeaderValue::try_from(httpdate::fmt_http_date(clock)) {
        headers.insert(DATE, date);
    }
    response
}

fn not_found(view: &View, path: &str) -> Reply {
    text(
        view,
        StatusCode::NOT_FOUND,
        &format!("404 Not found: {path}"),
    )
}

/// Makes a reply of plain text, which the newer release labels as JSON.
fn text(view: &View, status: StatusCode, text: &str) -> Reply {
    Reply {
        status,
        content_type: if view.faults.is_old() {
            "text/plain"
        } else {
            "application/json"
        },
        body: text.as_bytes().to_vec(),
    }
}

/// Answers an MCP client, which starts with the request `initialize`, with the release.
fn initialize(view: &View) -> Reply {
    let answer = serde_json::json!({
        "jsonrpc": "2.0",
        "id": 1,
        "result": { "serverInfo": { "name": "convex-mcp", "version": view.faults.release.number() } },
    });
    Reply {
        status: StatusCode::OK,
        content_type: "application/json",
        body: answer.to_string().into_bytes(),
    }
}

/// Makes a reply of a cell, in the format that the client accepts.
fn value(view: &View, status: StatusCode, cell: &Cell, headers: &HeaderMap) -> Reply {
    let accept = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let (content_type, body) = if accept.contains("application/cvx-raw") {
        ("application/cvx-raw", encode_message(cell))
    } else if accept.contains("application/cvx") {
        (
            "application/cvx",
            cell.printed(PRINT_LIMIT_BYTES).to_string().into_bytes(),
        )
    } else {
        let json = match cell.record_fields(RESULT) {
            Some(_) => json_result(view, cell),
            None => json(cell, view.faults.is_old()),
        };
        ("application/json", json.to_string().into_bytes())
    };
    Reply {
        status,
        content_type,
        body,
    }
}

async fn query(view: &View, headers: &HeaderMap, body: &[u8]) -> Reply {
    let old = view.faults.is_old();
    let (form, account) = match parse_query(headers, body) {
        Ok(query) => query,
        Err(problem) => {
            let body = serde_json::json!({ "error": problem }).to_string();
            return text(view, StatusCode::BAD_REQUEST, &body);
        }
    };
    if view.faults.queries == Queries::Hanging {
        // The reply of a peer whose REST interface still runs after its server was shut down.
        let (status, result) = if old {
            let result = rest_error("CONNECT", Cell::string("Disconnected"));
            (StatusCode::UNPROCESSABLE_ENTITY, result)
        } else {
            sleep(QUERY_TIMEOUT).await;
            (StatusCode::OK, rest_error("TIMEOUT", Cell::Nil))
        };
        return value(view, status, &result, headers);
    }
    let result = query_result(view, Cell::integer(1), &form, account);
    let failed =
        convex_client::Reply::from_cell(&result).is_some_and(|reply| reply.outcome.is_err());
    let status = if failed && old {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    value(view, status, &result, headers)
}

/// Returns the form and account in the body of a query: a map in Convex Lisp if the content type
/// says so, otherwise JSON.
fn parse_query(headers: &HeaderMap, body: &[u8]) -> Result<(Cell, u64), String> {
    let text = String::from_utf8_lossy(body);
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|found| found == "application/cvx")
    {
        let map = reader::read(&text).map_err(|error| format!("Parse error at {error}"))?;
        let form = map.get("source").ok_or("query body is not a map.")?;
        let account = map.get("address").and_then(Cell::as_address);
        return Ok((form.clone(), account.unwrap_or(GENESIS_USER)));
    }
    let json: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| format!("Invalid JSON body: {error}"))?;
    let source = json.get("source").and_then(Value::as_str);
    let source = source.ok_or("Source code could not be read: there is none")?;
    let form = reader::read(source).map_err(|error| format!("Parse error at {error}"))?;
    let account = match json.get("address") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim_start_matches('#').parse().ok(),
        _ => None,
    };
    Ok((form, account.unwrap_or(GENESIS_USER)))
}

/// Returns a Result as the JSON of a peer.
fn json_result(view: &View, result: &Cell) -> Value {
    let old = view.faults.is_old();
    let fields = result.record_fields(RESULT);
    let field = |i| {
        fields
            .and_then(|fields| fields.get(i))
            .unwrap_or(&Cell::Nil)
    };
    let mut reply = Map::new();
    if let Some(code) = field(2).as_keyword() {
        reply.insert("errorCode".to_owned(), code.into());
    }
    reply.insert("value".to_owned(), json(field(1), old));
    if !old {
        let printed = field(1).printed(PRINT_LIMIT_BYTES).to_string();
        reply.insert("result".to_owned(), printed.into());
    }
    reply.insert("info".to_owned(), json(field(4), old));
    Value::Object(reply)
}

/// Returns a cell as the JSON of a peer (section 9.2).
fn json(cell: &Cell, old: bool) -> Value {
    match cell {
        Cell::Nil => return Value::Null,
        Cell::Bool(value) => return (*value).into(),
        Cell::Integer(value) => return (*value).into(),
        Cell::Double(value) => return (*value).into(),
        _ => {}
    }
    if let Some(address) = cell.as_address() {
        return address.into();
    }
    if let Some(name) = cell.as_keyword() {
        return if old {
            format!(":{name}")
        } else {
            name.to_owned()
        }
        .into();
    }
    if let Some(text) = cell.as_text() {
        return text.into_owned().into();
    }
    if let Some(entries) = cell.entries() {
        let name = |key: &Cell| match key.as_keyword() {
            Some(name) => name.to_owned(),
            None => key.printed(PRINT_LIMIT_BYTES).to_string(),
        };
        return Value::Object(
            entries
                .map(|(key, value)| (name(key), json(value, old)))
                .collect(),
        );
    }
    match cell.as_elements() {
        Some(elements) if matches!(cell.kind(), "vector" | "list") => {
            elements.iter().map(|element| json(element, old)).collect()
        }
        _ => cell.printed(PRINT_LIMIT_BYTES).to_string().into(),
    }
}
