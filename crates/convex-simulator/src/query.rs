//! Answers queries from a state: the forms that a monitor asks (PEER-PROTOCOL, section 8). No CVM: it knows some core
//! functions, keeps nothing, and counts juice only roughly.

use std::rc::Rc;

use cad3::{Cell, Extension, encode};
use num_bigint::BigInt;

use super::functions::{self, Core};
use super::state::{JUICE_PRICE, State, record_field};

/// What a query may burn, as on a real peer.
const JUICE_LIMIT: i64 = 10_000_000;
/// Juice of a constant, of a symbol, and of a call: so that the usual queries cost about what they do on a peer.
const CONSTANT_JUICE: i64 = 25;
const SYMBOL_JUICE: i64 = 50;
const CALL_JUICE: i64 = 375;
/// Forms in forms; a peer goes deeper, a monitor does not.
const MAX_DEPTH: usize = 100;

/// What a query came to.
pub(super) struct Answer {
    pub(super) outcome: Result<Cell, Failed>,
    pub(super) juice: i64,
}

/// A query that failed, as the peer's reply tells it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failed {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Where it failed, innermost first.
    pub(super) trace: Vec<String>,
}

impl Failed {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            trace: Vec::new(),
        }
    }
}

/// What a form comes to while it is evaluated.
#[derive(Clone, Debug)]
pub(super) enum Value<'f> {
    Cell(Cell),
    /// `*state*`
    State,
    /// `(encoding *state*)`
    StateEncoding,
    Core(Core),
    Function(Rc<Function<'f>>),
}

#[derive(Debug)]
pub(super) struct Function<'f> {
    parameters: &'f Cell,
    body: Vec<&'f Cell>,
    names: Names<'f>,
}

/// What names mean in a place, the innermost last.
type Names<'f> = Vec<(&'f str, Value<'f>)>;

/// Evaluates `form` on `state` as `account`.
pub(super) fn answer(state: &State, form: &Cell, account: u64) -> Answer {
    let mut machine = Machine {
        state,
        account,
        juice: 0,
        depth: 0,
    };
    let outcome = machine.eval(form, &Vec::new());
    let outcome = outcome.and_then(|value| machine.cell(value));
    Answer {
        outcome,
        juice: machine.juice.min(JUICE_LIMIT),
    }
}

/// One query under way.
pub(super) struct Machine<'s> {
    pub(super) state: &'s State,
    account: u64,
    juice: i64,
    depth: usize,
}

