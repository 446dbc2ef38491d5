//! The core functions that simulated peers know.

use cad3::{Cell, Hash, encode};
use num_bigint::BigInt;

use crate::state::{SUPPLY, State, record_field};

use super::{Evaluator, QueryError, Value};

/// A core function, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CoreFunction(&'static str);

const NAMES: [&str; 26] = [
    "+",
    "-",
    "*",
    "/",
    "<=",
    "=",
    "account",
    "balance",
    "coin-supply",
    "conj",
    "count",
    "encoding",
    "exp",
    "get",
    "get-in",
    "get-peer-stake",
    "hash",
    "keys",
    "mapv",
    "max",
    "min",
    "nth",
    "reduce",
    "slice",
    "str?",
    "values",
];

impl CoreFunction {
    /// Returns the function with this name.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|known| **known == name)
            .map(|known| Self(known))
    }

    pub(super) const fn name(self) -> &'static str {
        self.0
    }

    /// Calls the function.
    pub(super) fn call<'f>(
        self,
        evaluator: &mut Evaluator<'_>,
        arguments: Vec<Value<'f>>,
    ) -> Result<Value<'f>, QueryError> {
        // Functions whose arguments can be functions, or the state without turning it into a cell.
        match (self.0, arguments.as_slice()) {
            ("mapv", [function, collection]) => return mapv(evaluator, function, collection),
            ("reduce", [function, first, collection]) => {
                return reduce(evaluator, function, first, collection);
            }
            ("encoding", [Value::State]) => return Ok(Value::StateEncoding),
            ("hash", [Value::StateEncoding]) => {
                return Ok(Value::Cell(Cell::from(evaluator.state.hash)));
            }
            ("get", [structure, key]) => {
                let key = evaluator.to_cell(key.clone())?;
                return evaluator.look_up(structure, &key);
            }
            ("get-in", [structure, path]) => {
                let mut found = structure.clone();
                for key in items(&evaluator.to_cell(path.clone())?)? {
                    found = evaluator.look_up(&found, &key)?;
                }
                return Ok(found);
            }
            _ => {}
        }
        let cells = arguments.into_iter().map(|value| evaluator.to_cell(value));
        let cells: Vec<Cell> = cells.collect::<Result<_, _>>()?;
        self.apply(evaluator.state, &cells).map(Value::Cell)
    }

    /// Calls a function whose arguments are all cells.
    fn apply(self, state: &State, cells: &[Cell]) -> Result<Cell, QueryError> {
        match (self.0, cells) {
            ("+", cells) => arithmetic(cells, 0, |a, b| a + b, |a, b| a + b),
            ("*", cells) => arithmetic(cells, 1, |a, b| a * b, |a, b| a * b),
            ("-", [number]) => subtract(&Cell::integer(0), number),
            ("-", [first, rest @ ..]) => {
                let sum = arithmetic(rest, 0, |a, b| a + b, |a, b| a + b)?;
                subtract(first, &sum)
            }
            ("=", cells) => Ok(Cell::Bool(cells.windows(2).all(|pair| pair[0] == pair[1]))),
            ("<=", cells) => {
                let numbers = integers(cells)?;
                Ok(Cell::Bool(numbers.is_sorted()))
            }
            ("min", [_, ..]) => {
                let min = integers(cells)?.into_iter().min();
                Ok(min.map_or(Cell::Nil, Cell::integer))
            }
            ("max", [_, ..]) => {
                let numbers = cells.iter().enumerate();
                let numbers = numbers.map(|(i, cell)| double(cell, i + 1));
                let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
                Ok(Cell::Double(numbers.into_iter().fold(f64::MIN, f64::max)))
            }
            ("/", [a, b]) => Ok(Cell::Double(double(a, 1)? / double(b, 2)?)),
            ("exp", [power]) => Ok(Cell::Double(double(power, 1)?.exp())),
            ("slice", [collection, from, to]) => slice(collection, from, to),
            ("str?", [cell]) => Ok(Cell::Bool(cell.kind() == "string")),
            ("account", [number]) => Ok(account(state, number)?.unwrap_or(Cell::Nil)),
            ("balance", [number]) => {
                let account = account(state, number)?;
                Ok(field(account.as_ref(), "balance"))
            }
            ("coin-supply", []) => Ok(Cell::integer(SUPPLY)),
            ("conj", [collection, more @ ..]) => {
                let items = items(collection)?;
                Ok(Cell::vector(items.into_iter().chain(more.iter().cloned())))
            }
            ("count", [Cell::Nil]) => Ok(Cell::integer(0)),
            ("count", [collection]) => match collection.count() {
                Some(count) => Ok(Cell::integer(i64::try_from(count).unwrap_or(i64::MAX))),
                None => Err(QueryError::cast(1, collection, "Countable")),
            },
            ("encoding", [cell]) => Ok(Cell::blob(&encode(cell))),
            ("get-peer-stake", [key]) => match key.as_hash() {
                Some(key) => Ok(own_stake(state, &key)),
                None => Err(QueryError::cast(1, key, "AccountKey")),
            },
            ("hash", [cell]) => match cell.as_blob() {
                Some(bytes) => Ok(Cell::from(Hash::of(&bytes))),
                None => Err(QueryError::cast(1, cell, "Blob")),
            },
            ("keys" | "values", [map]) => {
                let Some(entries) = map.entries() else {
                    return Err(QueryError::cast(1, map, "Map"));
                };
                let keys = self.0 == "keys";
                Ok(Cell::vector(entries.map(|(key, value)| {
                    if keys { key.clone() } else { value.clone() }
                })))
            }
            ("nth", [collection, index]) => {
                let Some(elements) = collection.as_elements() else {
                    return Err(QueryError::cast(1, collection, "Sequence"));
                };
                let Some(index) = index.as_i64() else {
                    return Err(QueryError::cast(2, index, "Long"));
                };
                let found = usize::try_from(index)
                    .ok()
                    .and_then(|index| elements.get(index));
                found
                    .cloned()
                    .ok_or_else(|| QueryError::new("BOUNDS", format!("Index: {index}")))
            }
            (name, cells) => {
                let arity = match name {
                    "coin-supply" => 0,
                    "nth" | "get" | "get-in" | "mapv" => 2,
                    "reduce" | "slice" => 3,
                    _ => 1,
                };
                Err(QueryError::arity(name, arity, cells.len()))
            }
        }
    }
}

