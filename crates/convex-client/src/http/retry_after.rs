//! How long an overloaded server asks not to be contacted.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use super::failure::is_overload;

/// Returns the time for which an overloaded server asks not to be contacted: the `Retry-After` of a
/// response with status 429 or 503 that was received at `answered_at`. The header has seconds, or a
/// date by the server's own clock. The time is not limited.
#[must_use]
pub fn retry_after(
    status: StatusCode,
    headers: &HeaderMap,
    answered_at: SystemTime,
) -> Option<Duration> {
    if !is_overload(status) {
        return None;
    }
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    if let Ok(seconds) = seconds {
        return Some(Duration::from_secs(seconds));
    }
    let now = date_in(headers, &DATE).unwrap_or(answered_at);
    date_in(headers, &RETRY_AFTER)?.duration_since(now).ok()
}

/// Returns the time in a header.
pub(super) fn date_in(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(status: StatusCode, retry_after_value: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after_value.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        retry_after(status, &headers, SystemTime::UNIX_EPOCH).map(|pause| pause.as_secs())
    }

    #[test]
    fn seconds_and_dates_by_the_servers_clock_are_understood() {
        let busy = StatusCode::TOO_MANY_REQUESTS;
        let at = "Sun, 06 Nov 1994 08:49:37 GMT";
        let later = "Sun, 06 Nov 1994 08:50:07 GMT";
        assert_eq!(pause(busy, " 30", None), Some(30));
        assert_eq!(pause(busy, later, Some(at)), Some(30));
        assert_eq!(pause(busy, "Thu, 01 Jan 1970 00:00:09 GMT", None), Some(9));
        assert_eq!(pause(busy, at, Some(later)), None, "the time has passed");
        assert_eq!(pause(busy, "soon", None), None);
    }

    #[test]
    fn only_an_overloaded_server_asks_for_a_pause() {
        assert_eq!(pause(StatusCode::SERVICE_UNAVAILABLE, "1", None), Some(1));
        for status in [StatusCode::OK, StatusCode::FOUND, StatusCode::BAD_GATEWAY] {
            assert_eq!(pause(status, "1", None), None, "{status}");
        }
    }
}
