//! A configuration file while it is read: where it is, and every problem found in it so far.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use super::error::{Errors, Position, Problem, Problems};

/// Stands for a value that could not be read; the problem has been reported to the [`Source`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

/// Returns the value of an environment variable.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A file that is being read. Collects its problems, so that one run reports all of them.
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    /// Relative paths in the file start here.
    base_dir: &'a Path,
    /// The environment that texts may refer to; `None`: a dollar has no meaning.
    pub(super) env: Option<&'a Environment<'a>>,
    problems: RefCell<Problems>,
    warnings: RefCell<Problems>,
    /// Whether every user of the host can read the file; reset once this has been reported.
    pub(super) world_readable: Cell<bool>,
}

impl<'a> Source<'a> {
    /// A file whose texts may refer to environment variables.
    pub(super) fn new(file: &'a str, base_dir: &'a Path, env: &'a Environment<'a>) -> Self {
        Self {
            env: Some(env),
            ..Self::literal(file, base_dir)
        }
    }

    /// A file whose texts are taken literally.
    pub(super) fn literal(file: &'a str, base_dir: &'a Path) -> Self {
        Self {
            file,
            base_dir,
            env: None,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            world_readable: Cell::default(),
        }
    }

    /// Sets whether every user of the host can read the file; a secret in it is then reported.
    pub(super) fn world_readable(self, world_readable: bool) -> Self {
        self.world_readable.set(world_readable);
        self
    }

    pub(super) fn warn(&self, position: Position, message: String) {
        self.warnings.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            position: Some(position),
            path: String::new(),
            message,
        });
    }

    pub(super) fn take_warnings(&self) -> Problems {
        self.warnings.take().shortened()
    }

    /// Adds the warnings about another file that this one refers to.
    pub(super) fn add_warnings(&self, warnings: Problems) {
        self.warnings.borrow_mut().append(warnings);
    }

    pub(super) fn report(
        &self,
        position: Position,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Reported {
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            position: Some(position),
            path: path.into(),
            message: message.into(),
        });
        Reported
    }

    /// Adds the problems of another file that this one refers to.
    pub(super) fn report_all(&self, errors: impl Into<Errors>) -> Reported {
        let problems = errors.into().into_problems();
        self.problems.borrow_mut().append(problems);
        Reported
    }

    /// Returns the value, unless any problem was reported.
    pub(super) fn finish<T>(self, value: Result<T, Reported>) -> Result<T, Errors> {
        let problems = self.problems.into_inner();
        match value {
            Ok(value) if problems.is_empty() => Ok(value),
            _ => Err(Errors::new(problems)),
        }
    }

    /// Returns the path of a file named in this one.
    pub(super) fn resolve(&self, file: &str) -> PathBuf {
        self.base_dir.join(file)
    }
}
