//! Other agents whose opinions this agent reads.

use super::keys::VANTAGE;
use super::notify::{Target, receivers, target};
use super::scalar::name;
use super::section::{Names, Section};
use super::source::Reported;

/// Another agent, which watches the same peers from another place.
#[derive(Clone, Debug, PartialEq)]
pub struct Vantage {
    /// What this agent calls it; unique.
    pub name: String,
    /// Its base URL and what requests send; the API's route is appended.
    pub target: Target,
}

/// Reads `vantages`.
pub(super) fn vantages(file: &Section) -> Result<Vec<Vantage>, Reported> {
    let mut names = Names::default();
    receivers(file, "vantages", &VANTAGE, |vantage| {
        let name = names.claim(vantage, name);
        let target = target(vantage);
        Ok(Vantage {
            name: name?,
            target: target?,
        })
    })
}