fn integers(cells: &[Cell]) -> Result<Vec<i64>, QueryError> {
    let number = |(i, cell): (usize, &Cell)| {
        cell.as_i64()
            .ok_or_else(|| QueryError::cast(i + 1, cell, "Number"))
    };
    cells.iter().enumerate().map(number).collect()
}

/// Returns a part of a collection: an Index of an Index, otherwise a Vector.
fn slice(collection: &Cell, from: &Cell, to: &Cell) -> Result<Cell, QueryError> {
    let bounds = integers(&[from.clone(), to.clone()])?;
    let outside = || QueryError::new("BOUNDS", format!("Slice: {} {}", bounds[0], bounds[1]));
    let bound = |i: usize| usize::try_from(bounds[i]).map_err(|_| outside());
    let range = bound(0)?..bound(1)?;
    if let ("index", Some(entries)) = (collection.kind(), collection.entries()) {
        let count = collection.count().unwrap_or(0);
        if range.start > range.end || range.end as u64 > count {
            return Err(outside());
        }
        let part = entries.skip(range.start).take(range.len());
        return Cell::index(part.map(|(key, value)| (key.clone(), value.clone())))
            .ok_or_else(|| QueryError::cast(1, collection, "Countable"));
    }
    let items = items(collection)?;
    let part = items.get(range).ok_or_else(outside)?;
    Ok(Cell::vector(part.iter().cloned()))
}

/// Returns the elements of a collection. Those of a map are its entries, each as a vector of two.
pub(super) fn items(collection: &Cell) -> Result<Vec<Cell>, QueryError> {
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
    Err(QueryError::cast(1, collection, "Sequence"))
}

/// Returns the price of a byte of memory, in copper: the ratio of the pool's coins to its bytes.
#[expect(
    clippy::cast_precision_loss,
    reason = "the pool's amounts are far below 2^53"
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
    evaluator: &mut Evaluator<'_>,
    function: &Value<'f>,
    collection: &Value<'f>,
) -> Result<Value<'f>, QueryError> {
    let collection = evaluator.to_cell(collection.clone())?;
    let mut mapped = Vec::new();
    for item in items(&collection)? {
        let value = evaluator.call(function, vec![Value::Cell(item)])?;
        mapped.push(evaluator.to_cell(value)?);
    }
    Ok(Value::Cell(Cell::vector(mapped)))
}

fn reduce<'f>(
    evaluator: &mut Evaluator<'_>,
    function: &Value<'f>,
    first: &Value<'f>,
    collection: &Value<'f>,
) -> Result<Value<'f>, QueryError> {
    let collection = evaluator.to_cell(collection.clone())?;
    let mut reduced = first.clone();
    for item in items(&collection)? {
        reduced = evaluator.call(function, vec![reduced, Value::Cell(item)])?;
    }
    Ok(reduced)
}

fn account(state: &State, number: &Cell) -> Result<Option<Cell>, QueryError> {
    let address = number
        .as_address()
        .ok_or_else(|| QueryError::cast(1, number, "Address"))?;
    Ok(state.account(address))
}

fn field(record: Option<&Cell>, name: &str) -> Cell {
    record
        .and_then(|record| record_field(record, name))
        .unwrap_or(Cell::Nil)
}

/// Returns a peer's own stake with its rewards; nil for a key that is not registered. Simulated
/// peers have no delegated stake, so all rewards are their own.
fn own_stake(state: &State, key: &Hash) -> Cell {
    field(state.peer(key).as_ref(), "balance")
}

fn subtract(a: &Cell, b: &Cell) -> Result<Cell, QueryError> {
    match (as_big_int(a), as_big_int(b)) {
        (Some(a), Some(b)) => Ok(integer(&(a - b))),
        _ => Ok(Cell::Double(double(a, 1)? - double(b, 2)?)),
    }
}

/// Applies `exact` to integers, and `inexact` to numbers that are not all integers.
fn arithmetic(
    cells: &[Cell],
    start: i64,
    exact: impl Fn(BigInt, BigInt) -> BigInt,
    inexact: impl Fn(f64, f64) -> f64,
) -> Result<Cell, QueryError> {
    if let Some(numbers) = cells.iter().map(as_big_int).collect::<Option<Vec<_>>>() {
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

/// Returns a result of exact arithmetic. A peer allows 4096 bytes, which a monitor's query never
/// reaches.
fn integer(value: &BigInt) -> Cell {
    Cell::big_integer(value).unwrap_or(Cell::Nil)
}

/// Returns the value of an integer of any size.
fn as_big_int(cell: &Cell) -> Option<BigInt> {
    match cell {
        Cell::Integer(value) => Some(BigInt::from(*value)),
        Cell::BigInteger(value) => Some(value.to_bigint()),
        _ => None,
    }
}

fn double(cell: &Cell, position: usize) -> Result<f64, QueryError> {
    match cell {
        Cell::Double(value) => Ok(*value),
        Cell::Integer(_) => cell
            .as_f64()
            .ok_or_else(|| QueryError::cast(position, cell, "Double")),
        _ => Err(QueryError::cast(position, cell, "Number")),
    }
}
