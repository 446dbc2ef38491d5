//! The logo of the status page: a PNG or an SVG of limited size. Pages contain it as the data of an
//! `img`, where no browser runs scripts of an SVG, whatever serves the page.

use std::path::PathBuf;

use crate::config::file_read::read_file;
use crate::config::value::Value;

/// Largest logo, bytes: each page contains it.
const MAX_BYTES: u64 = 32 << 10;

/// The first bytes of every PNG.
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The logo of a status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// The file that it was read from.
    pub path: PathBuf,
    /// What it is.
    pub kind: LogoKind,
    /// The content of the file.
    pub bytes: Vec<u8>,
}

/// The type of a logo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoKind {
    /// A PNG.
    Png,
    /// An SVG.
    Svg,
}

impl LogoKind {
    /// Returns the media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Svg => "image/svg+xml",
        }
    }
}

/// Reads the file that the value names.
pub(super) fn logo(value: &Value) -> Result<Logo, String> {
    let path = value.path()?;
    let file = value.quoted_path(&path);
    let (bytes, _) =
        read_file(&path, MAX_BYTES).map_err(|error| format!("cannot read {file}: {error}"))?;
    let kind = kind(&bytes).ok_or_else(|| format!("{file} is neither a PNG nor an SVG"))?;
    Ok(Logo {
        path,
        kind,
        bytes: bytes.to_vec(),
    })
}

/// Recognises the type by the content: names can be wrong.
fn kind(bytes: &[u8]) -> Option<LogoKind> {
    if bytes.starts_with(PNG_SIGNATURE) {
        return Some(LogoKind::Png);
    }
    let text = str::from_utf8(bytes).ok()?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins_as_xml =
        text.starts_with("<svg") || text.starts_with("<?xml") || text.starts_with("<!");
    (begins_as_xml && text.contains("<svg")).then_some(LogoKind::Svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_says_what_a_logo_is() {
        let png = [PNG_SIGNATURE, b"rest"].concat();
        for (bytes, expected) in [
            (png.as_slice(), Some(LogoKind::Png)),
            (
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
                Some(LogoKind::Svg),
            ),
            (
                b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg/>",
                Some(LogoKind::Svg),
            ),
            (b"<!-- drawn --><svg/>", Some(LogoKind::Svg)),
            (b"<html><svg/></html>", None),
            (b"GIF89a", None),
            (b"\xff<svg/>", None),
            (b"", None),
        ] {
            assert_eq!(kind(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
