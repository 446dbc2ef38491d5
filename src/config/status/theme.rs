//! The colours of the status page. Each combination that it uses is readable, or the configuration
//! is not valid.

use super::colour::{Colour, colour};
use super::logo::{Logo, logo};
use crate::config::keys::{Keys, STATUS_DARK, STATUS_LIGHT, STATUS_THEME};
use crate::config::section::Section;
use crate::config::source::Reported;

/// Least contrast of text, by level AA of WCAG.
const MIN_CONTRAST: f64 = 4.5;

/// Greatest share of the background in less important text.
const QUIET_SHARE: f64 = 0.35;

/// How a status page looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    /// Colours for visitors who prefer light pages.
    pub light: Palette,
    /// Colours for visitors who prefer dark pages.
    pub dark: Palette,
    /// Shown above the title.
    pub logo: Option<Logo>,
}

/// The colours of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    /// Behind everything.
    pub background: Colour,
    /// Of texts.
    pub text: Colour,
    /// Of links and of the line below the heading.
    pub accent: Colour,
    /// Of what is all right. Fixed, as are the next two: visitors know them from elsewhere.
    pub up: Colour,
    /// Of what is degraded.
    pub degraded: Colour,
    /// Of what is down.
    pub down: Colour,
}

const LIGHT: Palette = Palette {
    background: Colour::new(0x00ff_ffff),
    text: Colour::new(0x001b_1f24),
    accent: Colour::new(0x0007_57ba),
    up: Colour::new(0x0011_6329),
    degraded: Colour::new(0x007d_4e00),
    down: Colour::new(0x00b3_261e),
};

const DARK: Palette = Palette {
    background: Colour::new(0x0014_171a),
    text: Colour::new(0x00e6_e8eb),
    accent: Colour::new(0x0079_b8ff),
    up: Colour::new(0x004a_c26b),
    degraded: Colour::new(0x00e0_a526),
    down: Colour::new(0x00ff_8a80),
};

impl Default for Theme {
    fn default() -> Self {
        Self {
            light: LIGHT,
            dark: DARK,
            logo: None,
        }
    }
}

impl Palette {
    /// Returns the colour of less important text: as near to the background as is readable.
    #[must_use]
    pub fn quiet(&self) -> Colour {
        let steps = (0..=7)
            .rev()
            .map(|step| QUIET_SHARE * f64::from(step) / 7.0);
        let mut mixed = steps.map(|share| self.text.mixed_with(self.background, share));
        let readable = mixed.find(|colour| colour.contrast(self.background) >= MIN_CONTRAST);
        readable.unwrap_or(self.text)
    }

    /// Returns the colour of lines between parts.
    #[must_use]
    pub fn line(&self) -> Colour {
        self.text.mixed_with(self.background, 0.8)
    }
}

/// Reads `status.theme`.
pub(super) fn theme(status: &Section) -> Result<Theme, Reported> {
    let Some(section) = status.section("theme", &STATUS_THEME)? else {
        return Ok(Theme::default());
    };
    let light = palette(&section, "light", &STATUS_LIGHT, LIGHT);
    let dark = palette(&section, "dark", &STATUS_DARK, DARK);
    let logo = section.read("logo", logo);
    Ok(Theme {
        light: light?,
        dark: dark?,
        logo: logo?,
    })
}

fn palette(theme: &Section, key: &str, keys: &Keys, default: Palette) -> Result<Palette, Reported> {
    let Some(section) = theme.section(key, keys)? else {
        return Ok(default);
    };
    let background = section.read("background", colour);
    let text = section.read("text", colour);
    let accent = section.read("accent", colour);
    let palette = Palette {
        background: background?.unwrap_or(default.background),
        text: text?.unwrap_or(default.text),
        accent: accent?.unwrap_or(default.accent),
        ..default
    };
    check_contrast(&section, palette, key)?;
    Ok(palette)
}

/// Reports the colours that cannot be read on the background.
fn check_contrast(section: &Section, palette: Palette, scheme: &str) -> Result<(), Reported> {
    let background = palette.background;
    let fixed = [
        ("up", palette.up),
        ("degraded", palette.degraded),
        ("down", palette.down),
    ];
    let too_low = |colour: &Colour| colour.contrast(background) < MIN_CONTRAST;
    let contrast = |colour: Colour| (colour.contrast(background) * 10.0).floor() / 10.0;
    // Reported first: with this background no other colour helps.
    if let Some((state, colour)) = fixed.into_iter().find(|(_, colour)| too_low(colour)) {
        let lightness = if scheme == "light" {
            "lighter"
        } else {
            "darker"
        };
        return Err(section.report_value(
            "background",
            format!(
                "the contrast of {background} with {colour}, the colour of what is {state}, is {}; \
                 expected at least {MIN_CONTRAST}: choose a {lightness} background",
                contrast(colour)
            ),
        ));
    }
    let mut result = Ok(());
    for (key, colour) in [("text", palette.text), ("accent", palette.accent)] {
        if too_low(&colour) {
            let message = format!(
                "the contrast of {colour} with the background, {background}, is {}; expected at least \
                 {MIN_CONTRAST}",
                contrast(colour)
            );
            result = Err(section.report_value(key, message));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_colour_is_readable() {
        for palette in [LIGHT, DARK] {
            let Palette {
                background,
                text,
                accent,
                up,
                degraded,
                down,
            } = palette;
            for colour in [text, accent, up, degraded, down, palette.quiet()] {
                let contrast = colour.contrast(background);
                assert!(
                    contrast >= MIN_CONTRAST,
                    "{colour} on {background}: {contrast}"
                );
            }
        }
    }

    #[test]
    fn quiet_text_stays_readable_where_text_barely_is() {
        let palette = Palette {
            text: Colour::new(0x0076_7676),
            ..LIGHT
        };
        assert_eq!(palette.quiet(), palette.text);
    }
}
