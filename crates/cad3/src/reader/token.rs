//! Tokens of query text: names, numbers, strings and characters.

use std::str::FromStr;

use num_bigint::BigInt;

use crate::MAX_NAME_BYTES;
use crate::cell::{Cell, CodePoint, Name};

use super::ReadError;

/// The unread rest of the text, with its position.
#[derive(Clone)]
pub(super) struct Text<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Text<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            line: 1,
            column: 1,
        }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> ReadError {
        ReadError {
            line: self.line,
            column: self.column,
            problem: problem.into(),
        }
    }

    /// Returns the position as `line:column`.
    pub(super) fn position(&self) -> String {
        format!("{}:{}", self.line, self.column)
    }

    pub(super) const fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        if next == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    pub(super) fn starts_with(&self, mark: &str) -> bool {
        self.rest.starts_with(mark)
    }

    /// Skips `mark` and returns true if the rest starts with it.
    pub(super) fn eat(&mut self, mark: &str) -> bool {
        let found = self.starts_with(mark);
        if found {
            mark.chars().for_each(|_| {
                self.next();
            });
        }
        found
    }

    pub(super) fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let start = self.rest;
        while self.peek().is_some_and(&accept) {
            self.next();
        }
        &start[..start.len() - self.rest.len()]
    }

    /// Skips blanks, commas and line comments.
    pub(super) fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\n' | '\r' | '\t' | ','));
            if self.peek() != Some(';') {
                return;
            }
            self.take_while(|c| c != '\n' && c != '\r');
        }
    }

    /// Reads the name at the cursor, or returns an empty text if there is none.
    pub(super) fn name(&mut self) -> &'a str {
        if !self.peek().is_some_and(starts_name) {
            return "";
        }
        self.take_while(|c| starts_name(c) || c.is_ascii_digit() || matches!(c, ':' | '#'))
    }

    /// Reads a number, a Blob, a Symbol, `nil`, `true` or `false`.
    pub(super) fn atom(&mut self) -> Result<Cell, ReadError> {
        let at = self.clone();
        let mut unsigned = self.rest.strip_prefix('-').unwrap_or(self.rest).chars();
        if unsigned.next().is_some_and(|c| c.is_ascii_digit()) {
            let token = self.take_while(|c| {
                !matches!(
                    c,
                    ' ' | '\t' | '\n' | '\r' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}'
                )
            });
            return number(token).map_err(|problem| at.error(problem));
        }
        if self.eat("/") {
            return Ok(Cell::symbol("/"));
        }
        match self.name() {
            "" => {
                let found = self.peek().map(String::from).unwrap_or_default();
                Err(at.error(format!("expected a form, found {found:?}")))
            }
            "nil" => Ok(Cell::Nil),
            "true" => Ok(Cell::Bool(true)),
            "false" => Ok(Cell::Bool(false)),
            name => match Name::new(name.as_bytes()) {
                Some(name) => Ok(Cell::Symbol(name)),
                None => Err(at.error(format!(
                    "symbol of {} bytes, at most {MAX_NAME_BYTES}",
                    name.len()
                ))),
            },
        }
    }

    pub(super) fn keyword(&mut self) -> Result<Cell, ReadError> {
        let at = self.clone();
        self.eat(":");
        // Any more colons are part of the name.
        let colons = self.take_while(|c| c == ':');
        let name = if self.eat("/") { "/" } else { self.name() };
        if name.is_empty() {
            return Err(at.error("expected a name after :"));
        }
        let name = format!("{colons}{name}");
        match Name::new(name.as_bytes()) {
            Some(name) => Ok(Cell::Keyword(name)),
            None => Err(at.error(format!(
                "keyword of {} bytes, at most {MAX_NAME_BYTES}",
                name.len()
            ))),
        }
    }

    pub(super) fn character(&mut self) -> Result<Cell, ReadError> {
        let at = self.clone();
        self.eat("\\");
        let token = self.take_while(|c| c.is_ascii_alphanumeric());
        let character = match token {
            "newline" => '\n',
            "return" => '\r',
            "space" => ' ',
            "tab" => '\t',
            "formfeed" => '\u{c}',
            "backspace" => '\u{8}',
            "" => self
                .next()
                .ok_or_else(|| at.error("expected a character after \\"))?,
            _ => {
                let mut letters = token.chars();
                match (letters.next(), letters.as_str()) {
                    (Some(letter), "") => letter,
                    (Some('u'), digits) if digits.len() == 4 => u32::from_str_radix(digits, 16)
                        .ok()
                        .and_then(char::from_u32)
                        .ok_or_else(|| at.error(format!("\\{token} is not a character")))?,
                    _ => {
                        return Err(at.error(format!(
                            "unknown character \\{token}; expected a single character, \\newline, \
                             \\return, \\space, \\tab, \\formfeed, \\backspace or \\u00e9"
                        )));
                    }
                }
            }
        };
        let point = CodePoint::new(character.into()).ok_or_else(|| at.error("not a character"))?;
        Ok(Cell::Char(point))
    }

    pub(super) fn string(&mut self) -> Result<Cell, ReadError> {
        let start = self.clone();
        self.eat("\"");
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != '"' && c != '\\'));
            let at = self.clone();
            match self.next() {
                Some('"') => return Ok(Cell::string(&text)),
                Some(_) => text.push(self.escape(&at)?),
                None => return Err(start.error("the string has no closing quote")),
            }
        }
    }

    /// Reads an escape sequence in a string, after the backslash.
    fn escape(&mut self, at: &Text<'_>) -> Result<char, ReadError> {
        Ok(match self.peek() {
            Some('u') => return self.unicode_escape(at),
            Some('0'..='7') => {
                // One to three octal digits, at most 377.
                let mut value = 0;
                for _ in 0..3 {
                    let Some(digit) = self
                        .peek()
                        .and_then(|c| c.to_digit(8))
                        .filter(|d| value * 8 + d <= 0xff)
                    else {
                        break;
                    };
                    value = value * 8 + digit;
                    self.next();
                }
                return char::from_u32(value).ok_or_else(|| at.error("not a character"));
            }
            Some(letter) => {
                self.next();
                match letter {
                    'b' => '\u{8}',
                    't' => '\t',
                    'n' => '\n',
                    'f' => '\u{c}',
                    'r' => '\r',
                    '"' | '\'' | '\\' => letter,
                    _ => {
                        let known = r#"\b \t \n \f \r \" \' \\ \u00e9 or \377"#;
                        return Err(at.error(format!(
                            "unknown escape \\{letter} in a string; expected {known}"
                        )));
                    }
                }
            }
            None => return Err(at.error("the text ends after a backslash")),
        })
    }

    /// Reads `u` and four hex digits, twice with a backslash between for a character above ffff, as
    /// in Java.
    fn unicode_escape(&mut self, at: &Text<'_>) -> Result<char, ReadError> {
        let first = self.utf16_unit(at)?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) && self.eat("\\") {
            units.push(self.utf16_unit(at)?);
        }
        match char::decode_utf16(units)
            .collect::<Result<Vec<_>, _>>()
            .as_deref()
        {
            Ok([character]) => Ok(*character),
            _ => Err(at.error(format!("\\u{first:04x} is an unpaired surrogate"))),
        }
    }

    fn utf16_unit(&mut self, at: &Text<'_>) -> Result<u16, ReadError> {
        let digits = self.rest.strip_prefix('u').and_then(|rest| rest.get(..4));
        let unit = digits
            .filter(|d| d.chars().all(|c| c.is_ascii_hexdigit()))
            .and_then(|d| u16::from_str_radix(d, 16).ok());
        let unit = unit.ok_or_else(|| at.error("expected four hex digits after \\u"))?;
        (0..5).for_each(|_| {
            self.next();
        });
        Ok(unit)
    }
}

