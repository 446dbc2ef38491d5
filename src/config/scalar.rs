//! Single values: counts, durations, sizes, hashes, addresses. Each error says what stands there and what would be right.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use cad3::Hash;
use humantime::format_duration;
use url::Url;

use super::Secret;
use super::file::Content;
use super::section::Value;

pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// As humantime counts them.
pub(super) const TEN_YEARS: Duration = Duration::from_secs(10 * 31_557_600);

/// A whole number within `range`.
pub(super) fn count(value: &Value, range: RangeInclusive<u32>) -> Result<u32, String> {
    whole(value)
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| range.contains(n))
        .ok_or_else(|| {
            let (from, to) = range.into_inner();
            format!(
                "{} is not a whole number from {from} to {to}",
                value.found()
            )
        })
}

/// A number, whole or not, within `range`.
pub(super) fn number(value: &Value, range: RangeInclusive<f64>) -> Result<f64, String> {
    let number = match &value.node.content {
        Content::Number { written, .. } => written.parse().ok(),
        _ => None,
    };
    number.filter(|n| range.contains(n)).ok_or_else(|| {
        let (from, to) = range.into_inner();
        format!("{} is not a number from {from} to {to}", value.found())
    })
}

/// A TCP port that can be dialled.
pub(super) fn port(value: &Value) -> Result<u16, String> {
    whole(value)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("{} is not a port from 1 to {}", value.found(), u16::MAX))
}

/// An instant in UTC.
pub(super) fn time(value: &Value) -> Result<SystemTime, String> {
    let text = match value.node.content {
        Content::Text(_) => value.text()?,
        _ => String::new(),
    };
    humantime::parse_rfc3339(&text).map_err(|_| {
        format!(
            "{} is not a time; write it in UTC, as in `2026-12-01T10:00:00Z`",
            value.found()
        )
    })
}

pub(super) fn whole(value: &Value) -> Option<i128> {
    match value.node.content {
        Content::Number { whole, .. } => whole,
        _ => None,
    }
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value.node.content {
        Content::Bool(value) => Ok(value),
        _ => Err(format!("{} is neither true nor false", value.found())),
    }
}

/// A duration with its unit, within `range`.
pub(super) fn duration(value: &Value, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    if let Content::Number { written, .. } = &value.node.content {
        let example = if whole(value).is_some_and(|n| n > 0) {
            format!("`{written}s`, `500ms` or `1m 30s`")
        } else {
            "`15s`, `500ms` or `1m 30s`".to_owned()
        };
        return Err(format!(
            "{written} is not a duration; give it a unit, as in {example}"
        ));
    }
    let duration = humantime::parse_duration(&value.text()?).map_err(|_| {
        format!(
            "{} is not a duration; write a number and a unit, as in `15s`, `500ms` or `1m 30s`",
            value.found()
        )
    })?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let (from, to) = range.into_inner();
    Err(format!(
        "{} is out of range; expected {} to {}",
        value.found(),
        format_duration(from),
        format_duration(to)
    ))
}

/// A number of bytes within `range`: plain, or with a unit as in `1MiB`.
pub(super) fn size(value: &Value, range: RangeInclusive<usize>) -> Result<usize, String> {
    let bytes = match &value.node.content {
        Content::Number { .. } => whole(value).and_then(|n| usize::try_from(n).ok()),
        _ => value
            .text()?
            .parse::<ByteSize>()
            .ok()
            .and_then(|size| usize::try_from(size.as_u64()).ok()),
    };
    let bytes = bytes.ok_or_else(|| {
        format!(
            "{} is not a size; write bytes as in `65536`, or a unit as in `64KiB` or `1MiB`",
            value.found()
        )
    })?;
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    let (from, to) = range.into_inner();
    Err(format!(
        "{} is out of range; expected {} to {}",
        value.found(),
        ByteSize(from as u64),
        ByteSize(to as u64)
    ))
}

