//! The `decode` command: captured bytes as Convex data, an operator's window into the codec.

use std::io::{self, BufRead, ErrorKind, Read, Write};

use cad3::{DecodeError, DecodeErrorKind, Limits, Message, decode_message, encode, vlq};
use serde::Serialize;

/// The longest line, in bytes, that is read: 128 MiB of captured frames.
const MAX_LINE: u64 = 256 << 20;

/// How input is taken and answers are given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The input is any number of whole frames, each with its length, instead of one message's content.
    pub frame: bool,
    /// Answers are JSON objects.
    pub json: bool,
}

/// A message that was read, as JSON.
#[derive(Serialize)]
struct Decoded {
    kind: &'static str,
    value: String,
    hash: String,
    encoding: String,
    /// Only where branches are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}

/// What was none, as JSON.
#[derive(Debug, Serialize)]
struct Failure {
    error: String,
    /// In bytes from the start of the input.
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

/// Answers `input`, or without it (or for `-`) each line of `stdin`, with one line for a message, with `--frame` one
/// for each frame. True when all could be decoded. A reader of `out` that has gone away ends the work.
///
/// # Errors
/// When `stdin` cannot be read or `out` cannot be written.
pub fn run(
    input: Option<&str>,
    stdin: impl BufRead,
    mut out: impl Write,
    options: Options,
) -> io::Result<bool> {
    let mut all = true;
    let result = match input {
        Some(text) if text != "-" => answer(text.as_bytes(), &mut out, options, &mut all),
        _ => each_line(stdin, &mut out, options, &mut all),
    };
    match result.and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(all),
        result => result.map(|()| all),
    }
}

fn each_line(
    mut stdin: impl BufRead,
    out: &mut impl Write,
    options: Options,
    all: &mut bool,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if stdin.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
            let problem = format!("a line of {MAX_LINE} bytes or more is too long");
            return Err(io::Error::new(ErrorKind::InvalidData, problem));
        }
        answer(&line, out, options, all)?;
    }
}

/// Answers one hex string.
fn answer(text: &[u8], out: &mut impl Write, options: Options, all: &mut bool) -> io::Result<()> {
    let mut say = |answer: Result<Message, Failure>| {
        *all &= answer.is_ok();
        write_answer(answer, out, options.json)
    };
    let bytes = match unhex(text) {
        Ok(bytes) => bytes,
        Err(failure) => return say(Err(failure)),
    };
    let limits = Limits::default();
    if !options.frame {
        return say(decode_message(&bytes, &limits).map_err(Failure::from));
    }
    let mut start = 0;
    loop {
        let content = match frame(&bytes, start) {
            Ok(content) => content,
            // Where the next frame begins is not known.
            Err(error) => return say(Err(error.into())),
        };
        let at = content.start;
        start = content.end;
        let message = decode_message(&bytes[content], &limits);
        say(message.map_err(|error| error.shifted(at).into()))?;
        if start == bytes.len() {
            return Ok(());
        }
    }
}

/// Where the content of the frame at `start` lies.
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

/// The bytes that hex digits stand for; blanks between them and `0x` before them are allowed.
fn unhex(text: &[u8]) -> Result<Vec<u8>, Failure> {
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
                "{:?} is no pair of hex digits",
                String::from_utf8_lossy(&pair)
            ))
        })?;
        bytes.push(byte[0]);
    }
    Ok(bytes)
}

fn write_answer(
    answer: Result<Message, Failure>,
    out: &mut impl Write,
    json: bool,
) -> io::Result<()> {
    match answer {
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

/// Writes a printed form, with control characters, which a peer may send to a terminal or to break a line, as `\u001b`.
fn write_line(text: &str, out: &mut impl Write) -> io::Result<()> {
    let mut rest = text;
    while let Some(at) = rest.find(char::is_control) {
        let (before, control) = rest.split_at(at);
        out.write_all(before.as_bytes())?;
        let mut chars = control.chars();
        if let Some(control) = chars.next() {
            write!(out, "\\u{:04x}", u32::from(control))?;
        }
        rest = chars.as_str();
    }
    out.write_all(rest.as_bytes())
}
