//! Evaluates queries on a state: the forms that a monitor sends (PEER-PROTOCOL, section 8). Not a
//! CVM: it knows a few core functions, changes nothing, and counts juice approximately.

mod error;
mod functions;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use cad3::{Cell, Extension, encode};

use super::state::{JUICE_PRICE, State, record_field};

pub(super) use error::QueryError;
use functions::CoreFunction;

/// Juice that a query can use, as on a real peer.
const MAX_JUICE: i64 = 10_000_000;
/// Juice of the parts of a form. With these the usual queries cost about as much as on a peer.
struct Juice {
    constant: i64,
    symbol: i64,
    call: i64,
    /// Each element of a vector.
    element: i64,
    attempt: i64,
}
/// Juice of a form, which a peer compiles and runs once.
const ONCE: Juice = Juice {
    constant: 25,
    symbol: 50,
    call: 375,
    element: 0,
    attempt: 0,
};
/// Juice in the body of a function, which is compiled already.
const COMPILED: Juice = Juice {
    constant: 5,
    symbol: 7,
    call: 25,
    element: 50,
    attempt: 300,
};
/// Longest trace of an error.
const MAX_TRACE_LINES: usize = 10;
/// Longest chain of nested forms. A peer allows more, and a monitor needs less.
const MAX_DEPTH: usize = 100;

/// The result of a query, and the juice it used.
pub(super) struct Answer {
    pub(super) outcome: Result<Cell, QueryError>,
    pub(super) juice: i64,
}

/// The value of a form during evaluation. The state and its encoding are large, so they become
/// cells only where a query returns them.
#[derive(Clone, Debug)]
enum Value<'f> {
    Cell(Cell),
    /// `*state*`
    State,
    /// `(encoding *state*)`
    StateEncoding,
    Core(CoreFunction),
    Function(Rc<Function<'f>>),
}

/// A function that the query defines, with the bindings at its definition.
#[derive(Debug)]
struct Function<'f> {
    parameters: &'f Cell,
    body: Vec<&'f Cell>,
    bindings: Bindings<'f>,
}

/// Names and their values, the innermost last.
type Bindings<'f> = Vec<(&'f str, Value<'f>)>;

/// Evaluates `form` on `state` as `account`.
pub(super) fn evaluate(state: &State, form: &Cell, account: u64) -> Answer {
    let mut evaluator = Evaluator {
        state,
        account,
        juice: 0,
        depth: 0,
        calls: 0,
    };
    let outcome = evaluator.eval(form, &Vec::new());
    let outcome = outcome.and_then(|value| evaluator.to_cell(value));
    Answer {
        outcome,
        juice: evaluator.juice.min(MAX_JUICE),
    }
}

/// The evaluation of one query.
struct Evaluator<'s> {
    state: &'s State,
    account: u64,
    juice: i64,
    depth: usize,
    /// Number of calls of the query's own functions that are being evaluated.
    calls: usize,
}

