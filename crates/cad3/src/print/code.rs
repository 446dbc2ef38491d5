//! Printing of compiled operations and functions, in the format of the peer's own library.

use std::fmt::{self, Write};

use crate::cell::items::{Item, Items};
use crate::cell::{Cell, Node};
use crate::tag;

use super::Printer;

impl Printer<'_, '_> {
    /// Prints an operation with any number of operands.
    pub(super) fn operations(&mut self, open: &str, node: &Node) -> fmt::Result {
        self.out.write_str(open)?;
        for item in Items::new(node) {
            self.out.write_char(' ')?;
            let (Item::Value(cell) | Item::Missing(cell)) = item;
            self.cell(cell)?;
        }
        self.out.write_char(')')
    }

    /// Prints a compiled operation as code.
    pub(super) fn operation(&mut self, node: &Node, cell: &Cell) -> fmt::Result {
        let [code, value] = &*node.children else {
            return self.raw(cell);
        };
        match (node.tag, code, value) {
            (0xc0, Cell::Bool(false), value) => self.cell(value),
            (0xc0, Cell::Flag(flag), Cell::Tree(operands)) => match (flag.tag(), operands.tag) {
                (0xba, tag::VECTOR) => self.operations("(try", operands),
                (0xbb, tag::VECTOR) => self.operations("(query", operands),
                (0xbf, 0xdf) => self.cell(value),
                _ => self.raw(cell),
            },
            (0xc0, Cell::Integer(position), value) => {
                write!(self.out, "(set! %{position} ")?;
                self.cell(value)?;
                self.out.write_char(')')
            }
            (0xc1, address, Cell::Symbol(_)) => {
                if !address.is_nil() {
                    self.cell(address)?;
                    self.out.write_char('/')?;
                }
                self.cell(value)
            }
            (0xc2 | 0xc3, Cell::Tree(names), Cell::Tree(operands))
                if names.tag == tag::VECTOR
                    && operands.tag == tag::VECTOR
                    && names.count <= operands.count =>
            {
                self.out.write_str(if node.tag == 0xc2 {
                    "(let ["
                } else {
                    "(loop ["
                })?;
                self.bindings(names, operands)
            }
            (0xcd, Cell::Symbol(_) | Cell::Tree(_), value) => {
                self.out.write_str("(def ")?;
                self.cell(code)?;
                self.out.write_char(' ')?;
                self.cell(value)?;
                self.out.write_char(')')
            }
            _ => self.raw(cell),
        }
    }

    /// Prints the rest of `let` and `loop` after the opening bracket, with the spacing of the
    /// peer's library: `a 1  b 2 ]  body)`.
    pub(super) fn bindings(&mut self, names: &Node, operands: &Node) -> fmt::Result {
        let mut operands = Items::new(operands).map(|item| {
            let (Item::Value(cell) | Item::Missing(cell)) = item;
            cell
        });
        for (index, (name, operand)) in Items::new(names).zip(operands.by_ref()).enumerate() {
            if index > 0 {
                self.out.write_char(' ')?;
            }
            let (Item::Value(name) | Item::Missing(name)) = name;
            self.cell(name)?;
            self.out.write_char(' ')?;
            self.cell(operand)?;
            self.out.write_char(' ')?;
        }
        self.out.write_str("] ")?;
        for operand in operands {
            self.out.write_char(' ')?;
            self.cell(operand)?;
        }
        self.out.write_char(')')
    }

    /// Prints a function: a single closure, or several that differ in the number of arguments.
    pub(super) fn function(&mut self, node: &Node, cell: &Cell) -> fmt::Result {
        if let Some((parameters, body)) = closure(node) {
            self.out.write_str("(fn ")?;
            self.closure(parameters, body)?;
            return self.out.write_char(')');
        }
        // Only a leaf is read: no real function has more than 16 closures, and a tree of shared
        // nodes can claim any number.
        let parts = node.children.iter().map(|part| match part {
            Cell::Tree(part) if part.tag == 0xdf => closure(part),
            _ => None,
        });
        let parts: Option<Vec<_>> = parts.collect();
        let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
            return self.raw(cell);
        };
        self.out.write_str("(fn ")?;
        for (index, (parameters, body)) in parts.into_iter().enumerate() {
            self.out.write_str(if index > 0 { " (" } else { "(" })?;
            self.closure(parameters, body)?;
            self.out.write_char(')')?;
        }
        self.out.write_char(')')
    }

    pub(super) fn closure(&mut self, parameters: &Node, body: &Cell) -> fmt::Result {
        self.sequence("[", parameters, "] ")?;
        self.cell(body)
    }
}

/// Returns parameters and body of a function record `[false parameters environment body]`.
fn closure(node: &Node) -> Option<(&Node, &Cell)> {
    match &*node.children {
        [Cell::Bool(false), Cell::Tree(parameters), _, body] if parameters.tag == tag::VECTOR => {
            Some((parameters, body))
        }
        _ => None,
    }
}
