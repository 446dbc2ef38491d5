//! Hides the parts of URLs that can be secret.

/// Stands for a secret where URLs and settings are printed.
pub const SECRET: &str = "<secret>";

/// Returns a URL, or a text that was meant to be one, without what can be secret: user name and
/// password, path, query and fragment. Keys of hosted services stand in any of them.
#[must_use]
pub fn mask_url(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    if rest.contains('@') {
        // A password can contain any character, also those that end a host.
        return scheme + SECRET;
    }
    // The parser takes a backslash for a slash.
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (host, more) = rest.split_at(end);
    match more {
        "" | "/" => scheme + rest,
        _ => format!("{scheme}{host}/{SECRET}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_and_port_are_shown_and_nothing_else() {
        for (text, expected) in [
            ("https://peer.example:8080", "https://peer.example:8080"),
            ("tcp://[::1]:18888", "tcp://[::1]:18888"),
            ("http://peer.example/", "http://peer.example/"),
            ("http://peer.example/s3cret", "http://peer.example/<secret>"),
            (
                "http://peer.example?key=s3cret",
                "http://peer.example/<secret>",
            ),
            ("http://peer.example#s3cret", "http://peer.example/<secret>"),
            (
                "http://peer.example\\s3cret",
                "http://peer.example/<secret>",
            ),
            ("http://me:s3cret@peer.example/", "http://<secret>"),
            ("http://me:s3/cret@peer.example/", "http://<secret>"),
            ("peer.example/s3cret", "peer.example/<secret>"),
            ("me:s3cret@peer.example", "<secret>"),
            ("", ""),
        ] {
            assert_eq!(mask_url(text), expected);
        }
    }
}