impl Machine<'_> {
    pub(super) fn burn(&mut self, juice: i64) -> Result<(), Failed> {
        self.juice = self.juice.saturating_add(juice);
        if self.juice > JUICE_LIMIT {
            return Err(Failed::new("JUICE", "Out of juice!"));
        }
        Ok(())
    }

    /// A value as it stands in a reply, or in a collection.
    pub(super) fn cell(&self, value: Value<'_>) -> Result<Cell, Failed> {
        match value {
            Value::Cell(cell) => Ok(cell),
            Value::State => Ok(self.state.cell()),
            Value::StateEncoding => Ok(Cell::blob(&encode(&self.state.cell()))),
            Value::Core(core) => Ok(Cell::symbol(core.name())),
            Value::Function(_) => Err(Failed::new("ARGUMENT", "a function is no value here")),
        }
    }

    fn eval<'f>(&mut self, form: &'f Cell, names: &Names<'f>) -> Result<Value<'f>, Failed> {
        if self.depth == MAX_DEPTH {
            return Err(Failed::new(
                "DEPTH",
                format!("Invalid depth: {}", MAX_DEPTH + 1),
            ));
        }
        self.depth += 1;
        let result = match form.kind() {
            "symbol" => self.symbol(form.as_symbol().unwrap_or_default(), names),
            "list" => self.list(form, names),
            "vector" => self
                .each(form.as_elements().into_iter().flat_map(|e| e.iter()), names)
                .map(|cells| Value::Cell(Cell::vector(cells))),
            _ => self.constant(form),
        };
        self.depth -= 1;
        result
    }

    fn constant<'f>(&mut self, form: &Cell) -> Result<Value<'f>, Failed> {
        if let Cell::Extension(op) = form
            && op.tag() == Extension::SPECIAL
        {
            let name = match op.value() {
                2 => "*address*",
                7 => "*timestamp*",
                10 => "*state*",
                14 => "*juice-price*",
                21 => "*memory-price*",
                _ => return Err(Failed::new("ARGUMENT", "this operation is not simulated")),
            };
            return self.symbol(name, &Vec::new());
        }
        self.burn(CONSTANT_JUICE)?;
        Ok(Value::Cell(form.clone()))
    }

    fn symbol<'f>(&mut self, name: &str, names: &Names<'f>) -> Result<Value<'f>, Failed> {
        self.burn(SYMBOL_JUICE)?;
        if let Some((_, value)) = names.iter().rev().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        let cell = match name {
            "*state*" => return Ok(Value::State),
            "*timestamp*" => Cell::integer(self.state.timestamp),
            "*juice-price*" => Cell::integer(JUICE_PRICE),
            "*memory-price*" => functions::memory_price(self.state),
            "*address*" => Cell::address(self.account),
            _ => {
                let core = Core::named(name).map(Value::Core);
                return core.ok_or_else(|| Failed::new("UNDECLARED", name));
            }
        };
        Ok(Value::Cell(cell))
    }

    fn each<'f>(
        &mut self,
        forms: impl Iterator<Item = &'f Cell>,
        names: &Names<'f>,
    ) -> Result<Vec<Cell>, Failed> {
        forms
            .map(|form| {
                let value = self.eval(form, names)?;
                self.cell(value)
            })
            .collect()
    }

    fn list<'f>(&mut self, form: &'f Cell, names: &Names<'f>) -> Result<Value<'f>, Failed> {
        let forms: Vec<&Cell> = form
            .as_elements()
            .into_iter()
            .flat_map(|e| e.iter())
            .collect();
        let Some((head, rest)) = forms.split_first() else {
            return self.constant(form);
        };
        if let Some(name) = head.as_symbol()
            && !names.iter().any(|(known, _)| *known == name)
            && let Some(value) = self.special(name, rest, names)
        {
            return value;
        }
        let function = match head.kind() {
            "keyword" => Value::Cell((*head).clone()),
            _ => self.eval(head, names)?,
        };
        let mut arguments = Vec::with_capacity(rest.len());
        for form in rest {
            arguments.push(self.eval(form, names)?);
        }
        self.call(&function, arguments).map_err(|mut failed| {
            if !failed.trace.is_empty() && failed.trace.len() < 10 {
                failed
                    .trace
                    .push(format!("In expression: {}", form.printed(200)));
            }
            failed
        })
    }

    /// Forms whose parts are not evaluated one after another.
    fn special<'f>(
        &mut self,
        name: &str,
        rest: &[&'f Cell],
        names: &Names<'f>,
    ) -> Option<Result<Value<'f>, Failed>> {
        Some(match (name, rest) {
            ("quote", [datum]) => Ok(Value::Cell((*datum).clone())),
            ("fn", [parameters, body @ ..]) if parameters.kind() == "vector" => {
                Ok(Value::Function(Rc::new(Function {
                    parameters,
                    body: body.to_vec(),
                    names: names.clone(),
                })))
            }
            ("try", [first, others @ ..]) => {
                let mut result = self.eval(first, names);
                for other in others {
                    // What runs out of juice is out of it for good.
                    if !matches!(&result, Err(failed) if failed.code != "JUICE") {
                        break;
                    }
                    result = self.eval(other, names);
                }
                result
            }
            ("do", body) => self.body(body, names),
            ("if", [test, yes, no @ ..]) if no.len() < 2 => {
                let test = self.eval(test, names);
                match test {
                    Ok(Value::Cell(Cell::Nil | Cell::Bool(false))) => match no {
                        [no] => self.eval(no, names),
                        _ => Ok(Value::Cell(Cell::Nil)),
                    },
                    Ok(_) => self.eval(yes, names),
                    Err(failed) => Err(failed),
                }
            }
            ("let", [bindings, body @ ..]) if bindings.kind() == "vector" => {
                self.bound(bindings, body, names)
            }
            _ => return None,
        })
    }

    fn body<'f>(&mut self, body: &[&'f Cell], names: &Names<'f>) -> Result<Value<'f>, Failed> {
        let mut last = Value::Cell(Cell::Nil);
        for form in body {
            last = self.eval(form, names)?;
        }
        Ok(last)
    }

    fn bound<'f>(
        &mut self,
        bindings: &'f Cell,
        body: &[&'f Cell],
        names: &Names<'f>,
    ) -> Result<Value<'f>, Failed> {
        let mut names = names.clone();
        let bindings: Vec<&Cell> = bindings
            .as_elements()
            .into_iter()
            .flat_map(|e| e.iter())
            .collect();
        for pair in bindings.chunks(2) {
            let [pattern, form] = pair else {
                return Err(Failed::new(
                    "SYNTAX",
                    "let needs an even number of binding forms",
                ));
            };
            let value = self.eval(form, &names)?;
            self.bind(pattern, value, &mut names)?;
        }
        self.body(body, &names)
    }

    /// Gives the names in `pattern`, which is a symbol or a vector of patterns, their values.
    fn bind<'f>(
        &mut self,
        pattern: &'f Cell,
        value: Value<'f>,
        names: &mut Names<'f>,
    ) -> Result<(), Failed> {
        if let Some(name) = pattern.as_symbol() {
            names.push((name, value));
            return Ok(());
        }
        let patterns: Vec<&Cell> = match (pattern.kind(), pattern.as_elements()) {
            ("vector", Some(elements)) => elements.iter().collect(),
            _ => {
                return Err(Failed::new(
                    "SYNTAX",
                    format!("no binding form: {}", pattern.printed(100)),
                ));
            }
        };
        let values = functions::items(&self.cell(value)?)?;
        if values.len() != patterns.len() {
            return Err(wrong_arity("binding form", patterns.len(), values.len()));
        }
        for (pattern, value) in patterns.into_iter().zip(values) {
            self.bind(pattern, Value::Cell(value), names)?;
        }
        Ok(())
    }

    /// Calls a function, or looks up a keyword.
    pub(super) fn call<'f>(
        &mut self,
        function: &Value<'f>,
        mut arguments: Vec<Value<'f>>,
    ) -> Result<Value<'f>, Failed> {
        self.burn(CALL_JUICE)?;
        match function {
            Value::Core(core) => core.call(self, arguments).map_err(|mut failed| {
                failed
                    .trace
                    .push(format!("In core function: {}", core.name()));
                failed
            }),
            Value::Function(function) => {
                let parameters: Vec<&Cell> = function
                    .parameters
                    .as_elements()
                    .into_iter()
                    .flat_map(|e| e.iter())
                    .collect();
                if parameters.len() != arguments.len() {
                    return Err(wrong_arity("fn", parameters.len(), arguments.len()));
                }
                let mut names = function.names.clone();
                for (pattern, value) in parameters.into_iter().zip(arguments.drain(..)) {
                    self.bind(pattern, value, &mut names)?;
                }
                self.body(&function.body, &names)
            }
            Value::Cell(key @ Cell::Keyword(_)) if matches!(arguments.len(), 1 | 2) => {
                let otherwise = arguments.get(1).cloned();
                let found = self.lookup(&arguments[0], key)?;
                Ok(match (found, otherwise) {
                    (Value::Cell(Cell::Nil), Some(otherwise)) => otherwise,
                    (found, _) => found,
                })
            }
            other => {
                let shown = self.cell(other.clone())?;
                let message = format!(
                    "Can't convert value of type {} to type Function",
                    type_of(&shown)
                );
                Err(Failed::new("CAST", message))
            }
        }
    }

    /// What a data structure has under a key; nil where it has nothing.
    pub(super) fn lookup<'f>(&self, within: &Value<'_>, key: &Cell) -> Result<Value<'f>, Failed> {
        let found = match within {
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
                let shown = self.cell(other.clone())?;
                return Err(no_argument(1, &shown, "DataStructure"));
            }
        };
        Ok(Value::Cell(found.unwrap_or(Cell::Nil)))
    }
}