/// Returns whether a name may start with `c`. Later characters may also be digits, `:` and `#`; `/`
/// is a name only on its own.
fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic()
        || matches!(
            c,
            '.' | '*' | '+' | '!' | '-' | '_' | '?' | '$' | '%' | '&' | '=' | '<' | '>'
        )
}

/// Parses an integer, a double or a Blob.
fn number(token: &str) -> Result<Cell, String> {
    if let Some(digits) = token.strip_prefix("0x") {
        return match hex::decode(digits) {
            Ok(bytes) => Ok(Cell::blob(&bytes)),
            Err(hex::FromHexError::OddLength) => Err(format!(
                "expected an even number of hex digits in a blob, found {}",
                digits.len()
            )),
            Err(error) => Err(format!("invalid blob {token}: {error}")),
        };
    }
    let unsigned = token.strip_prefix('-').unwrap_or(token);
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if all_digits(unsigned) {
        let big = BigInt::from_str(token).map_err(|error| error.to_string())?;
        return Cell::big_integer(&big).ok_or_else(|| "integer of more than 4096 bytes".to_owned());
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix('-').unwrap_or(exponent)),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_double = [whole, fraction, exponent].into_iter().all(all_digits);
    match token.parse() {
        Ok(value) if is_double => Ok(Cell::Double(value)),
        _ => Err(format!(
            "invalid number {token}; expected for example 12, -3, 1.5, 1.5e3 or 0x12ab"
        )),
    }
}
