//! `decode`: prints captured messages as Convex data.

use std::io::{self, BufRead, ErrorKind, Read, Write};

use cad3::{DecodeError, DecodeErrorKind, Limits, Message, decode_message, encode, vlq};
use convex_client::is_deceptive;
use serde::Serialize;

/// Longest line read from standard input, bytes: 128 MiB of captured frames.
const MAX_LINE_BYTES: u64 = 256 << 20;

/// Options of the command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The input is a sequence of complete frames, each with its length, instead of the content of
    /// one message.
    pub frame: bool,
    /// Print JSON objects.
    pub json: bool,
}

/// A decoded message, as JSON.
#[derive(Serialize)]
struct Decoded {
    kind: &'static str,
    value: String,
    hash: String,
    encoding: String,
    /// `false` if branches are missing, otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}

/// A message that could not be decoded, as JSON.
#[derive(Debug, Serialize)]
struct Failure {
    error: String,
    /// Offset from the start of the input, bytes.
    offset: usize,
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self {
            error: error.to_string(),
            offset: error.offset,
        }
    }
}

/// Decodes `input`, or each line of `stdin` if it is missing or `-`, and prints one line per
/// message. Returns whether all messages could be decoded. Ends early if `out` is closed.
///
/// # Errors
/// `stdin` cannot be read, or `out` cannot be written.
pub fn run(
    input: Option<&str>,
    stdin: impl BufRead,
    mut out: impl Write,
    options: Options,
) -> io::Result<bool> {
    let mut all_decoded = true;
    let result = match input {
        Some(text) if text != "-" => decode(text.as_bytes(), &mut out, options, &mut all_decoded),
        _ => decode_lines(stdin, &mut out, options, &mut all_decoded),
    };
    match result.and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(all_decoded),
        result => result.map(|()| all_decoded),
    }
}

fn decode_lines(
    mut stdin: impl BufRead,
    out: &mut impl Write,
    options: Options,
    all_decoded: &mut bool,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if stdin
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
            let problem = format!("a line is longer than {MAX_LINE_BYTES} bytes; split it");
            return Err(io::Error::new(ErrorKind::InvalidData, problem));
        }
        decode(&line, out, options, all_decoded)?;
    }
}

/// Decodes one hex string.
fn decode(
    text: &[u8],
    out: &mut impl Write,
    options: Options,
    all_decoded: &mut bool,
) -> io::Result<()> {
    let mut print = |decoded: Result<Message, Failure>| {
        *all_decoded &= decoded.is_ok();
        print_decoded(decoded, out, options.json)
    };
    let bytes = match decode_hex(text) {
        Ok(bytes) => bytes,
        Err(failure) => return print(Err(failure)),
    };
    let limits = Limits::TRUSTED;
    if !options.frame {
        return print(decode_message(&bytes, &limits).map_err(Failure::from));
    }
    let mut start = 0;
    loop {
        let content = match frame(&bytes, start) {
            Ok(content) => content,
            // Without a valid length the start of the next frame is unknown.
            Err(error) => return print(Err(error.into())),
        };
        let offset = content.start;
        start = content.end;
        let message = decode_message(&bytes[content], &limits);
        print(message.map_err(|error| error.shifted(offset).into()))?;
        if start == bytes.len() {
            return Ok(());
        }
    }
}

/// Returns the range of the content of the frame at `start`.
fn frame(bytes: &[u8], start: usize) -> Result<std::ops::Range<usize>, DecodeError> {
    let fail = |offset, kind| Err(DecodeError { offset, kind });
    let (size, len) = match vlq::read(&bytes[start..]) {
        Ok(length) => length,
        Err(error) => return fail(start, DecodeErrorKind::Count(error)),
    };
    let start = start + len;
    let left = bytes.len() - start;
    let needed = usize::try_from(size).unwrap_or(usize::MAX);
    if needed > left {
        return fail(
            start,
            DecodeErrorKind::CutShort {
                what: "frame",
                needed,
                left,
            },
        );
    }
    Ok(start..start + needed)
}

/// Decodes hex digits; spaces between them and a leading `0x` are allowed.
fn decode_hex(text: &[u8]) -> Result<Vec<u8>, Failure> {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let mut digits = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    let mut bytes = Vec::with_capacity(text.len() / 2);
    while let Some(high) = digits.next() {
        let offset = bytes.len();
        let fail = |error| Failure {
            error: format!("{error} at offset {offset}"),
            offset,
        };
        let Some(low) = digits.next() else {
            return Err(fail("half a byte".to_owned()));
        };
        let mut byte = [0];
        hex::decode_to_slice([*high, *low], &mut byte).map_err(|_| {
            let pair = [*high, *low];
            fail(format!(
                "{:?} is not a pair of hex digits",
                String::from_utf8_lossy(&pair)
            ))
        })?;
        bytes.push(byte[0]);
    }
    Ok(bytes)
}

fn print_decoded(
    decoded: Result<Message, Failure>,
    out: &mut impl Write,
    json: bool,
) -> io::Result<()> {
    match decoded {
        Ok(message) if json => {
            let decoded = Decoded {
                kind: message.top.kind(),
                value: message.to_string(),
                hash: format!("{:x}", message.top.hash()),
                encoding: hex::encode(encode(&message.top)),
                complete: (!message.is_complete()).then_some(false),
            };
            serde_json::to_writer(&mut *out, &decoded)?;
        }
        Err(failure) if json => serde_json::to_writer(&mut *out, &failure)?,
        Ok(message) => write_line(&message.to_string(), out)?,
        Err(failure) => write!(out, "error: {}", failure.error)?,
    }
    out.write_all(b"\n")
}

/// Writes a printed value with deceptive characters escaped as `\u001b`: a peer could send them to
/// control the terminal, to break the line or to reverse its text.
fn write_line(text: &str, out: &mut impl Write) -> io::Result<()> {
    let mut rest = text;
    while let Some(at) = rest.find(is_deceptive) {
        let (before, deceptive) = rest.split_at(at);
        out.write_all(before.as_bytes())?;
        let mut chars = deceptive.chars();
        if let Some(deceptive) = chars.next() {
            write!(out, "\\u{:04x}", u32::from(deceptive))?;
        }
        rest = chars.as_str();
    }
    out.write_all(rest.as_bytes())
}
