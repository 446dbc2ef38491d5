//! Query parameters, parsed with errors that say what is expected.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Maximum length of a list.
pub(super) const MAX_LIMIT: u32 = 1_000;

/// Latest accepted time: the end of the year 9999, seconds since the epoch.
const LATEST_SECONDS: f64 = 253_402_300_799.0;

/// Extracts the query string of a request; rejects it with a [`Problem`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        Ok(Self(query?.0))
    }
}

/// Length of a list: 1 to [`MAX_LIMIT`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Limit(u32);

impl Limit {
    pub(super) const fn get(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        whole_number(&text, 1..=MAX_LIMIT).map(Self)
    }
}

/// A time, in seconds since the epoch.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct At(pub(super) SystemTime);

impl TryFrom<String> for At {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let seconds: Option<f64> = text.parse().ok();
        let time = seconds
            .filter(|seconds| (0.0..=LATEST_SECONDS).contains(seconds))
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        time.map(Self).ok_or_else(|| {
            format!("{text:?} is not a time; expected seconds since the epoch, such as 1767225600")
        })
    }
}

/// The step between two points, in seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Step(pub(super) Duration);

/// The longest [`Step`] in seconds: the length of the history.
pub(super) const MAX_STEP_SECONDS: u32 = 90 * 24 * 3600;

impl TryFrom<String> for Step {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let seconds = whole_number(&text, 1..=MAX_STEP_SECONDS)?;
        Ok(Self(Duration::from_secs(seconds.into())))
    }
}

/// The id of an event.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct EventId(pub(super) u64);

impl TryFrom<String> for EventId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        whole_number(&text, 0..=1 << 53).map(Self)
    }
}

/// Parses a whole number in `range` from decimal digits.
fn whole_number<N>(text: &str, range: std::ops::RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + std::fmt::Display,
{
    // Rust's parser accepts a plus sign, but in a query string that means a space.
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_decimal);
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (min, max) = range.into_inner();
            format!("{text:?} is not a whole number from {min} to {max}")
        })
}
