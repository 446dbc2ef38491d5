//! Conversion of values to numbers.

use cad3::Cell;

/// Maximum number of bytes of a value in an error.
const MAX_PRINTED_BYTES: usize = 80;

/// A value cannot be converted to a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an integer, a double, true or false; the value is of kind {kind}: {printed}")]
pub struct NotANumber {
    kind: &'static str,
    printed: String,
}

/// Converts a value to a number: an integer or double to the nearest double, true to 1, false to 0.
///
/// # Errors
/// The value is of another kind, or an integer outside the range of doubles.
pub fn to_number(value: &Cell) -> Result<f64, NotANumber> {
    let not_a_number = || NotANumber {
        kind: value.kind(),
        printed: value.printed(MAX_PRINTED_BYTES).to_string(),
    };
    match value {
        Cell::Bool(value) => Ok(f64::from(u8::from(*value))),
        Cell::Double(value) => Ok(*value),
        #[expect(clippy::cast_precision_loss, reason = "the nearest double is wanted")]
        Cell::Integer(value) => Ok(*value as f64),
        Cell::BigInteger(integer) => {
            // Parsing the digits rounds to the nearest double.
            let digits = integer.to_bigint().to_string();
            let parsed: Option<f64> = digits.parse().ok();
            parsed
                .filter(|value| value.is_finite())
                .ok_or_else(not_a_number)
        }
        _ => Err(not_a_number()),
    }
}

#[cfg(test)]
mod tests {
    use cad3::reader;

    use super::*;

    fn number(text: &str) -> Result<f64, String> {
        to_number(&reader::read(text).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_and_booleans_are_converted() {
        for (text, expected) in [
            ("0", 0.0),
            ("-12", -12.0),
            ("1.5e3", 1500.0),
            ("##Inf", f64::INFINITY),
            ("true", 1.0),
            ("false", 0.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("9223372036854775807", 9_223_372_036_854_775_807.0),
            ("-9223372036854775808", -9_223_372_036_854_775_808.0),
            ("36893488147419103232", 36_893_488_147_419_103_232.0),
        ] {
            assert_eq!(
                number(text).map(f64::to_bits),
                Ok(expected.to_bits()),
                "{text}"
            );
        }
        assert!(number("##NaN").unwrap().is_nan());
    }

    #[test]
    fn other_values_are_refused_with_their_kind() {
        for (text, expected) in [
            ("nil", "the value is of kind nil: nil"),
            ("\"12\"", "the value is of kind string: \"12\""),
            ("#12", "the value is of kind address: #12"),
            ("[1]", "the value is of kind vector: [1]"),
            (":a", "the value is of kind keyword: :a"),
        ] {
            let error = number(text).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
        let too_large = format!("1{}", "0".repeat(400));
        let error = number(&too_large).unwrap_err();
        assert!(error.contains("of kind bigint: 1000"), "{error}");
        assert!(error.len() < 200, "{error}");
    }
}
