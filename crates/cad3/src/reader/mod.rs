//! Reader for query text (section 6): turns source text into the form that a peer's own reader
//! would produce.

mod token;

use std::fmt;

use crate::cell::{Cell, Name};
use crate::decode::Limits;
use crate::message::decode_message;
use crate::tag;

use token::Text;

/// Maximum nesting of forms, and of cells in the resulting cell, where a form of many parts takes
/// several levels. Lower than the limit of messages, because a request adds levels around the form.
const MAX_NESTING: u16 = 100;

/// Reason why a text is not a form, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The problem, on one line without the position.
    pub problem: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.problem)
    }
}

impl std::error::Error for ReadError {}

/// Reads text that consists of one form, with optional blanks and comments around it.
///
/// # Errors
/// The text has no form, more than one form, or invalid syntax.
pub fn read(text: &str) -> Result<Cell, ReadError> {
    let mut reader = Reader {
        text: Text::new(text),
        nesting: 0,
    };
    reader.skip_blanks()?;
    if reader.text.at_end() {
        return Err(reader.text.error("expected a form, found none"));
    }
    let start = reader.text.clone();
    let form = reader.form()?;
    if form.depth() > MAX_NESTING {
        return Err(start.error(too_deep()));
    }
    reader.skip_blanks()?;
    if !reader.text.at_end() {
        return Err(reader.text.error(
            "expected a single form, found a second one; combine them with (do …) or [ … ]",
        ));
    }
    Ok(form)
}

fn too_deep() -> String {
    format!("nested too deep, at most {MAX_NESTING} levels")
}

struct Reader<'a> {
    text: Text<'a>,
    nesting: u16,
}

