//! The REST side of a peer (PEER-PROTOCOL, section 9): its two routes that a monitor asks, and what faults make of them.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use cad3::{Cell, encode_message, reader};
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::reply::{query_result, rest_error, status_map};
use super::script::{Queries, Wire};
use super::state::GENESIS_USER;
use super::world::View;

/// Longest request body that is read, bytes.
const MAX_BODY: usize = 1 << 20;
/// What a huge reply announces, bytes; a piece of it is sent.
const HUGE: u64 = 50_000_000;
pub(super) const HUGE_PIECE: &[u8] = &[0; 65_536];
/// How long a peer waits for its own query thread before it gives up.
const QUERY_TIMEOUT: Duration = Duration::from_secs(8);
/// Between the half of a reply that is sent and the end, so that the half does arrive.
const HALF_SENT: Duration = Duration::from_millis(20);
/// Longest text that a peer prints.
const PRINT_LIMIT: usize = 65_536;

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulated peer takes the connection away")]
pub(super) struct Cut;

/// An answer before faults of the wire.
struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
}

/// Answers one request. `view` gives what the peer knows, and is asked once the request is read.
pub(super) async fn answer(
    view: impl Fn() -> View,
    request: Request<Body>,
) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return Err(Cut);
    };
    let view = view();
    match view.ailments.wire {
        Wire::Tarpit => std::future::pending().await,
        Wire::Refuse | Wire::Reset => return Err(Cut),
        _ => sleep(view.ailments.slow).await,
    }
    let reply = if view.ailments.http_500 {
        text(
            &view,
            StatusCode::INTERNAL_SERVER_ERROR,
            "Unexpected error: simulated",
        )
    } else {
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/api/v1/query") => query(&view, &head.headers, &body).await,
            (&Method::GET | &Method::HEAD, "/api/v1/status") if !view.ailments.is_old() => {
                value(&view, StatusCode::OK, &status_map(&view), &head.headers)
            }
            (&Method::OPTIONS, _) => text(&view, StatusCode::NO_CONTENT, ""),
            (_, path) => text(
                &view,
                StatusCode::NOT_FOUND,
                &format!("404 Not found: {path}"),
            ),
        }
    };
    Ok(send(&view, reply))
}

fn send(view: &View, reply: Reply) -> Response<Body> {
    let length = reply.body.len() as u64;
    let (status, length, body) = match view.ailments.wire {
        Wire::Garbage => {
            let garbage = b"\xff\xfe garbage";
            (
                StatusCode::OK,
                garbage.len() as u64,
                Body::from(&garbage[..]),
            )
        }
        Wire::HugeFrame => {
            let piece = stream::iter([Ok::<_, io::Error>(Bytes::from_static(HUGE_PIECE))]);
            (
                StatusCode::OK,
                HUGE,
                Body::from_stream(piece.chain(stream::pending())),
            )
        }
        Wire::HalfReply => {
            let half = Bytes::from(reply.body).slice(..usize::try_from(length / 2).unwrap_or(0));
            let end = stream::once(async {
                sleep(HALF_SENT).await;
                Err(io::Error::from(io::ErrorKind::ConnectionAborted))
            });
            let body = Body::from_stream(stream::iter([Ok(half)]).chain(end));
            (reply.status, length, body)
        }
        _ => (reply.status, length, Body::from(reply.body)),
    };
    let clock_ms = u64::try_from(view.clock_ms).unwrap_or(0);
    let clock = std::time::UNIX_EPOCH + Duration::from_millis(clock_ms);
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

/// Plain text. The newer release calls it JSON.
fn text(view: &View, status: StatusCode, text: &str) -> Reply {
    Reply {
        status,
        content_type: if view.ailments.is_old() {
            "text/plain"
        } else {
            "application/json"
        },
        body: text.as_bytes().to_vec(),
    }
}

/// A cell in the form that is asked for.
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
            cell.printed(PRINT_LIMIT).to_string().into_bytes(),
        )
    } else {
        let json = match cell.record_fields(0xdd) {
            Some(_) => json_result(view, cell),
            None => json(cell, view.ailments.is_old()),
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
    let old = view.ailments.is_old();
    let asked = match asked(headers, body) {
        Ok(asked) => asked,
        Err(problem) => {
            let body = serde_json::json!({ "error": problem }).to_string();
            return text(view, StatusCode::BAD_REQUEST, &body);
        }
    };
    if view.ailments.queries == Queries::Hanging {
        // What a peer says whose inner part was shut down.
        let (status, result) = if old {
            let result = rest_error("CONNECT", Cell::string("Disconnected"));
            (StatusCode::UNPROCESSABLE_ENTITY, result)
        } else {
            sleep(QUERY_TIMEOUT).await;
            (StatusCode::OK, rest_error("TIMEOUT", Cell::Nil))
        };
        return value(view, status, &result, headers);
    }
    let (form, account) = asked;
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

/// The form and the account of a query's body: a map in the language where the type says so, else JSON.
fn asked(headers: &HeaderMap, body: &[u8]) -> Result<(Cell, u64), String> {
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

fn json_result(view: &View, result: &Cell) -> Value {
    let old = view.ailments.is_old();
    let fields = result.record_fields(0xdd);
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
        let printed = field(1).printed(PRINT_LIMIT).to_string();
        reply.insert("result".to_owned(), printed.into());
    }
    reply.insert("info".to_owned(), json(field(4), old));
    Value::Object(reply)
}

/// A cell as the peer's JSON has it (section 9.2).
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
            None => key.printed(PRINT_LIMIT).to_string(),
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
        _ => cell.printed(PRINT_LIMIT).to_string().into(),
    }
}
