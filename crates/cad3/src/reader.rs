//! Query text to cells (section 6): what an operator writes in a configuration and a peer's own reader understands.

mod token;

use std::fmt;

use super::node::tag;
use super::{Cell, Limits, Name, decode_message};
use token::Text;

/// How deep forms may stand in forms, and cells in the cell that comes out: a form of many parts takes several levels.
/// Below what messages may have, since a request is wrapped around it.
const MAX_NESTING: u16 = 100;

/// Why a text is no form, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.problem)
    }
}

impl std::error::Error for ReadError {}

/// Reads a text that holds one form, and blanks and comments around it.
///
/// # Errors
/// When it holds none, more than one, or what is no form.
pub fn read(text: &str) -> Result<Cell, ReadError> {
    let mut reader = Reader {
        text: Text::new(text),
        nesting: 0,
    };
    reader.blanks()?;
    if reader.text.at_end() {
        return Err(reader.text.error("no form, one is needed"));
    }
    let start = reader.text.clone();
    let form = reader.form()?;
    if form.depth() > MAX_NESTING {
        return Err(start.error(too_deep()));
    }
    reader.blanks()?;
    if !reader.text.at_end() {
        return Err(reader
            .text
            .error("a second form, only one can be asked; (do …) or [ … ] make one of several"));
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
    /// Passes blanks, comments to the end of the line, and forms commented out by `#_`.
    fn blanks(&mut self) -> Result<(), ReadError> {
        loop {
            self.text.skip_blanks();
            if !self.text.eat("#_") {
                return Ok(());
            }
            self.blanks_then_form()?;
        }
    }

    fn blanks_then_form(&mut self) -> Result<Cell, ReadError> {
        // `#_ #_ a b` nests too.
        self.nested(|reader| {
            reader.blanks()?;
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

    /// The form at the cursor, where no blanks are.
    fn form(&mut self) -> Result<Cell, ReadError> {
        for (mark, name) in [
            ("'", "quote"),
            ("`", "quasiquote"),
            ("~@", "unquote-splicing"),
            ("~", "unquote"),
        ] {
            if self.text.eat(mark) {
                let form = self.blanks_then_form()?;
                return Ok(Cell::list([Cell::symbol(name), form]));
            }
        }
        let mut form = self.primary()?;
        let mut path = 0;
        while self.text.peek() == Some('/') {
            let at = self.text.clone();
            self.text.eat("/");
            // Each step is a list around the one before.
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
                return Err(
                    at.error("a path goes on with a name of 1 to 128 characters after its /")
                );
            };
            form = Cell::list([Cell::symbol("lookup"), form, Cell::Symbol(name)]);
        }
        Ok(form)
    }

    fn primary(&mut self) -> Result<Cell, ReadError> {
        let at = self.text.clone();
        match self.text.peek() {
            None => Err(at.error("the text ends where a form is needed")),
            Some('(') => Ok(Cell::list(self.forms("(", ')')?)),
            Some('[') => Ok(Cell::vector(self.forms("[", ']')?)),
            Some('{') => Ok(Cell::map(self.entries(&at)?)),
            Some('#') => self.hash(),
            Some('^') => {
                self.text.eat("^");
                let metadata = self.blanks_then_form()?;
                let datum = self.blanks_then_form()?;
                Ok(annotated(datum, &metadata))
            }
            Some('@') => {
                self.text.eat("@");
                let name = self.text.name();
                let Some(name) = Name::new(name.as_bytes()) else {
                    return Err(at.error("@ stands before a name of 1 to 128 characters"));
                };
                Ok(Cell::list([Cell::symbol("resolve"), Cell::Symbol(name)]))
            }
            Some('"') => self.text.string(),
            Some('\\') => self.text.character(),
            Some(':') => self.text.keyword(),
            Some(_) => self.text.atom(),
        }
    }

    /// Forms up to a closing mark.
    fn forms(&mut self, open: &str, close: char) -> Result<Vec<Cell>, ReadError> {
        let at = self.text.clone();
        self.text.eat(open);
        self.nested(|reader| {
            let mut forms = Vec::new();
            loop {
                reader.blanks()?;
                match reader.text.peek() {
                    None => return Err(at.error(format!("{open} has no {close}"))),
                    Some(found) if found == close => {
                        reader.text.next();
                        return Ok(forms);
                    }
                    Some(found @ (')' | ']' | '}')) => {
                        let opened = at.position();
                        let problem = format!("{found} where the {open} of {opened} needs {close}");
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
                "a map of {number} forms, keys and values need an even number"
            )));
        }
        let mut forms = forms.into_iter();
        Ok(std::iter::from_fn(|| Some((forms.next()?, forms.next()?))).collect())
    }

    /// What begins with `#`.
    fn hash(&mut self) -> Result<Cell, ReadError> {
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
                other => Err(at.error(format!("##{other} is none of ##NaN ##Inf ##-Inf"))),
            };
        }
        self.text.eat("#");
        let digits = self.text.take_while(|c| c.is_ascii_digit());
        if !digits.is_empty() {
            // An address is a signed long to a peer.
            return match digits.parse::<i64>() {
                Ok(number) => Ok(Cell::address(number.unsigned_abs())),
                Err(_) => Err(at.error(format!("address #{digits} is 2^63 or more"))),
            };
        }
        let tag = self.text.name();
        if tag != "Index" {
            return Err(
                at.error("# begins #12, #{…}, #[…], #_, #Index {…}, ##NaN, ##Inf or ##-Inf")
            );
        }
        self.blanks()?;
        let at = self.text.clone();
        if self.text.peek() != Some('{') {
            return Err(at.error("#Index stands before {…}"));
        }
        let rule = "a key of an #Index is a blob, string, symbol, keyword or address";
        Cell::index(self.entries(&at)?).ok_or_else(|| at.error(rule))
    }

    /// A cell given by its encoding, after `#[`.
    fn encoding(&mut self, at: &Text<'_>) -> Result<Cell, ReadError> {
        let digits = self.text.take_while(|c| c.is_ascii_hexdigit());
        if !self.text.eat("]") {
            return Err(self.text.error("#[ stands before hex digits and ]"));
        }
        let bytes = hex::decode(digits).map_err(|_| at.error("an odd number of hex digits"))?;
        let limits = Limits {
            max_depth: MAX_NESTING,
            ..Limits::default()
        };
        match decode_message(&bytes, &limits) {
            Ok(message) if message.is_complete() => Ok(message.top),
            Ok(_) => Err(at.error("no whole cell: it refers to branches that are not in it")),
            Err(error) => Err(at.error(format!("no cell: {error}"))),
        }
    }
}

/// A form with metadata: a map as it is, a keyword as one that is true, all else as a tag. Metadata of a form that has
/// some already joins it.
fn annotated(datum: Cell, metadata: &Cell) -> Cell {
    let own = match metadata.entries() {
        Some(entries) if metadata.tag() == tag::MAP => entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        _ if matches!(metadata, Cell::Keyword(_)) => vec![(metadata.clone(), Cell::Bool(true))],
        _ => vec![(Cell::keyword("tag"), metadata.clone())],
    };
    match &datum {
        Cell::Tree(node) if node.tag == tag::SYNTAX => {
            let before = node.children[1].entries().into_iter().flatten();
            let before = before.map(|(key, value)| (key.clone(), value.clone()));
            Cell::syntax(node.children[0].clone(), before.chain(own))
        }
        _ => Cell::syntax(datum, own),
    }
}
