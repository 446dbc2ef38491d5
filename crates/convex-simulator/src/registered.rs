//! Registered peers that nobody runs: `COUNT[:CVM]`.

use convex_client::chain::economics::COPPER_PER_CVM;

/// Most of them in one network.
const MAX_COUNT: usize = 200_000;
/// Most stake of one peer, and of all that are only registered together, in CVM: a tenth of all
/// coins.
pub(super) const MAX_STAKE_CVM: f64 = 100_000_000.0;

/// Peers that are only in the registry: nothing answers for them, and they make no blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Number of peers.
    pub count: usize,
    /// Own stake of each, in copper.
    pub stake_copper: i64,
}

/// A text does not describe registered peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} does not describe registered peers; expected COUNT[:CVM], such as 20000 or 1500:0.01, with \
     at most {MAX_COUNT} peers and {MAX_STAKE_CVM} CVM in total"
)]
pub struct RegisteredError(String);

impl Registered {
    /// Parses `COUNT[:CVM]`. Without stake, each has none.
    ///
    /// # Errors
    /// The text has another form, or a number is too large.
    pub fn parse(text: &str) -> Result<Self, RegisteredError> {
        let (count, stake) = text.split_once(':').unwrap_or((text, "0"));
        let parsed = count.parse().ok().zip(parse_cvm(stake));
        let parsed = parsed.map(|(count, stake_copper)| Self {
            count,
            stake_copper,
        });
        let valid = parsed.filter(|it| it.count <= MAX_COUNT && it.total_cvm() <= MAX_STAKE_CVM);
        valid.ok_or_else(|| RegisteredError(text.to_owned()))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "compared with a limit that has a margin"
    )]
    fn total_cvm(self) -> f64 {
        self.count as f64 * (self.stake_copper as f64 / COPPER_PER_CVM as f64)
    }
}

/// Parses an amount of CVM, 0 to [`MAX_STAKE_CVM`], and returns it in copper.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the amount is limited, and exact to a millionth of a CVM"
)]
pub(super) fn parse_cvm(text: &str) -> Option<i64> {
    let cvm: f64 = text.parse().ok()?;
    let valid = (0.0..=MAX_STAKE_CVM).contains(&cvm);
    valid.then(|| (cvm * COPPER_PER_CVM as f64).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_peers_have_a_number_and_a_stake() {
        for (text, count, stake_copper) in [
            ("20000", 20_000, 0),
            ("1500:0.01", 1500, 10_000_000),
            ("3:66600", 3, 66_600_000_000_000),
        ] {
            let expected = Registered {
                count,
                stake_copper,
            };
            assert_eq!(Registered::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "x",
            "1:",
            "1:-1",
            "1:NaN",
            "200001",
            "200000:1000",
            "5:x",
        ] {
            let error = Registered::parse(text).unwrap_err().to_string();
            assert!(error.contains("expected COUNT[:CVM]"), "{text}: {error}");
        }
    }
}