pub(super) fn wrong_arity(what: &str, wants: usize, has: usize) -> Failed {
    Failed::new(
        "ARITY",
        format!("{what} requires arity {wants} but called with: {has}"),
    )
}

/// An argument, by position from 1, that is of a wrong type.
pub(super) fn no_argument(position: usize, argument: &Cell, wanted: &str) -> Failed {
    let found = type_of(argument);
    let message = format!(
        "Can't convert argument at position {position} (with type {found}) to type {wanted}"
    );
    Failed::new("CAST", message)
}

/// The type as a peer's messages name it.
fn type_of(cell: &Cell) -> String {
    match cell.kind() {
        "nil" => "Nil".to_owned(),
        "int" | "bigint" => "Integer".to_owned(),
        "bool" => "Boolean".to_owned(),
        kind => {
            let (first, rest) = kind.split_at(1);
            first.to_uppercase() + rest
        }
    }
}

/// The number of an integer of any size.
pub(super) fn as_big(cell: &Cell) -> Option<BigInt> {
    match cell {
        Cell::Integer(value) => Some(BigInt::from(*value)),
        Cell::BigInteger(value) => Some(value.to_bigint()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::script::Script;
    use crate::world::{View, World};
    use cad3::reader;
    use convex_client::{POLL_QUERY, PollAnswer};

    use super::*;

    fn world() -> World {
        let mut world = World::new(2, 1, 1_800_000_000_000, Arc::new(Script::default()), None);
        world.publish(["tcp://127.0.0.1:1".into(), "tcp://127.0.0.1:3".into()].into());
        world
    }

    fn view() -> View {
        world().view(0, Duration::ZERO)
    }

    fn ask(text: &str) -> Result<String, Failed> {
        let form = reader::read(text).unwrap();
        let outcome = answer(&view().state, &form, 11).outcome;
        outcome.map(|cell| cell.printed(10_000).to_string())
    }

    #[test]
    fn the_forms_of_a_monitor_are_answered() {
        let key = world().key(0);
        let hash = view().state.hash;
        for (text, value) in [
            ("1", "1"),
            ("*timestamp*", "1799999998000"),
            ("(count (:accounts *state*))", "134"),
            ("(count (:peers *state*))", "2"),
            ("(count (:schedule *state*))", "0"),
            (
                "(:globals *state*)",
                "[1799999998000 0 10 672920000 1000000000000 999]",
            ),
            ("(nth (:globals *state*) 5)", "999"),
            ("*juice-price*", "10"),
            ("*memory-price*", "1486.0607501634668"),
            ("(coin-supply)", "1000000000000000000"),
            ("*address*", "#11"),
            ("(balance #132)", "1000000000000"),
            ("(balance #999999)", "nil"),
            ("(:balance (account #132))", "1000000000000"),
            (
                "(mapv (fn [a] (balance a)) [#132 #13])",
                "[1000000000000 0]",
            ),
            ("(mapv balance [#132 #13])", "[1000000000000 0]"),
            (
                "(get-in *state* [:peers 0x0000000000000000000000000000000000000000000000000000000000000001])",
                "nil",
            ),
            (
                "(reduce (fn [a p] (+ a (:balance p))) 0 (values (:peers *state*)))",
                "133200001000000",
            ),
            (
                "(reduce (fn [a x] (+ a (:sequence x))) 0 (:accounts *state*))",
                "0",
            ),
            (
                "(reduce (fn [a [k p]] (conj a (:stake p))) [] (:peers *state*))",
                "[66600000000000 66600000000000]",
            ),
            ("(count (keys (:peers *state*)))", "2"),
            (
                "[(+ 1 2) (- 5 7) (* 3 4) (- 3) (+ 1.5 1)]",
                "[3 -2 12 -3 2.5]",
            ),
            ("(* 9223372036854775807 2)", "18446744073709551614"),
            ("(try (no-such-thing) 7)", "7"),
            ("(if (= 1 1) :yes :no)", ":yes"),
            ("(let [[a b] [1 2] c 3] (do a (+ a b c)))", "6"),
            ("(get {:a 1} :a)", "1"),
            ("(:b {:a 1} 5)", "5"),
            (
                "[(<= 1 2 2) (<= 2 1) (min 3 1 2) (str? 1)]",
                "[true false 1 false]",
            ),
            ("(slice [1 2 3] 1 3)", "[2 3]"),
            ("(count (slice (:peers *state*) 0 1))", "1"),
            ("'(count x)", "(count x)"),
            ("(quote x)", "x"),
        ] {
            assert_eq!(ask(text).as_deref(), Ok(value), "{text}");
        }
        assert_eq!(ask("(hash (encoding *state*))").unwrap(), hash.to_string());
        assert_eq!(
            view().state.cell().hash(),
            hash,
            "it is the hash of the state"
        );
        assert_eq!(
            ask(&format!("(get-peer-stake {key})")).unwrap(),
            "66600000500000"
        );
        let by_key = format!("(mapv (fn [k] (get-peer-stake k)) [{key} {hash}])");
        assert_eq!(ask(&by_key).unwrap(), "[66600000500000 nil]");
        let url = format!("(get-in *state* [:peers {key} :metadata :url])");
        assert_eq!(ask(&url).unwrap(), "\"tcp://127.0.0.1:1\"");
        let row = format!(
            "[{key} #132 66600000000000 0 66600000500000 1799999997000 \"tcp://127.0.0.1:1\"]"
        );
        let rows = ask(
            "(mapv (fn [[k p]] [k (:controller p) (:stake p) (:delegated-stake p) (:balance p) (:timestamp p) \
             (get-in p [:metadata :url])]) (:peers *state*))",
        );
        assert!(
            rows.as_ref().unwrap().contains(&row),
            "{rows:?} has not {row}"
        );
    }

    #[test]
    fn the_agents_own_query_is_answered_in_full() {
        let view = view();
        let outcome = answer(&view.state, POLL_QUERY.form(), 11).outcome.unwrap();
        let figures = PollAnswer::from_cell(&outcome).unwrap();
        assert_eq!(figures.state_hash, Some(view.state.hash));
        assert_eq!(
            (figures.state_block, figures.accounts),
            (Some(999), Some(134))
        );
        assert_eq!(figures.registered_peers, Some(2));
    }

    #[test]
    fn an_error_has_the_code_and_the_text_of_a_real_peer() {
        for (text, code, message) in [
            ("*genesis*", "UNDECLARED", "*genesis*"),
            ("(get-peer-info)", "UNDECLARED", "get-peer-info"),
            ("(nth [1 2] 5)", "BOUNDS", "Index: 5"),
            (
                "(count)",
                "ARITY",
                "count requires arity 1 but called with: 0",
            ),
            (
                "(+ :a 1)",
                "CAST",
                "Can't convert argument at position 1 (with type Keyword) to type Number",
            ),
        ] {
            let failed = ask(text).unwrap_err();
            assert_eq!(
                (failed.code, failed.message.as_str()),
                (code, message),
                "{text}"
            );
        }
        assert_eq!(
            ask("(nth [1 2] 5)").unwrap_err().trace,
            ["In core function: nth", "In expression: (nth [1 2] 5)"]
        );
    }

    #[test]
    fn a_query_that_costs_too_much_runs_out_of_juice_and_one_too_deep_is_refused() {
        let mut form = "1".to_owned();
        for _ in 0..3 {
            form = format!("(mapv (fn [a] {form}) (:accounts *state*))");
        }
        assert_eq!(ask(&form).unwrap_err().code, "JUICE");
        assert_eq!(ask(&format!("(try {form} 1)")).unwrap_err().code, "JUICE");
        let deep = format!("{}1{}", "(+ ".repeat(99), ")".repeat(99));
        assert_eq!(ask(&deep).unwrap(), "1");
        let mut deeper = Cell::integer(1);
        for _ in 0..MAX_DEPTH {
            deeper = Cell::list([Cell::symbol("+"), deeper]);
        }
        assert_eq!(
            answer(&view().state, &deeper, 11).outcome.unwrap_err().code,
            "DEPTH"
        );
    }

    #[test]
    fn the_usual_queries_cost_about_what_they_do_on_a_peer() {
        for (text, real) in [
            ("*timestamp*", 50),
            ("(:globals *state*)", 425),
            ("(count (:accounts *state*))", 840),
        ] {
            let juice = answer(&view().state, &reader::read(text).unwrap(), 11).juice;
            assert!(
                (real * 9 / 10..=real * 11 / 10).contains(&juice),
                "{text}: {juice}"
            );
        }
    }
}
