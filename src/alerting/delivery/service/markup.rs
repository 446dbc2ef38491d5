//! Text in the markup of a service. What comes from outside (names, errors, hosts) is escaped, so
//! that it mentions nobody and breaks nothing, and is cut between characters, never within what
//! stands for one.

use convex_client::is_deceptive;

use super::super::incident::{AlertText, Content};

/// Stands for what was cut.
const ELLIPSIS: &str = "…";

/// An invisible character that keeps what follows an `@` from being a mention.
const NO_MENTION: char = '\u{200b}';

/// Longest title of one alert, characters.
const MAX_TITLE_CHARS: usize = 200;

/// Longest note about one alert, characters.
const MAX_NOTE_CHARS: usize = 300;

/// Least room for a description that is worth having, in units of the limit.
const MIN_DESCRIPTION: usize = 80;

/// The markup of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup {
    /// No markup.
    Plain,
    /// Markdown as Discord has it.
    Discord,
    /// Text without formatting, in which Slack still reads `&`, `<` and `>`.
    Slack,
    /// HTML as Telegram has it.
    Telegram,
}

/// How a service measures the length of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// UTF-16 code units: at least the number of characters, however a service counts those.
    Utf16,
    /// Bytes of UTF-8.
    Byte,
}

/// A limit on the length of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) max: usize,
    pub(super) unit: Unit,
}

impl Unit {
    fn of(self, text: &str) -> usize {
        match self {
            Self::Utf16 => text.chars().map(char::len_utf16).sum(),
            Self::Byte => text.len(),
        }
    }
}

impl Limit {
    pub(super) const fn chars(max: usize) -> Self {
        Self {
            max,
            unit: Unit::Utf16,
        }
    }

    pub(super) const fn bytes(max: usize) -> Self {
        Self {
            max,
            unit: Unit::Byte,
        }
    }

    const fn with_max(self, max: usize) -> Self {
        Self { max, ..self }
    }
}

impl Markup {
    /// Escapes a text and cuts it to a limit, with an ellipsis.
    pub(super) fn escape(self, text: &str, limit: Limit) -> String {
        let mut escaped = String::new();
        let mut used = 0;
        // Where to cut if it does not fit: with room for the ellipsis.
        let ellipsis = limit.unit.of(ELLIPSIS);
        let room = limit.max.saturating_sub(ellipsis);
        let mut cut = 0;
        for c in text.chars().filter_map(visible) {
            if used <= room {
                cut = escaped.len();
            }
            let start = escaped.len();
            self.push(c, &mut escaped);
            used += limit.unit.of(&escaped[start..]);
            if used > limit.max {
                escaped.truncate(cut);
                if limit.max >= ellipsis {
                    escaped.push_str(ELLIPSIS);
                }
                return escaped;
            }
        }
        escaped
    }

    /// Appends a character so that it has no other meaning.
    fn push(self, c: char, out: &mut String) {
        match (self, c) {
            (Self::Slack | Self::Telegram, '&') => out.push_str("&amp;"),
            (Self::Slack | Self::Telegram, '<') => out.push_str("&lt;"),
            (Self::Slack | Self::Telegram, '>') => out.push_str("&gt;"),
            (Self::Telegram, '"') => out.push_str("&quot;"),
            (
                Self::Discord,
                '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '[' | ']' | '(' | ')',
            ) => {
                out.push('\\');
                out.push(c);
            }
            (Self::Discord | Self::Telegram | Self::Slack, '@') => {
                out.push(c);
                out.push(NO_MENTION);
            }
            _ => out.push(c),
        }
    }

    /// Makes an escaped text stand out.
    fn bold(self, escaped: &str) -> String {
        match self {
            Self::Discord => format!("**{escaped}**"),
            Self::Telegram => format!("<b>{escaped}</b>"),
            Self::Plain | Self::Slack => escaped.to_owned(),
        }
    }

    /// Formats a link.
    fn link(self, label: &str, url: &str) -> String {
        match self {
            Self::Discord => format!("[{label}](<{}>)", self.escape_url(url)),
            Self::Telegram => format!("<a href=\"{}\">{label}</a>", self.escape_url(url)),
            Self::Plain | Self::Slack => format!("{label}: {}", self.escape_url(url)),
        }
    }

    /// Escapes a URL, which is never cut.
    pub(super) fn escape_url(self, url: &str) -> String {
        let url = url
            .replace('@', "%40")
            .replace('<', "%3C")
            .replace('>', "%3E")
            .replace('"', "%22");
        match self {
            Self::Slack | Self::Telegram => url.replace('&', "&amp;"),
            Self::Plain | Self::Discord => url,
        }
    }

