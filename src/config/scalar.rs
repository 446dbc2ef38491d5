//! Parsers of single values: counts, durations, sizes, hashes, addresses. Each error quotes the
//! value and says what would be valid.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use cad3::Hash;
use convex_client::mask_url;
use humantime::format_duration;
use url::Url;

use super::value::Value;
use super::yaml::Content;
use super::{Listen, Secret};

pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// Ten years as `humantime` counts them.
pub(super) const TEN_YEARS: Duration = Duration::from_secs(10 * 31_557_600);
/// Longest name, bytes.
const MAX_NAME_BYTES: usize = 128;

/// Parses an integer within `range`.
pub(super) fn count(value: &Value, range: RangeInclusive<u32>) -> Result<u32, String> {
    integer(value)
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| range.contains(n))
        .ok_or_else(|| {
            let (from, to) = range.into_inner();
            format!(
                "{} is not a whole number from {from} to {to}",
                value.quoted()
            )
        })
}

/// Parses a number within `range`.
pub(super) fn number(value: &Value, range: RangeInclusive<f64>) -> Result<f64, String> {
    let number = match &value.node.content {
        Content::Number { written, .. } => written.parse().ok(),
        _ => None,
    };
    number.filter(|n| range.contains(n)).ok_or_else(|| {
        let (from, to) = range.into_inner();
        format!("{} is not a number from {from} to {to}", value.quoted())
    })
}

/// Parses a percentage within `range`, as in `99.9%`.
pub(super) fn percentage(value: &Value, range: RangeInclusive<f64>) -> Result<f64, String> {
    let text = match &value.node.content {
        Content::Text(_) => value.text()?,
        _ => String::new(),
    };
    let number = text.strip_suffix('%').map(str::trim_end);
    let number: Option<f64> = number.and_then(|number| number.parse().ok());
    number.filter(|n| range.contains(n)).ok_or_else(|| {
        let (from, to) = range.into_inner();
        format!(
            "{} is not a percentage from {from}% to {to}%; write it as in `99.9%`",
            value.quoted()
        )
    })
}

/// Parses a TCP port that can be connected to.
pub(super) fn port(value: &Value) -> Result<u16, String> {
    integer(value)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("{} is not a port from 1 to {}", value.quoted(), u16::MAX))
}

/// Parses an instant in UTC.
pub(super) fn time(value: &Value) -> Result<SystemTime, String> {
    let text = match value.node.content {
        Content::Text(_) => value.text()?,
        _ => String::new(),
    };
    humantime::parse_rfc3339(&text).map_err(|_| {
        format!(
            "{} is not a time; write it in UTC, as in `2026-12-01T10:00:00Z`",
            value.quoted()
        )
    })
}

fn integer(value: &Value) -> Option<i128> {
    match value.node.content {
        Content::Number { whole, .. } => whole,
        _ => None,
    }
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value.node.content {
        Content::Bool(value) => Ok(value),
        _ => Err(format!("{} is neither true nor false", value.quoted())),
    }
}

/// Parses a duration within `range`, or none if it is 0, with or without a unit.
pub(super) fn duration_or_zero(
    value: &Value,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>, String> {
    let is_zero =
        integer(value) == Some(0) || duration(value, Duration::ZERO..=Duration::ZERO).is_ok();
    if is_zero {
        return Ok(None);
    }
    let parsed = duration(value, range).map(Some);
    parsed.map_err(|problem| format!("{problem}, or 0 for never"))
}

/// Parses a duration with a unit, within `range`.
pub(super) fn duration(value: &Value, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    if let Content::Number { written, .. } = &value.node.content {
        let example = if integer(value).is_some_and(|n| n > 0) {
            format!("`{written}s`, `500ms` or `1m 30s`")
        } else {
            "`15s`, `500ms` or `1m 30s`".to_owned()
        };
        return Err(format!(
            "{written} is not a duration; add a unit, as in {example}"
        ));
    }
    let duration = humantime::parse_duration(&value.text()?).map_err(|_| {
        format!(
            "{} is not a duration; write a number and a unit, as in `15s`, `500ms` or `1m 30s`",
            value.quoted()
        )
    })?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let (from, to) = range.into_inner();
    Err(format!(
        "{} is out of range; expected {} to {}",
        value.quoted(),
        format_duration(from),
        format_duration(to)
    ))
}

/// Parses a number of bytes within `range`: plain, or with a unit as in `1MiB`.
pub(super) fn size(value: &Value, range: RangeInclusive<usize>) -> Result<usize, String> {
    let bytes = match &value.node.content {
        Content::Number { .. } => integer(value).and_then(|n| usize::try_from(n).ok()),
        _ => value
            .text()?
            .parse::<ByteSize>()
            .ok()
            .and_then(|size| usize::try_from(size.as_u64()).ok()),
    };
    let bytes = bytes.ok_or_else(|| {
        format!(
            "{} is not a size; write bytes as in `65536`, or a unit as in `64KiB` or `1MiB`",
            value.quoted()
        )
    })?;
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    let (from, to) = range.into_inner();
    Err(format!(
        "{} is out of range; expected {} to {}",
        value.quoted(),
        ByteSize(from as u64),
        ByteSize(to as u64)
    ))
}

/// Parses a hash: 32 bytes in hex, with or without `0x`.
pub(super) fn hash(value: &Value) -> Result<Hash, String> {
    let text = match &value.node.content {
        // Without quotes, a hash of digits alone is a number.
        Content::Number { written, .. } => written.clone(),
        _ => value.text()?,
    };
    text.parse().map_err(|_| {
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        let quoted = value.quoted();
        if digits.chars().all(|c| c.is_ascii_hexdigit()) {
            format!("{quoted} has {} hex digits; expected 64", digits.len())
        } else {
            format!("{quoted} is not a hash; expected 64 hex digits, with or without 0x")
        }
    })
}

/// Parses the number of an account, with or without the `#` of Convex.
pub(super) fn account(value: &Value) -> Result<u64, String> {
    let number = if let Content::Number { .. } = value.node.content {
        integer(value)
    } else {
        let text = value.text()?;
        let digits = text.strip_prefix('#').unwrap_or(&text);
        let plain = digits.chars().all(|c| c.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    number
        .and_then(|n| i64::try_from(n).ok())
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| {
            format!(
                "{} is not an account; write its number, as in `11` or `\"#11\"`",
                value.quoted()
            )
        })
}

/// Parses one of the names in `allowed`.
pub(super) fn choice<T: Copy>(value: &Value, allowed: &[(&str, T)]) -> Result<T, String> {
    let text = match value.node.content {
        Content::Text(_) => value.text()?,
        _ => String::new(),
    };
    allowed
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, choice)| *choice)
        .ok_or_else(|| {
            let names: Vec<_> = allowed.iter().map(|(name, _)| *name).collect();
            format!(
                "{} is not allowed; expected {}",
                value.quoted(),
                one_of(&names)
            )
        })
}

