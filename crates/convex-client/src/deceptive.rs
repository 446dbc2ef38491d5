//! The characters of untrusted text that no reader must get as they are.

/// Whether a character is invisible, or changes how others are displayed: control characters, marks
/// and overrides of the direction of text, joiners, and separators of lines.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_direction_are_deceptive_and_letters_are_not() {
        // All characters with the property Bidi_Control, and some others that are not seen.
        for c in "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{7}\u{1b}\u{9b}\u{200b}\u{2028}\u{feff}\u{e0041}".chars() {
            assert!(is_deceptive(c), "{c:?}");
        }
        for c in "a é ü\u{a0}\u{5d0}\u{627}\u{4e2d}\u{1f600}…–".chars() {
            assert!(!is_deceptive(c), "{c:?}");
        }
    }
}
