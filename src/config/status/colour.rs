//! Colours and their contrast, as WCAG 2.2 defines it.

use std::fmt;

use crate::config::value::Value;

/// A colour of the sRGB colour space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl Colour {
    pub(super) const fn new(rgb: u32) -> Self {
        let [_, red, green, blue] = rgb.to_be_bytes();
        Self([red, green, blue])
    }

    /// Returns the contrast with another colour, from 1 to 21.
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// Returns the colour that has this share, from 0 to 1, of another colour in it.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean of two bytes"
    )]
    pub fn mixed_with(self, other: Self, share: f64) -> Self {
        let mix = |i: usize| {
            let (one, other) = (f64::from(self.0[i]), f64::from(other.0[i]));
            (one + (other - one) * share).round() as u8
        };
        Self([mix(0), mix(1), mix(2)])
    }

    fn luminance(self) -> f64 {
        let linear = |byte: u8| {
            let value = f64::from(byte) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// Parses a colour.
pub(super) fn colour(value: &Value) -> Result<Colour, String> {
    let text = value.text()?;
    parse(&text).ok_or_else(|| {
        format!(
            "{} is not a colour; expected red, green and blue in hexadecimal and in quotes, such as \"#0757ba\"",
            value.quoted()
        )
    })
}

fn parse(text: &str) -> Option<Colour> {
    let digits = text.strip_prefix('#')?;
    if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, 16).ok()?;
    match digits.len() {
        6 => Some(Colour::new(number)),
        // Each digit stands for two equal ones.
        3 => {
            let [red, green, blue] =
                [number >> 8, number >> 4 & 0xf, number & 0xf].map(|it| it * 0x11);
            Some(Colour::new(red << 16 | green << 8 | blue))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_three_or_six_digits() {
        for (text, expected) in [
            ("#0757ba", Some("#0757ba")),
            ("#FFF", Some("#ffffff")),
            ("#1a2", Some("#11aa22")),
            ("0757ba", None),
            ("#0757b", None),
            ("#0757bg", None),
            ("#+757ba", None),
            ("red", None),
            ("#", None),
            ("#ff;}body{", None),
        ] {
            let parsed = parse(text).map(|colour| colour.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        let (black, white) = (Colour::new(0), Colour::new(0x00ff_ffff));
        assert!((black.contrast(white) - 21.0).abs() < 1e-9);
        assert!((white.contrast(white) - 1.0).abs() < 1e-9);
        // The lightest grey that is readable on white.
        let grey = Colour::new(0x0076_7676);
        assert!(
            (4.5..4.6).contains(&grey.contrast(white)),
            "{}",
            grey.contrast(white)
        );
        assert_eq!(black.mixed_with(white, 0.5).to_string(), "#808080");
    }
}
