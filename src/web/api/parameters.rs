//! Parameters of requests: read with an error that says what would be right.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The longest list that can be asked for at once.
pub(super) const LONGEST: u32 = 1_000;

/// Latest time that can be asked for: the year 9999.
const LATEST: f64 = 253_402_300_799.0;

/// The parameters of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        Ok(Self(read?.0))
    }
}

/// How long a list may be: 1 to [`LONGEST`].
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
        whole(&text, 1..=LONGEST).map(Self)
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
            .filter(|seconds| (0.0..=LATEST).contains(seconds))
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        time.map(Self).ok_or_else(|| {
            format!("{text:?} is no time: give seconds since the epoch, such as 1767225600")
        })
    }
}

/// The distance of two points, in seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Step(pub(super) Duration);

/// The longest [`Step`] in seconds: as far as the history reaches.
pub(super) const LONGEST_STEP: u32 = 90 * 24 * 3600;

impl TryFrom<String> for Step {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let seconds = whole(&text, 1..=LONGEST_STEP)?;
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
        whole(&text, 0..=1 << 53).map(Self)
    }
}

/// A whole number in a range, from decimal digits.
pub(super) fn whole<N>(text: &str, range: std::ops::RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + std::fmt::Display,
{
    // The sign that Rust's own parser takes is a blank in a query.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (least, most) = range.into_inner();
            format!("{text:?} is no whole number from {least} to {most}")
        })
}
