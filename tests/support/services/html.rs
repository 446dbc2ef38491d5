//! The part of HTML that Telegram reads.

/// Returns the text that is shown.
pub(super) fn shown(text: &str) -> Result<String, String> {
    let mut shown = String::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '<' => {
                let (tag, after) = rest[1..].split_once('>').ok_or("a tag without an end")?;
                if let Some(name) = tag.strip_prefix('/') {
                    if open.pop() != Some(name) {
                        return Err(format!("unexpected end tag {name:?}"));
                    }
                } else {
                    let name = tag.split(' ').next().unwrap_or_default();
                    let is_known = tag == "b" || tag == "i" || is_link(tag);
                    if !is_known {
                        return Err(format!("unsupported start tag {tag:?}"));
                    }
                    open.push(name);
                }
                rest = after;
            }
            '&' => {
                let (name, after) = rest[1..]
                    .split_once(';')
                    .ok_or("an entity without an end")?;
                shown.push(match name {
                    "lt" => '<',
                    "gt" => '>',
                    "amp" => '&',
                    "quot" => '"',
                    _ => return Err(format!("unknown entity {name:?}")),
                });
                rest = after;
            }
            '>' => return Err("an unescaped >".to_owned()),
            c => {
                shown.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    if let Some(tag) = open.pop() {
        return Err(format!("can't find end tag of {tag:?}"));
    }
    Ok(shown)
}

fn is_link(tag: &str) -> bool {
    let url = tag
        .strip_prefix("a href=\"")
        .and_then(|it| it.strip_suffix('"'));
    url.is_some_and(|url| url.starts_with("http") && !url.contains('"'))
}