/// 32 bytes in hex, with or without `0x`.
pub(super) fn hash(value: &Value) -> Result<Hash, String> {
    let text = match &value.node.content {
        // Without quotes, digits alone are a number to YAML.
        Content::Number { written, .. } => written.clone(),
        _ => value.text()?,
    };
    text.parse().map_err(|_| {
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        let found = value.found();
        if digits.chars().all(|c| c.is_ascii_hexdigit()) {
            format!("{found} has {} hex digits; expected 64", digits.len())
        } else {
            format!("{found} is not a hash; expected 64 hex digits, with or without 0x")
        }
    })
}

/// An account's number, as a number or as Convex writes it: `#11`.
pub(super) fn account(value: &Value) -> Result<u64, String> {
    let number = if let Content::Number { .. } = value.node.content {
        whole(value)
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
                value.found()
            )
        })
}

/// One of `allowed`, by name.
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
                value.found(),
                one_of(&names)
            )
        })
}

/// `a, b or c`.
pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

/// Where the agent listens; port 0 lets the system choose.
pub(super) fn listen(value: &Value) -> Result<SocketAddr, String> {
    let text = value.text()?;
    text.parse().map_err(|_| {
        let advice = match text.split_once(':') {
            Some(("" | "localhost", port))
                if port.parse::<u16>().is_ok() && !value.is_substituted() =>
            {
                format!("did you mean 127.0.0.1:{port}?")
            }
            _ => "expected an address and a port, as in `127.0.0.1:18880` or `[::1]:18880`"
                .to_owned(),
        };
        format!("{} is not a listen address; {advice}", value.found())
    })
}

/// An `http` or `https` URL without user name, query and fragment.
pub(super) fn web_url(value: &Value) -> Result<Url, String> {
    let text = value.text()?;
    let wrong = |what: &str| format!("{} {what}", value.found());
    // Nothing is repeated of a URL that may hold a password.
    let userinfo = "must not carry a user name or password; remove it";
    if !text.contains("://") {
        if text.contains('@') {
            return Err(userinfo.to_owned());
        }
        let advice = if value.is_substituted() {
            "put http:// or https:// before it".to_owned()
        } else {
            format!("did you mean http://{text}?")
        };
        return Err(wrong(&format!("has no scheme; {advice}")));
    }
    let url = match Url::parse(&text) {
        Err(_) if text.contains('@') => return Err(userinfo.to_owned()),
        Err(error) => return Err(wrong(&format!("is not a URL: {error}"))),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            return Err(userinfo.to_owned());
        }
        Ok(url) => url,
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("has a scheme that is not http or https"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("carries a query or a fragment; remove it"));
    }
    Ok(url)
}

/// An `http` or `https` URL that may be a secret as a whole: nothing is repeated of it.
pub(super) fn secret_url(text: &str) -> Result<Secret, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("not a URL ({error}); expected one as in `https://host.example/path`")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL's scheme is not http or https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL carries a user name or password; use `basic_auth`".to_owned());
    }
    Ok(text.into())
}

/// Whether a character has no place in a one-line text: control characters and Unicode's line separators.
pub(super) fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text of one line.
pub(super) fn line(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    if text.contains(breaks_line) {
        return Err("has a line break or a control character; remove it".to_owned());
    }
    Ok(text)
}

/// A name that is a metric's label value and, for a peer, one segment of a path.
pub(super) fn name(value: &Value) -> Result<String, String> {
    const LONGEST: usize = 128;
    let text = value.text()?;
    let advice = if text.is_empty() {
        "is empty; give it a name"
    } else if text.len() > LONGEST {
        "is longer than 128 bytes"
    } else if text.trim() != text {
        "begins or ends with a blank; remove it"
    } else if text.contains(['/', '\\']) || text.chars().any(breaks_line) {
        "has a slash, a backslash or a control character; remove it"
    } else if matches!(text.as_str(), "." | "..") {
        "cannot stand in the address of a page; choose another name"
    } else {
        return Ok(text);
    };
    Err(format!("{} {advice}", value.found()))
}