impl Evaluator<'_> {
    const fn prices(&self) -> &'static Juice {
        if self.calls == 0 { &ONCE } else { &COMPILED }
    }

    fn use_juice(&mut self, juice: i64) -> Result<(), QueryError> {
        self.juice = self.juice.saturating_add(juice);
        if self.juice > MAX_JUICE {
            return Err(QueryError::new("JUICE", "Out of juice!"));
        }
        Ok(())
    }

    /// Turns a value into a cell, for the reply or a collection.
    fn to_cell(&self, value: Value<'_>) -> Result<Cell, QueryError> {
        match value {
            Value::Cell(cell) => Ok(cell),
            Value::State => Ok(self.state.cell()),
            Value::StateEncoding => Ok(Cell::blob(&encode(&self.state.cell()))),
            Value::Core(core) => Ok(Cell::symbol(core.name())),
            Value::Function(_) => Err(QueryError::new(
                "ARGUMENT",
                "a function cannot be a value here",
            )),
        }
    }

    fn eval<'f>(
        &mut self,
        form: &'f Cell,
        bindings: &Bindings<'f>,
    ) -> Result<Value<'f>, QueryError> {
        if self.depth == MAX_DEPTH {
            return Err(QueryError::new(
                "DEPTH",
                format!("Invalid depth: {}", MAX_DEPTH + 1),
            ));
        }
        self.depth += 1;
        let result = match form.kind() {
            "symbol" => self.eval_symbol(form.as_symbol().unwrap_or_default(), bindings),
            "list" => self.eval_list(form, bindings),
            "vector" => self.eval_vector(form, bindings),
            _ => self.eval_constant(form),
        };
        self.depth -= 1;
        result
    }

    fn eval_constant<'f>(&mut self, form: &Cell) -> Result<Value<'f>, QueryError> {
        if let Cell::Extension(op) = form
            && op.tag() == Extension::SPECIAL
        {
            let name = match op.value() {
                2 => "*address*",
                7 => "*timestamp*",
                10 => "*state*",
                14 => "*juice-price*",
                21 => "*memory-price*",
                _ => {
                    return Err(QueryError::new(
                        "ARGUMENT",
                        "this operation is not simulated",
                    ));
                }
            };
            return self.eval_symbol(name, &Vec::new());
        }
        self.use_juice(self.prices().constant)?;
        Ok(Value::Cell(form.clone()))
    }

    fn eval_symbol<'f>(
        &mut self,
        name: &str,
        bindings: &Bindings<'f>,
    ) -> Result<Value<'f>, QueryError> {
        self.use_juice(self.prices().symbol)?;
        if let Some((_, value)) = bindings.iter().rev().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        let cell = match name {
            "*state*" => return Ok(Value::State),
            "*timestamp*" => Cell::integer(self.state.timestamp),
            "*juice-price*" => Cell::integer(JUICE_PRICE),
            "*memory-price*" => functions::memory_price(self.state),
            "*address*" => Cell::address(self.account),
            _ => {
                let function = CoreFunction::by_name(name).map(Value::Core);
                return function.ok_or_else(|| QueryError::new("UNDECLARED", name));
            }
        };
        Ok(Value::Cell(cell))
    }

    fn eval_vector<'f>(
        &mut self,
        form: &'f Cell,
        bindings: &Bindings<'f>,
    ) -> Result<Value<'f>, QueryError> {
        let forms = elements(form);
        self.use_juice(self.prices().element * to_i64(forms.len()))?;
        let cells = forms.into_iter().map(|form| {
            let value = self.eval(form, bindings)?;
            self.to_cell(value)
        });
        let cells: Vec<Cell> = cells.collect::<Result<_, _>>()?;
        Ok(Value::Cell(Cell::vector(cells)))
    }

    fn eval_list<'f>(
        &mut self,
        form: &'f Cell,
        bindings: &Bindings<'f>,
    ) -> Result<Value<'f>, QueryError> {
        let forms = elements(form);
        let Some((head, rest)) = forms.split_first() else {
            return self.eval_constant(form);
        };
        if let Some(name) = head.as_symbol()
            && !bindings.iter().any(|(known, _)| *known == name)
            && let Some(result) = self.eval_special_form(name, rest, bindings)
        {
            return result;
        }
        let function = match head.kind() {
            "keyword" => Value::Cell((*head).clone()),
            _ => self.eval(head, bindings)?,
        };
        let mut arguments = Vec::with_capacity(rest.len());
        for form in rest {
            arguments.push(self.eval(form, bindings)?);
        }
        self.call(&function, arguments).map_err(|mut error| {
            if !error.trace.is_empty() && error.trace.len() < MAX_TRACE_LINES {
                error
                    .trace
                    .push(format!("In expression: {}", form.printed(200)));
            }
            error
        })
    }

    /// Evaluates a form that is not a call; none if `name` is not a special form.
    fn eval_special_form<'f>(
        &mut self,
        name: &str,
        rest: &[&'f Cell],
        bindings: &Bindings<'f>,
    ) -> Option<Result<Value<'f>, QueryError>> {
        Some(match (name, rest) {
            ("quote", [datum]) => Ok(Value::Cell((*datum).clone())),
            ("fn", [parameters, body @ ..]) if parameters.kind() == "vector" => {
                Ok(Value::Function(Rc::new(Function {
                    parameters,
                    body: body.to_vec(),
                    bindings: bindings.clone(),
                })))
            }
            ("try", [first, others @ ..]) => {
                if let Err(error) = self.use_juice(self.prices().attempt) {
                    return Some(Err(error));
                }
                let mut result = self.eval(first, bindings);
                for other in others {
                    // A query without juice cannot continue.
                    if !matches!(&result, Err(error) if error.code != "JUICE") {
                        break;
                    }
                    result = self.eval(other, bindings);
                }
                result
            }
            ("do", body) => self.eval_body(body, bindings),
            ("if", [test, yes, no @ ..]) if no.len() < 2 => match self.eval(test, bindings) {
                Ok(Value::Cell(Cell::Nil | Cell::Bool(false))) => match no {
                    [no] => self.eval(no, bindings),
                    _ => Ok(Value::Cell(Cell::Nil)),
                },
                Ok(_) => self.eval(yes, bindings),
                Err(error) => Err(error),
            },
            ("let", [pairs, body @ ..]) if pairs.kind() == "vector" => {
                self.eval_let(pairs, body, bindings)
            }
            _ => return None,
        })
    }

    fn eval_body<'f>(
        &mut self,
        body: &[&'f Cell],
        bindings: &Bindings<'f>,
    ) -> Result<Value<'f>, QueryError> {
        let mut last = Value::Cell(Cell::Nil);
        for form in body {
            last = self.eval(form, bindings)?;
        }
        Ok(last)
    }

    fn eval_let<'f>(
        &mut self,
        pairs: &'f Cell,
        body: &[&'f Cell],
        bindings: &Bindings<'f>,
    ) -> Result<Value<'f>, QueryError> {
        let mut bindings = bindings.clone();
        for pair in elements(pairs).chunks(2) {
            let [pattern, form] = pair else {
                return Err(QueryError::new(
                    "SYNTAX",
                    "let needs an even number of binding forms",
                ));
            };
            let value = self.eval(form, &bindings)?;
            self.bind(pattern, value, &mut bindings)?;
        }
        self.eval_body(body, &bindings)
    }

    /// Binds the names in `pattern`, a symbol or a vector of patterns, to their values.
    fn bind<'f>(
        &mut self,
        pattern: &'f Cell,
        value: Value<'f>,
        bindings: &mut Bindings<'f>,
    ) -> Result<(), QueryError> {
        if let Some(name) = pattern.as_symbol() {
            bindings.push((name, value));
            return Ok(());
        }
        let patterns: Vec<&Cell> = match (pattern.kind(), pattern.as_elements()) {
            ("vector", Some(elements)) => elements.iter().collect(),
            _ => {
                return Err(QueryError::new(
                    "SYNTAX",
                    format!("not a binding form: {}", pattern.printed(100)),
                ));
            }
        };
        let values = functions::items(&self.to_cell(value)?)?;
        if values.len() != patterns.len() {
            return Err(QueryError::arity(
                "binding form",
                patterns.len(),
                values.len(),
            ));
        }
        for (pattern, value) in patterns.into_iter().zip(values) {
            self.bind(pattern, Value::Cell(value), bindings)?;
        }
        Ok(())
    }

    /// Calls a function, or looks up a keyword.
    fn call<'f>(
        &mut self,
        function: &Value<'f>,
        mut arguments: Vec<Value<'f>>,
    ) -> Result<Value<'f>, QueryError> {
        self.use_juice(self.prices().call)?;
        match function {
            Value::Core(core) => core.call(self, arguments).map_err(|mut error| {
                error
                    .trace
                    .push(format!("In core function: {}", core.name()));
                error
            }),
            Value::Function(function) => {
                let parameters = elements(function.parameters);
                if parameters.len() != arguments.len() {
                    return Err(QueryError::arity("fn", parameters.len(), arguments.len()));
                }
                let mut bindings = function.bindings.clone();
                for (pattern, value) in parameters.into_iter().zip(arguments.drain(..)) {
                    self.bind(pattern, value, &mut bindings)?;
                }
                self.calls += 1;
                let result = self.eval_body(&function.body, &bindings);
                self.calls -= 1;
                result
            }
            Value::Cell(key @ Cell::Keyword(_)) if matches!(arguments.len(), 1 | 2) => {
                let default = arguments.get(1).cloned();
                let found = self.look_up(&arguments[0], key)?;
                Ok(match (found, default) {
                    (Value::Cell(Cell::Nil), Some(default)) => default,
                    (found, _) => found,
                })
            }
            other => {
                let value = self.to_cell(other.clone())?;
                Err(QueryError::not_a_function(&value))
            }
        }
    }

    /// Returns the value of a key in a data structure; nil if the key is absent.
    fn look_up<'f>(&self, structure: &Value<'_>, key: &Cell) -> Result<Value<'f>, QueryError> {
        let found = match structure {
            Value::State => key.as_keyword().and_then(|name| self.state.field(name)),
            Value::Cell(Cell::Nil) => None,
            Value::Cell(record) if matches!(record.kind(), "state" | "account" | "peer") => {
                key.as_keyword().and_then(|name| record_field(record, name))
            }
            Value::Cell(map) if matches!(map.kind(), "map" | "index") => match key.as_hash() {
                Some(hash) if self.state.is_registry(map) => self.state.peer(&hash),
                _ => {
                    let mut entries = map.entries().into_iter().flatten();
                    entries
                        .find(|(found, _)| *found == key)
                        .map(|(_, value)| value.clone())
                }
            },
            Value::Cell(vector) if matches!(vector.kind(), "vector" | "list") => {
                let index = key.as_i64().and_then(|index| usize::try_from(index).ok());
                index.and_then(|index| vector.as_elements()?.get(index).cloned())
            }
            other => {
                let value = self.to_cell(other.clone())?;
                return Err(QueryError::cast(1, &value, "DataStructure"));
            }
        };
        Ok(Value::Cell(found.unwrap_or(Cell::Nil)))
    }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns the elements of a vector or list; none of anything else.
fn elements(form: &Cell) -> Vec<&Cell> {
    let elements = form.as_elements();
    elements.into_iter().flat_map(|it| it.iter()).collect()
}