/// Formats alternatives: `a, b or c`.
pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

/// Parses where a listener listens.
pub(super) fn listen(value: &Value) -> Result<Listen, String> {
    if let Some(port) = value.whole_number() {
        return Err(format!(
            "{port} has no address; write `127.0.0.1:{port}` for this host only, or \
             `0.0.0.0:{port}` for all"
        ));
    }
    let text = value.text()?;
    text.parse().map_err(|expected: String| {
        let advice = match text.split_once(':') {
            Some(("" | "localhost", port))
                if port.parse::<u16>().is_ok() && !value.has_variable() =>
            {
                format!("did you mean 127.0.0.1:{port}?")
            }
            _ => expected,
        };
        format!("{} is not a listen address; {advice}", value.quoted())
    })
}

/// Parses an `http` or `https` URL without user name, query and fragment.
pub(super) fn web_url(value: &Value) -> Result<Url, String> {
    let text = value.text()?;
    let problem = |what: &str| format!("{} {what}", value.quoted_url());
    // Does not quote a URL that may contain a password.
    let userinfo = "must not contain a user name or password; remove them";
    if !text.contains("://") {
        if text.contains('@') {
            return Err(userinfo.to_owned());
        }
        let advice = if value.has_variable() {
            "put http:// or https:// before it".to_owned()
        } else {
            format!("did you mean http://{}?", mask_url(&text))
        };
        return Err(problem(&format!("has no scheme; {advice}")));
    }
    let url = match Url::parse(&text) {
        Err(_) if text.contains('@') => return Err(userinfo.to_owned()),
        Err(error) => return Err(problem(&format!("is not a URL: {error}"))),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            return Err(userinfo.to_owned());
        }
        Ok(url) => url,
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(problem("has an unsupported scheme; expected http or https"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(problem("has a query or a fragment; remove it"));
    }
    Ok(url)
}

/// Parses an `http` or `https` URL that may be secret as a whole; errors do not quote it.
pub(super) fn secret_url(text: &str) -> Result<Secret, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("not a URL ({error}); expected one as in `https://host.example/path`")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL has an unsupported scheme; expected http or https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL contains a user name or password; use `basic_auth`".to_owned());
    }
    Ok(text.into())
}

/// Whether a character does not belong in a single line: control characters and the line
/// separators of Unicode.
fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Parses a text of a single line.
pub(super) fn line(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    if text.contains(breaks_line) {
        return Err("contains a line break or a control character; remove it".to_owned());
    }
    Ok(text)
}

/// Parses a name, which is the value of a label and, of a peer, a segment of a URL path.
pub(super) fn name(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    let problem = if text.is_empty() {
        "is empty; add a name"
    } else if text.len() > MAX_NAME_BYTES {
        "is longer than 128 bytes; shorten it"
    } else if text.trim() != text {
        "begins or ends with a space; remove it"
    } else if text.contains(['/', '\\']) || text.chars().any(breaks_line) {
        "contains a slash, a backslash or a control character; remove it"
    } else if matches!(text.as_str(), "." | "..") {
        "is not allowed in the URL of a page; choose another name"
    } else {
        return Ok(text);
    };
    Err(format!("{} {problem}", value.quoted()))
}

/// Checks a user name of basic authentication.
pub(super) fn user_name(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.contains(':') || text.contains(char::is_control) {
        return Err("not a user name; expected at least one character, and no colon");
    }
    Ok(())
}