    /// Describes the alerts of a message within a limit, the worst in full, and counts those for
    /// which there is no room. `links`: whether each has links, which other fields carry otherwise.
    pub(super) fn body(self, content: &Content, limit: Limit, links: bool) -> String {
        let counted = |described: usize| {
            let left = content.alerts.len() - described;
            let own = (left > 0).then(|| format!("{left} not shown"));
            let others = (!content.others.is_empty()).then(|| content.others.clone());
            let parts: Vec<String> = own.into_iter().chain(others).collect();
            (!parts.is_empty()).then(|| format!("And {}.", parts.join(", ")))
        };
        let mut text = String::new();
        for (i, alert) in content.alerts.iter().enumerate() {
            let rest = counted(i + 1).map_or(0, |it| limit.unit.of(&it) + 2);
            let used = limit.unit.of(&text) + if i > 0 { 2 } else { 0 };
            let room = limit.max.saturating_sub(used + rest);
            let Some(block) = self.block(alert, limit.with_max(room), links) else {
                let rest = counted(i).unwrap_or_default();
                return self.append(text, &rest, limit);
            };
            if i > 0 {
                text.push_str("\n\n");
            }
            text.push_str(&block);
        }
        match counted(content.alerts.len()) {
            Some(rest) => self.append(text, &rest, limit),
            None => text,
        }
    }

    /// Appends a paragraph as far as there is room.
    fn append(self, mut text: String, more: &str, limit: Limit) -> String {
        let separator = if text.is_empty() { "" } else { "\n\n" };
        let used = limit.unit.of(&text) + separator.len();
        let room = limit.max.saturating_sub(used);
        let more = self.escape(more, limit.with_max(room));
        if !more.is_empty() {
            text.push_str(separator);
            text.push_str(&more);
        }
        text
    }

    /// Describes one alert; none if there is no room.
    fn block(self, alert: &AlertText, limit: Limit, links: bool) -> Option<String> {
        let chars = Limit::chars;
        let title = format!("{}: {}", alert.level.word(), alert.title);
        let mut block = self.bold(&self.escape(&title, chars(MAX_TITLE_CHARS)));
        if !alert.note.is_empty() {
            block.push('\n');
            block.push_str(&self.escape(&alert.note, chars(MAX_NOTE_CHARS)));
        }
        let links = if links {
            let page = self.link("Page", &alert.page_url);
            let runbook = self.link("Runbook", &alert.runbook_url);
            let separator = match self {
                Self::Discord | Self::Telegram => " · ",
                Self::Plain | Self::Slack => "\n",
            };
            format!("\n{page}{separator}{runbook}")
        } else {
            String::new()
        };
        let used = limit.unit.of(&block) + limit.unit.of(&links);
        if used > limit.max {
            return None;
        }
        let room = limit.max - used;
        if !alert.description.is_empty() && room >= MIN_DESCRIPTION {
            block.push('\n');
            block.push_str(&self.escape(&alert.description, limit.with_max(room - 1)));
        }
        Some(block + &links)
    }
}

/// Returns how a character of a text of one line is shown; none if it is invisible and changes how
/// others are read.
fn visible(c: char) -> Option<char> {
    let separates = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    match c {
        _ if separates => Some(' '),
        c if is_deceptive(c) => None,
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Markup; 4] = [
        Markup::Plain,
        Markup::Discord,
        Markup::Slack,
        Markup::Telegram,
    ];

    #[test]
    fn what_has_a_meaning_is_escaped() {
        let hostile = "<!channel> @everyone **b** [x](y) & \"q\" <b>`c`\n# h\u{202e}z";
        let plain = Markup::Plain.escape(hostile, Limit::chars(500));
        assert_eq!(
            plain,
            "<!channel> @everyone **b** [x](y) & \"q\" <b>`c` # hz"
        );
        assert_eq!(
            Markup::Slack.escape(hostile, Limit::chars(500)),
            "&lt;!channel&gt; @\u{200b}everyone **b** [x](y) &amp; \"q\" &lt;b&gt;`c` # hz"
        );
        assert_eq!(
            Markup::Telegram.escape(hostile, Limit::chars(500)),
            "&lt;!channel&gt; @\u{200b}everyone **b** [x](y) &amp; &quot;q&quot; &lt;b&gt;`c` # hz"
        );
        assert_eq!(
            Markup::Discord.escape(hostile, Limit::chars(500)),
            "\\<!channel\\> @\u{200b}everyone \\*\\*b\\*\\* \\[x\\]\\(y\\) & \"q\" \
             \\<b\\>\\`c\\` \\# hz"
        );
    }

    proptest! {
        #[test]
        fn a_text_is_cut_at_the_limit_and_never_within_an_escape(
            text in "[a&<>@*\u{e9}\u{1f600}]{0,40}", max in 0_usize..60, bytes in any::<bool>()
        ) {
            let limit = if bytes { Limit::bytes(max) } else { Limit::chars(max) };
            for markup in ALL {
                let cut = markup.escape(&text, limit);
                prop_assert!(limit.unit.of(&cut) <= max, "{markup:?} {cut}");
                let whole = markup.escape(&text, Limit::chars(10_000));
                if cut == whole {
                    continue;
                }
                let kept = cut.strip_suffix(ELLIPSIS).unwrap_or(&cut);
                let is_prefix = text
                    .char_indices()
                    .map(|(end, _)| markup.escape(&text[..end], Limit::chars(10_000)))
                    .any(|prefix| prefix == kept);
                prop_assert!(is_prefix, "{markup:?} {cut} of {whole}");
                prop_assert!(cut.ends_with(ELLIPSIS) || max < 3, "{markup:?} {cut}");
            }
        }
    }
}