impl Reader<'_> {
    /// Skips blanks, line comments, and forms commented out with `#_`.
    fn skip_blanks(&mut self) -> Result<(), ReadError> {
        loop {
            self.text.skip_blanks();
            if !self.text.eat("#_") {
                return Ok(());
            }
            self.nested_form()?;
        }
    }

    /// Reads a form one level deeper, with optional blanks before it.
    fn nested_form(&mut self) -> Result<Cell, ReadError> {
        // `#_ #_ a b` nests too.
        self.nested(|reader| {
            reader.skip_blanks()?;
            reader.form()
        })
    }

    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if self.nesting == MAX_NESTING {
            return Err(self.text.error(too_deep()));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    /// Reads the form at the cursor.
    fn form(&mut self) -> Result<Cell, ReadError> {
        for (mark, name) in [
            ("'", "quote"),
            ("`", "quasiquote"),
            ("~@", "unquote-splicing"),
            ("~", "unquote"),
        ] {
            if self.text.eat(mark) {
                let form = self.nested_form()?;
                return Ok(Cell::list([Cell::symbol(name), form]));
            }
        }
        let mut form = self.primary()?;
        let mut path = 0;
        while self.text.peek() == Some('/') {
            let at = self.text.clone();
            self.text.eat("/");
            // Each step of a path is a list around the previous one.
            path += 1;
            if path + self.nesting > MAX_NESTING {
                return Err(at.error(too_deep()));
            }
            let name = if self.text.eat("/") {
                "/"
            } else {
                self.text.name()
            };
            let Some(name) = Name::new(name.as_bytes()) else {
                return Err(at.error("expected a name of 1 to 128 characters after /"));
            };
            form = Cell::list([Cell::symbol("lookup"), form, Cell::Symbol(name)]);
        }
        Ok(form)
    }

    fn primary(&mut self) -> Result<Cell, ReadError> {
        let at = self.text.clone();
        match self.text.peek() {
            None => Err(at.error("expected a form, found the end of the text")),
            Some('(') => Ok(Cell::list(self.forms("(", ')')?)),
            Some('[') => Ok(Cell::vector(self.forms("[", ']')?)),
            Some('{') => Ok(Cell::map(self.entries(&at)?)),
            Some('#') => self.hash_form(),
            Some('^') => {
                self.text.eat("^");
                let metadata = self.nested_form()?;
                let datum = self.nested_form()?;
                Ok(annotated(datum, &metadata))
            }
            Some('@') => {
                self.text.eat("@");
                let name = self.text.name();
                let Some(name) = Name::new(name.as_bytes()) else {
                    return Err(at.error("expected a name of 1 to 128 characters after @"));
                };
                Ok(Cell::list([Cell::symbol("resolve"), Cell::Symbol(name)]))
            }
            Some('"') => self.text.string(),
            Some('\\') => self.text.character(),
            Some(':') => self.text.keyword(),
            Some(_) => self.text.atom(),
        }
    }

    /// Reads forms up to a closing bracket.
    fn forms(&mut self, open: &str, close: char) -> Result<Vec<Cell>, ReadError> {
        let at = self.text.clone();
        self.text.eat(open);
        self.nested(|reader| {
            let mut forms = Vec::new();
            loop {
                reader.skip_blanks()?;
                match reader.text.peek() {
                    None => return Err(at.error(format!("{open} is not closed by {close}"))),
                    Some(found) if found == close => {
                        reader.text.next();
                        return Ok(forms);
                    }
                    Some(found @ (')' | ']' | '}')) => {
                        let opened = at.position();
                        let problem =
                            format!("expected {close} to close {open} at {opened}, found {found}");
                        return Err(reader.text.error(problem));
                    }
                    Some(_) => forms.push(reader.form()?),
                }
            }
        })
    }

    fn entries(&mut self, at: &Text<'_>) -> Result<Vec<(Cell, Cell)>, ReadError> {
        let forms = self.forms("{", '}')?;
        let number = forms.len();
        if !number.is_multiple_of(2) {
            return Err(at.error(format!(
                "expected an even number of keys and values, found {number} forms"
            )));
        }
        let mut forms = forms.into_iter();
        Ok(std::iter::from_fn(|| Some((forms.next()?, forms.next()?))).collect())
    }

    /// Reads a form that starts with `#`.
    fn hash_form(&mut self) -> Result<Cell, ReadError> {
        let at = self.text.clone();
        if self.text.starts_with("#{") {
            return Ok(Cell::set(self.forms("#{", '}')?));
        }
        if self.text.eat("#[") {
            return self.encoding(&at);
        }
        if self.text.eat("##") {
            return match self.text.name() {
                "NaN" => Ok(Cell::Double(f64::NAN)),
                "Inf" => Ok(Cell::Double(f64::INFINITY)),
                "-Inf" => Ok(Cell::Double(f64::NEG_INFINITY)),
                other => Err(at.error(format!(
                    "unknown number ##{other}; expected ##NaN, ##Inf or ##-Inf"
                ))),
            };
        }
        self.text.eat("#");
        let digits = self.text.take_while(|c| c.is_ascii_digit());
        if !digits.is_empty() {
            // Peers store an address as a signed long.
            return match digits.parse::<i64>() {
                Ok(number) => Ok(Cell::address(number.unsigned_abs())),
                Err(_) => Err(at.error(format!("address #{digits} is 2^63 or more"))),
            };
        }
        let tag = self.text.name();
        if tag != "Index" {
            return Err(at.error(
                "expected #12, #{…}, #[…], #_, #Index {…}, ##NaN, ##Inf or ##-Inf after #",
            ));
        }
        self.skip_blanks()?;
        let at = self.text.clone();
        if self.text.peek() != Some('{') {
            return Err(at.error("expected {…} after #Index"));
        }
        let rule = "a key of an #Index must be a blob, string, symbol, keyword or address";
        Cell::index(self.entries(&at)?).ok_or_else(|| at.error(rule))
    }

    /// Reads a cell given as its encoding, after `#[`.
    fn encoding(&mut self, at: &Text<'_>) -> Result<Cell, ReadError> {
        let digits = self.text.take_while(|c| c.is_ascii_hexdigit());
        if !self.text.eat("]") {
            return Err(self.text.error("expected hex digits and ] after #["));
        }
        let bytes = hex::decode(digits)
            .map_err(|_| at.error("expected an even number of hex digits after #["))?;
        let limits = Limits {
            max_depth: MAX_NESTING,
            ..Limits::default()
        };
        match decode_message(&bytes, &limits) {
            Ok(message) if message.is_complete() => Ok(message.top),
            Ok(_) => Err(at.error("incomplete cell: it refers to branches that are not in it")),
            Err(error) => Err(at.error(format!("invalid cell: {error}"))),
        }
    }
}

/// Adds metadata to a form: a map as it is, a keyword as a key with the value true, anything else
/// as `:tag`. Metadata that the form already has is kept.
fn annotated(datum: Cell, metadata: &Cell) -> Cell {
    let added = match metadata.entries() {
        Some(entries) if metadata.tag() == tag::MAP => entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        _ if matches!(metadata, Cell::Keyword(_)) => vec![(metadata.clone(), Cell::Bool(true))],
        _ => vec![(Cell::keyword("tag"), metadata.clone())],
    };
    match &datum {
        Cell::Tree(node) if node.tag == tag::SYNTAX => {
            let present = node.children[1].entries().into_iter().flatten();
            let present = present.map(|(key, value)| (key.clone(), value.clone()));
            Cell::syntax(node.children[0].clone(), present.chain(added))
        }
        _ => Cell::syntax(datum, added),
    }
}
