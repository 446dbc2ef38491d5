//! Problems in a configuration, each with its position, one line each. They never quote a secret.

use std::fmt;

/// A position in a file, counted as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A problem. Displays as `file:line:column: path.to.key: what is wrong; what would be right`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: String,
    /// Position in the file; `None` if the file could not be read.
    pub position: Option<Position>,
    /// The key, as in `peers[0].interval`; empty for the file as a whole.
    pub path: String,
    /// The problem, then what would be right; one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Number of problems that are kept of one configuration. A generated file can have one on every
/// line, and nobody reads them all.
const MAX_PROBLEMS: usize = 100;

/// Longest path and message of a problem, in characters: both can quote the file.
const MAX_TEXT_CHARS: usize = 1_000;

/// The first hundred problems by file and position, and the number of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    kept: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    pub(super) fn push(&mut self, mut problem: Problem) {
        clip(&mut problem.path);
        clip(&mut problem.message);
        self.kept.push(problem);
        // Not each time, because it sorts.
        if self.kept.len() >= 2 * MAX_PROBLEMS {
            self.shorten();
        }
    }

    pub(super) fn append(&mut self, others: Self) {
        self.omitted += others.omitted;
        others
            .kept
            .into_iter()
            .for_each(|problem| self.push(problem));
    }

    /// Drops the problems after the first [`MAX_PROBLEMS`].
    pub(super) fn shortened(mut self) -> Self {
        if self.kept.len() > MAX_PROBLEMS {
            self.shorten();
        }
        self
    }

    fn shorten(&mut self) {
        self.sort();
        self.omitted += self.kept.len().saturating_sub(MAX_PROBLEMS);
        self.kept.truncate(MAX_PROBLEMS);
    }

    fn sort(&mut self) {
        self.kept
            .sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns one line per problem, and one about the problems that are not kept.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let omitted = (self.omitted > 0).then(|| format!("and {} more", self.omitted));
        self.kept.iter().map(ToString::to_string).chain(omitted)
    }
}

fn clip(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
        text.truncate(end);
        text.push('…');
    }
}

/// The problems of an invalid configuration; at least one. Displays as one problem per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(Problems);

impl Errors {
    pub(super) fn new(mut problems: Problems) -> Self {
        problems.sort();
        Self(problems.shortened())
    }

    pub(super) fn into_problems(self) -> Problems {
        self.0
    }

    /// Returns the first problems in file order.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0.kept
    }

    /// Returns the number of problems that [`Self::problems`] lacks.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.0.omitted
    }
}

impl From<Problem> for Errors {
    fn from(problem: Problem) -> Self {
        let mut problems = Problems::default();
        problems.push(problem);
        Self(problems)
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, line) in self.0.lines().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
