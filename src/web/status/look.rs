//! How the configuration wants the status page to look.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::{Palette, Status, Theme};

use super::model::{PublicLink, PublicPalette, PublicTheme};

/// Returns the links of the page.
pub(super) fn links(status: &Status) -> Vec<PublicLink> {
    let links = status.links.iter();
    links
        .map(|link| PublicLink {
            text: link.text.clone(),
            url: link.url.to_string(),
        })
        .collect()
}

/// Returns its colours and its logo.
pub(super) fn theme(theme: &Theme) -> PublicTheme {
    let logo = theme.logo.as_ref();
    PublicTheme {
        light: palette(&theme.light),
        dark: palette(&theme.dark),
        logo: logo.map(|logo| data_url(logo.kind.media_type(), &logo.bytes)),
    }
}

/// Returns a logo as the address of itself.
fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes))
}

fn palette(palette: &Palette) -> PublicPalette {
    let Palette {
        background,
        text,
        accent,
        up,
        degraded,
        down,
    } = palette;
    PublicPalette {
        background: background.to_string(),
        text: text.to_string(),
        quiet: palette.quiet().to_string(),
        line: palette.line().to_string(),
        accent: accent.to_string(),
        up: up.to_string(),
        degraded: degraded.to_string(),
        down: down.to_string(),
    }
}
