//! The core functions that simulated peers know.

use cad3::{Cell, Hash, encode};
use num_bigint::BigInt;

use super::query::{Failed, Machine, Value, as_big, no_argument, wrong_arity};
use super::state::{SUPPLY, State};

/// A core function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Core(&'static str);

const NAMES: [&str; 23] = [
    "+",
    "-",
    "*",
    "<=",
    "=",
    "account",
    "balance",
    "coin-supply",
    "conj",
    "count",
    "encoding",
    "get",
    "get-in",
    "get-peer-stake",
    "hash",
    "keys",
    "mapv",
    "min",
    "nth",
    "reduce",
    "slice",
    "str?",
    "values",
];

impl Core {
    /// The function of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|known| **known == name)
            .map(|known| Self(known))
    }

    pub(super) const fn name(self) -> &'static str {
        self.0
    }

    /// Calls it.
    pub(super) fn call<'f>(
        self,
        machine: &mut Machine<'_>,
        arguments: Vec<Value<'f>>,
    ) -> Result<Value<'f>, Failed> {
        // Two that look at functions or at the state as such.
        match (self.0, arguments.as_slice()) {
            ("mapv", [function, collection]) => return mapv(machine, function, collection),
            ("reduce", [function, first, collection]) => {
                return reduce(machine, function, first, collection);
            }
            ("encoding", [Value::State]) => return Ok(Value::StateEncoding),
            ("hash", [Value::StateEncoding]) => {
                return Ok(Value::Cell(Cell::from(machine.state.hash)));
            }
            ("get", [within, key]) => {
                let key = machine.cell(key.clone())?;
                return machine.lookup(within, &key);
            }
            ("get-in", [within, path]) => {
                let mut found = within.clone();
                for key in items(&machine.cell(path.clone())?)? {
                    found = machine.lookup(&found, &key)?;
                }
                return Ok(found);
            }
            _ => {}
        }
        let cells = arguments.into_iter().map(|value| machine.cell(value));
        let cells: Vec<Cell> = cells.collect::<Result<_, _>>()?;
        self.of_cells(machine.state, &cells).map(Value::Cell)
    }

    fn of_cells(self, state: &State, cells: &[Cell]) -> Result<Cell, Failed> {
        match (self.0, cells) {
            ("+", cells) => arithmetic(cells, 0, |a, b| a + b, |a, b| a + b),
            ("*", cells) => arithmetic(cells, 1, |a, b| a * b, |a, b| a * b),
            ("-", [one]) => difference(&[Cell::integer(0), one.clone()]),
            ("-", [first, rest @ ..]) => {
                let rest = arithmetic(rest, 0, |a, b| a + b, |a, b| a + b)?;
                let both = [first.clone(), rest];
                difference(&both)
            }
            ("=", cells) => Ok(Cell::Bool(cells.windows(2).all(|pair| pair[0] == pair[1]))),
            ("<=", cells) => {
                let numbers = integers(cells)?;
                Ok(Cell::Bool(numbers.is_sorted()))
            }
            ("min", [_, ..]) => {
                let least = integers(cells)?.into_iter().min();
                Ok(least.map_or(Cell::Nil, Cell::integer))
            }
            ("slice", [collection, from, to]) => slice(collection, from, to),
            ("str?", [cell]) => Ok(Cell::Bool(cell.kind() == "string")),
            ("account", [number]) => Ok(account(state, number)?.unwrap_or(Cell::Nil)),
            ("balance", [number]) => {
                let account = account(state, number)?;
                Ok(field(account.as_ref(), "balance"))
            }
            ("coin-supply", []) => Ok(Cell::integer(SUPPLY)),
            ("conj", [collection, more @ ..]) => {
                let all = items(collection)?.into_iter().chain(more.iter().cloned());
                Ok(Cell::vector(all))
            }
            ("count", [Cell::Nil]) => Ok(Cell::integer(0)),
            ("count", [collection]) => match collection.count() {
                Some(count) => Ok(Cell::integer(i64::try_from(count).unwrap_or(i64::MAX))),
                None => Err(no_argument(1, collection, "Countable")),
            },
            ("encoding", [cell]) => Ok(Cell::blob(&encode(cell))),
            ("get-peer-stake", [key]) => match key.as_hash() {
                Some(key) => Ok(own_stake(state, &key)),
                None => Err(no_argument(1, key, "AccountKey")),
            },
            ("hash", [cell]) => match cell.as_blob() {
                Some(bytes) => Ok(Cell::from(Hash::of(&bytes))),
                None => Err(no_argument(1, cell, "Blob")),
            },
            ("keys" | "values", [map]) => {
                let Some(entries) = map.entries() else {
                    return Err(no_argument(1, map, "Map"));
                };
                let keys = self.0 == "keys";
                Ok(Cell::vector(entries.map(|(key, value)| {
                    if keys { key.clone() } else { value.clone() }
                })))
            }
            ("nth", [collection, index]) => {
                let Some(elements) = collection.as_elements() else {
                    return Err(no_argument(1, collection, "Sequence"));
                };
                let Some(index) = index.as_i64() else {
                    return Err(no_argument(2, index, "Long"));
                };
                let found = usize::try_from(index)
                    .ok()
                    .and_then(|index| elements.get(index));
                found
                    .cloned()
                    .ok_or_else(|| Failed::new("BOUNDS", format!("Index: {index}")))
            }
            (name, cells) => {
                let wants = match name {
                    "coin-supply" => 0,
                    "nth" | "get" | "get-in" | "mapv" => 2,
                    "reduce" | "slice" => 3,
                    _ => 1,
                };
                Err(wrong_arity(name, wants, cells.len()))
            }
        }
    }
}

