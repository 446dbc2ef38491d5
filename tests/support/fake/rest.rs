//! The HTTP side of a scripted peer.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use cad3::{Cell, encode_message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Fault, Script, Seen, query_result, status_map};

pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: &Mutex<Script>,
    seen: &Seen,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some((head, body)) = read_request(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        seen.heads.lock().unwrap().push(head.clone());
        let script = script.lock().unwrap().clone();
        answer(&mut stream, &script, &head, &body).await?;
        seen.handled.send_modify(|handled| *handled += 1);
        if script.fault == Fault::OneAnswer {
            return Ok(());
        }
    }
}

/// Reads one HTTP/1.1 request: its head in lower case, and its body.
async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| {
                    line.strip_prefix("content-length:")?
                        .trim()
                        .parse::<usize>()
                        .ok()
                })
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Ok(Some((head, body)));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn answer<S: AsyncWrite + Unpin>(
    stream: &mut S,
    script: &Script,
    head: &str,
    body: &[u8],
) -> std::io::Result<()> {
    // A client sends the whole URL instead of the path to a proxy.
    let is_query =
        head.starts_with("post ") && head.lines().next().unwrap().contains("/api/v1/query ");
    let (status, reply) = match &script.fault {
        Fault::Silent | Fault::NeverReads => return Ok(()),
        Fault::QueryHangs if is_query => return Ok(()),
        Fault::Close => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        Fault::Bytes(bytes) => (200, bytes.clone()),
        Fault::Http(status, text) => (*status, text.as_bytes().to_vec()),
        Fault::Endless => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await?;
            loop {
                stream.write_all(b"400\r\n").await?;
                stream.write_all(&[0; 0x400]).await?;
                stream.write_all(b"\r\n").await?;
            }
        }
        _ if is_query => {
            let request: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let form = request["source"].as_str().map(cad3::reader::read);
            let form = form.and_then(Result::ok).unwrap_or(Cell::Nil);
            let account = request["address"]
                .as_str()
                .and_then(|text| text.strip_prefix('#')?.parse().ok());
            let reply = query_result(
                script,
                Cell::integer(99),
                &form,
                &account.map_or(Cell::Nil, Cell::address),
            );
            let failed = matches!(convex_client::Reply::from_cell(&reply), Some(reply) if reply.outcome.is_err());
            (
                if failed && !script.new_api { 422 } else { 200 },
                encode_message(&reply),
            )
        }
        _ if head.starts_with("get /api/v1/status ") && script.new_api => {
            (200, encode_message(&status_map(script)))
        }
        _ => (404, b"404 Not found".to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\ndate: {}\r\n",
        reply.len(),
        httpdate::fmt_http_date(SystemTime::now() + script.clock_ahead)
    );
    let location = if status == 302 {
        "location: http://127.0.0.1:1/\r\n"
    } else {
        ""
    };
    let retry_after = script
        .retry_after
        .as_ref()
        .map(|when| format!("retry-after: {when}\r\n"))
        .unwrap_or_default();
    let mut bytes = format!("{head}{location}{retry_after}\r\n").into_bytes();
    match script.fault {
        Fault::HalfReply => {
            bytes.extend_from_slice(&reply[..reply.len() / 2]);
            stream.write_all(&bytes).await?;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        Fault::Trickle => {
            bytes.extend_from_slice(&reply);
            for byte in bytes {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        }
        _ => {
            bytes.extend_from_slice(&reply);
            stream.write_all(&bytes).await?;
            stream.flush().await
        }
    }
}
