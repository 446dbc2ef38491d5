//! What a client accepts, by the weights in its headers.

use axum::http::{HeaderMap, HeaderName, header};

use crate::metrics::Format;

/// One choice of a list in a header.
struct Choice<'a> {
    name: &'a str,
    /// Of a media type.
    version: Option<&'a str>,
    /// 0 excludes it.
    weight: f32,
}

/// Returns the format of the exposition that the client prefers, the first one of several; the text
/// format if it names none that there is.
pub(super) fn exposition_format(headers: &HeaderMap) -> Format {
    let formats = choices(headers, header::ACCEPT)
        .filter(|choice| choice.weight > 0.0)
        .filter_map(|choice| {
            let format = match choice.name.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => (Format::OpenMetrics, "1.0.0"),
                "text/plain" | "text/*" | "*/*" => (Format::Text, "0.0.4"),
                _ => return None,
            };
            let (format, version) = format;
            let fits = choice.version.is_none_or(|wanted| wanted == version);
            fits.then_some((choice.weight, format))
        });
    // Of equal ones, this is the first.
    let preferred = formats.min_by(|(one, _), (other, _)| other.total_cmp(one));
    preferred.map_or(Format::Text, |(_, format)| format)
}

/// Whether the client accepts gzip: it is listed, and not with the weight 0.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    choices(headers, header::ACCEPT_ENCODING)
        .any(|choice| choice.name.eq_ignore_ascii_case("gzip") && choice.weight > 0.0)
}

fn choices(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Choice<'_>> {
    let values = headers.get_all(name).into_iter();
    let lists = values.filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(|choice| {
        let mut parts = choice.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let mut choice = Choice {
            name,
            version: None,
            weight: 1.0,
        };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.to_ascii_lowercase().as_str() {
                "version" => choice.version = Some(value.trim_matches('"')),
                "q" => choice.weight = value.parse().unwrap_or(1.0),
                _ => {}
            }
        }
        choice
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_used_only_for_clients_that_accept_it() {
        for (accept_encoding, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("identity", false),
            ("gzip;q=0, identity", false),
            ("gzip; q=0.000", false),
            ("x-gzip-like", false),
        ] {
            let headers = headers(header::ACCEPT_ENCODING, accept_encoding);
            assert_eq!(accepts_gzip(&headers), expected, "{accept_encoding}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn open_metrics_is_for_clients_that_prefer_it_to_the_text_format() {
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "Application/OpenMetrics-Text;version=\"1.0.0\"",
            // Prometheus 2 and 3.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "text/html, application/openmetrics-text;q=0.2, */*;q=0.1",
            "application/openmetrics-text, text/plain",
        ] {
            let format = exposition_format(&headers(header::ACCEPT, accept));
            assert_eq!(format, Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn all_other_clients_get_the_text_format() {
        for accept in [
            "*/*",
            "",
            "application/json",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0, text/plain;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.3,text/plain;version=0.0.4;q=0.4",
            "application/openmetrics-text;q=0.3,*/*;q=0.4",
            "text/plain, application/openmetrics-text",
        ] {
            let format = exposition_format(&headers(header::ACCEPT, accept));
            assert_eq!(format, Format::Text, "{accept}");
        }
        assert_eq!(exposition_format(&HeaderMap::new()), Format::Text);
    }
}
