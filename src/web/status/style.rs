//! The style sheet of the status page, with the colours of its theme.

use askama::Template;

use super::model::{PublicPalette, PublicTheme};

/// Colours as a style sheet has them. They come from the configuration, or from a file that this
/// program wrote; nothing that is no colour gets into the sheet.
#[derive(Template)]
#[template(path = "status/style.css", escape = "none")]
struct Sheet {
    light: String,
    dark: String,
}

/// Returns the style sheet.
pub(super) fn css(theme: &PublicTheme) -> askama::Result<String> {
    let sheet = Sheet {
        light: variables(&theme.light),
        dark: variables(&theme.dark),
    };
    sheet.render()
}

fn variables(palette: &PublicPalette) -> String {
    let PublicPalette {
        background,
        text,
        quiet,
        line,
        accent,
        up,
        degraded,
        down,
    } = palette;
    let all = [
        ("background", background),
        ("text", text),
        ("quiet", quiet),
        ("line", line),
        ("accent", accent),
        ("up", up),
        ("degraded", degraded),
        ("down", down),
    ];
    let declarations = all.into_iter().filter(|(_, colour)| is_colour(colour));
    declarations
        .map(|(name, colour)| format!("--{name}: {colour};"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a text is a colour and nothing else.
pub(super) fn is_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit()))
}