fn integers(cells: &[Cell]) -> Result<Vec<i64>, Failed> {
    let number = |(i, cell): (usize, &Cell)| {
        cell.as_i64()
            .ok_or_else(|| no_argument(i + 1, cell, "Number"))
    };
    cells.iter().enumerate().map(number).collect()
}

/// A part of a collection: of an Index an Index, else a Vector.
fn slice(collection: &Cell, from: &Cell, to: &Cell) -> Result<Cell, Failed> {
    let bounds = integers(&[from.clone(), to.clone()])?;
    let outside = || Failed::new("BOUNDS", format!("Slice: {} {}", bounds[0], bounds[1]));
    let bound = |i: usize| usize::try_from(bounds[i]).map_err(|_| outside());
    let range = bound(0)?..bound(1)?;
    if let ("index", Some(entries)) = (collection.kind(), collection.entries()) {
        let entries: Vec<_> = entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let part = entries.get(range).ok_or_else(outside)?;
        return Cell::index(part.iter().cloned())
            .ok_or_else(|| no_argument(1, collection, "Countable"));
    }
    let all = items(collection)?;
    let part = all.get(range).ok_or_else(outside)?;
    Ok(Cell::vector(part.iter().cloned()))
}

/// The elements of a collection; of a map the entries, each as a vector of two.
pub(super) fn items(collection: &Cell) -> Result<Vec<Cell>, Failed> {
    match collection.kind() {
        "nil" => return Ok(Vec::new()),
        "vector" | "list" => {
            if let Some(elements) = collection.as_elements() {
                return Ok(elements.iter().cloned().collect());
            }
        }
        "map" | "index" => {
            if let Some(entries) = collection.entries() {
                let pair =
                    |(key, value): (&Cell, &Cell)| Cell::vector([key.clone(), value.clone()]);
                return Ok(entries.map(pair).collect());
            }
        }
        _ => {}
    }
    Err(no_argument(1, collection, "Sequence"))
}

/// Price of a byte of memory: what the pool's coins are to its bytes.
#[expect(
    clippy::cast_precision_loss,
    reason = "the pool's figures are far below 2^53"
)]
pub(super) fn memory_price(state: &State) -> Cell {
    let globals = state.field("globals").unwrap_or(Cell::Nil);
    let global = |i| {
        globals
            .as_elements()
            .and_then(|g| g.get(i))
            .and_then(Cell::as_i64)
    };
    match (global(3), global(4)) {
        (Some(bytes), Some(copper)) => Cell::Double(copper as f64 / bytes as f64),
        _ => Cell::Nil,
    }
}

fn mapv<'f>(
    machine: &mut Machine<'_>,
    function: &Value<'f>,
    collection: &Value<'f>,
) -> Result<Value<'f>, Failed> {
    let collection = machine.cell(collection.clone())?;
    let mut mapped = Vec::new();
    for item in items(&collection)? {
        let value = machine.call(function, vec![Value::Cell(item)])?;
        mapped.push(machine.cell(value)?);
    }
    Ok(Value::Cell(Cell::vector(mapped)))
}

fn reduce<'f>(
    machine: &mut Machine<'_>,
    function: &Value<'f>,
    first: &Value<'f>,
    collection: &Value<'f>,
) -> Result<Value<'f>, Failed> {
    let collection = machine.cell(collection.clone())?;
    let mut reduced = first.clone();
    for item in items(&collection)? {
        reduced = machine.call(function, vec![reduced, Value::Cell(item)])?;
    }
    Ok(reduced)
}

fn account(state: &State, number: &Cell) -> Result<Option<Cell>, Failed> {
    let address = number
        .as_address()
        .ok_or_else(|| no_argument(1, number, "Address"))?;
    Ok(state.account(address))
}

fn field(record: Option<&Cell>, name: &str) -> Cell {
    record
        .and_then(|record| super::state::record_field(record, name))
        .unwrap_or(Cell::Nil)
}

/// A peer's own stake with its rewards; nil for a key that is not registered. Nobody else has stake on a simulated peer,
/// so that all rewards are its own.
fn own_stake(state: &State, key: &Hash) -> Cell {
    field(state.peer(key).as_ref(), "balance")
}

fn difference(both: &[Cell; 2]) -> Result<Cell, Failed> {
    match both.each_ref().map(as_big) {
        [Some(a), Some(b)] => Ok(integer(&(a - b))),
        _ => Ok(Cell::Double(double(&both[0], 1)? - double(&both[1], 2)?)),
    }
}

fn arithmetic(
    cells: &[Cell],
    start: i64,
    exact: impl Fn(BigInt, BigInt) -> BigInt,
    inexact: impl Fn(f64, f64) -> f64,
) -> Result<Cell, Failed> {
    if let Some(numbers) = cells.iter().map(as_big).collect::<Option<Vec<_>>>() {
        return Ok(integer(
            &numbers.into_iter().fold(BigInt::from(start), exact),
        ));
    }
    let numbers = cells
        .iter()
        .enumerate()
        .map(|(i, cell)| double(cell, i + 1));
    let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
    let folded = numbers.into_iter().reduce(inexact);
    Ok(Cell::Double(folded.unwrap_or_default()))
}

/// A result of exact arithmetic. A peer's integers end at 4096 bytes, which no query of a monitor reaches.
fn integer(value: &BigInt) -> Cell {
    Cell::big_integer(value).unwrap_or(Cell::Nil)
}

fn double(cell: &Cell, position: usize) -> Result<f64, Failed> {
    match cell {
        Cell::Double(value) => Ok(*value),
        Cell::Integer(_) => cell
            .as_f64()
            .ok_or_else(|| no_argument(position, cell, "Double")),
        _ => Err(no_argument(position, cell, "Number")),
    }
}
