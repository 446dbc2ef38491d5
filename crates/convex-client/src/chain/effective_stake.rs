//! Which keys are registered with effective stake in a peer's own state: of these it accepts orders
//! (`BeliefMerge.isValidPeer`).

use std::collections::BTreeMap;

use cad3::{Cell, Hash};

use crate::query::Query;

use super::economics::{MAX_SUPPLY_COPPER, eviction_margin};

/// Maximum number of bytes of a value in an error.
const MAX_PRINTED_BYTES: usize = 60;

/// Returns the query for the own stake of `keys` in the state of the peer that is asked. A key
/// costs about 500 juice and 70 bytes of query text.
#[expect(clippy::missing_panics_doc, reason = "the text is always a form")]
#[must_use]
pub fn effective_stake_query(keys: &[Hash]) -> Query {
    let keys: Vec<String> = keys.iter().map(Hash::to_string).collect();
    let text = format!(
        "(mapv (fn [k] (try (get-peer-stake k) nil)) [{}])",
        keys.join(" ")
    );
    Query::read(&text).expect("the text consists of constants and hashes")
}

/// Reads the answer to [`effective_stake_query`]: whether each of `keys` is registered with as much
/// own stake as other peers demand.
///
/// # Errors
/// The value is not an answer to the query; the text says why.
pub fn read_effective_stake(value: &Cell, keys: &[Hash]) -> Result<BTreeMap<Hash, bool>, String> {
    let stakes = value
        .as_elements()
        .filter(|stakes| value.kind() == "vector" && stakes.len() == keys.len());
    let stakes = stakes.ok_or_else(|| {
        let (found, expected) = (value.printed(MAX_PRINTED_BYTES), keys.len());
        format!("{found} is not a vector of {expected} stakes")
    })?;
    let read = |(key, stake): (&Hash, &Cell)| {
        if stake.is_nil() {
            return Ok((*key, false));
        }
        let copper = stake
            .as_i64()
            .filter(|copper| (0..=MAX_SUPPLY_COPPER).contains(copper));
        let copper = copper.ok_or_else(|| {
            let found = stake.printed(MAX_PRINTED_BYTES);
            format!("{found} is not a stake, expected nil or 0 to {MAX_SUPPLY_COPPER}")
        })?;
        Ok((*key, eviction_margin(copper) >= 0))
    };
    keys.iter().zip(stakes.iter()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use cad3::reader;

    use super::*;

    fn keys(count: u8) -> Vec<Hash> {
        (1..=count).map(|byte| Hash::new([byte; 32])).collect()
    }

    #[test]
    fn the_query_names_every_key() {
        let query = effective_stake_query(&keys(2));
        let [one, two] = [1, 2].map(|byte| Hash::new([byte; 32]));
        let text = format!("(mapv (fn [k] (try (get-peer-stake k) nil)) [{one} {two}])");
        assert_eq!(query.source(), text);
    }

    #[test]
    fn stake_is_effective_from_a_thousand_own_coins_of_a_registered_peer() {
        let answer = reader::read("[nil 0 999999999999 1000000000000]").unwrap();
        let keys = keys(4);
        let found = read_effective_stake(&answer, &keys).unwrap();
        let found: Vec<bool> = keys.iter().map(|key| found[key]).collect();
        assert_eq!(found, [false, false, false, true]);
    }

    #[test]
    fn another_answer_is_refused() {
        for (answer, expected) in [
            ("nil", "nil is not a vector of 1 stakes"),
            ("[]", "[] is not a vector of 1 stakes"),
            ("(1)", "(1) is not a vector of 1 stakes"),
            ("[1 2]", "[1 2] is not a vector of 1 stakes"),
            (
                "[:x]",
                ":x is not a stake, expected nil or 0 to 1000000000000000000",
            ),
            (
                "[-1]",
                "-1 is not a stake, expected nil or 0 to 1000000000000000000",
            ),
        ] {
            let answer = reader::read(answer).unwrap();
            let error = read_effective_stake(&answer, &keys(1)).unwrap_err();
            assert_eq!(error, expected);
        }
    }
}
