//! The value of an operator's own query as a gauge.

use cad3::Cell;

/// What of a wrong value is shown, characters.
const SHOWN: usize = 80;

/// A value that is no gauge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a gauge is an integer, a double, true or false; the value is of kind {kind}: {printed}")]
pub struct NoGauge {
    kind: &'static str,
    printed: String,
}

/// The value as a gauge: an integer or double as the nearest double, true 1, false 0.
///
/// # Errors
/// The value is of another kind, or an integer beyond all doubles.
pub fn gauge(value: &Cell) -> Result<f64, NoGauge> {
    let no_gauge = || NoGauge {
        kind: value.kind(),
        printed: value.printed(SHOWN).to_string(),
    };
    match value {
        Cell::Bool(value) => Ok(f64::from(u8::from(*value))),
        Cell::Double(value) => Ok(*value),
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
        Cell::Integer(value) => Ok(*value as f64),
        Cell::BigInteger(integer) => {
            // By way of the digits: parsing rounds to the nearest double.
            let digits = integer.to_bigint().to_string();
            let parsed: Option<f64> = digits.parse().ok();
            parsed
                .filter(|value| value.is_finite())
                .ok_or_else(no_gauge)
        }
        _ => Err(no_gauge()),
    }
}

#[cfg(test)]
mod tests {
    use cad3::reader;

    use super::*;

    fn of(text: &str) -> Result<f64, String> {
        gauge(&reader::read(text).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_and_truth_are_gauges() {
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
            assert_eq!(of(text).map(f64::to_bits), Ok(expected.to_bits()), "{text}");
        }
        assert!(of("##NaN").unwrap().is_nan());
    }

    #[test]
    fn all_else_is_refused_by_what_it_is() {
        for (text, expected) in [
            ("nil", "the value is of kind nil: nil"),
            ("\"12\"", "the value is of kind string: \"12\""),
            ("#12", "the value is of kind address: #12"),
            ("[1]", "the value is of kind vector: [1]"),
            (":a", "the value is of kind keyword: :a"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
        let beyond = format!("1{}", "0".repeat(400));
        let error = of(&beyond).unwrap_err();
        assert!(error.contains("of kind bigint: 1000"), "{error}");
        assert!(error.len() < 200, "{error}");
    }
}
