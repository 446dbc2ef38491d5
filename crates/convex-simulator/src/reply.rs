//! What a peer answers: messages of the binary protocol, and the Result of a query on either transport
//! (PEER-PROTOCOL, sections 3 and 4). Sends nothing.

use cad3::{Cell, Limits, decode_message};

use super::query::{self, Failed};
use super::script::{Queries, Release};
use super::state::{GENESIS_USER, JUICE_PRICE, record_field};
use super::world::View;

/// The record tag of a Result.
const RESULT: u8 = 0xdd;
/// Most hashes that one data request may have.
const MAX_HASHES: usize = 254;
/// What a query's transaction would cost besides its juice, copper, roughly.
const BASE_FEES: i64 = 12_000;

/// How a peer answers one message.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// At once, before what waits in the query queue.
    Now(Cell),
    /// When its turn in the query queue comes.
    Queued(Cell),
    Silence,
    HangUp,
}

/// What `view`'s peer answers to the content of one frame.
pub(super) fn turn(view: &View, content: &[u8]) -> Turn {
    let old = view.ailments.is_old();
    let message = match decode_message(content, &Limits::default()) {
        Ok(message) => message,
        Err(_) if old => return Turn::Silence,
        Err(error) => return Turn::Now(format_error(Cell::Nil, &error.to_string())),
    };
    let request = &message.top;
    if request.kind() != "vector" {
        return Turn::Silence;
    }
    let elements: Vec<&Cell> = request
        .as_elements()
        .into_iter()
        .flat_map(|e| e.iter())
        .collect();
    let keyword = elements.first().and_then(|first| first.as_keyword());
    let id = elements
        .get(1)
        .filter(|id| id.as_i64().is_some())
        .map(|id| (*id).clone());
    let unusable = if old { Turn::Silence } else { Turn::HangUp };
    match (keyword, id) {
        (Some("SR"), Some(id)) => Turn::Now(plain_result(id, status(view))),
        (Some("PING"), Some(id)) if !old => {
            Turn::Now(plain_result(id, Cell::integer(view.clock_ms)))
        }
        (Some("Q" | "DR"), _) if view.ailments.queries == Queries::Hanging => Turn::Silence,
        (Some("Q"), Some(id)) if elements.len() >= 4 && message.is_complete() => {
            let account = elements[3].as_address().unwrap_or(GENESIS_USER);
            Turn::Queued(query_result(view, id, elements[2], account))
        }
        (Some("DR"), Some(id)) => match data(view, &elements[2..]) {
            Some(found) => Turn::Queued(plain_result(id, found)),
            None => Turn::Silence,
        },
        (Some("Q" | "BYE"), _) => unusable,
        (Some("LQ"), Some(id)) if !old => Turn::Now(format_error(id, "Unrecognised message type")),
        (Some("TX" | "CH"), Some(id)) if !old => Turn::Now(format_error(id, "Bad Message Format!")),
        _ => Turn::Silence,
    }
}

fn result(id: Cell, value: Cell, error: Cell, log: Cell, info: Cell) -> Cell {
    Cell::record(RESULT, [id, value, error, log, info])
}

fn plain_result(id: Cell, value: Cell) -> Cell {
    result(id, value, Cell::Nil, Cell::Nil, Cell::Nil)
}

fn source() -> (Cell, Cell) {
    (Cell::keyword("source"), Cell::keyword("PEER"))
}

fn format_error(id: Cell, message: &str) -> Cell {
    let info = Cell::map([source()]);
    result(
        id,
        Cell::string(message),
        Cell::keyword("FORMAT"),
        Cell::Nil,
        info,
    )
}

/// A Result that tells of an error outside the query itself, as REST knows them.
pub(super) fn rest_error(code: &str, value: Cell) -> Cell {
    let info = Cell::map([source()]);
    result(
        Cell::integer(0),
        value,
        Cell::keyword(code),
        Cell::Nil,
        info,
    )
}

/// The Result of a query that `account` asks.
pub(super) fn query_result(view: &View, id: Cell, form: &Cell, account: u64) -> Cell {
    let no_log = Cell::vector([]);
    if let Queries::Failing(code) = &view.ailments.queries {
        let message = Cell::string("a simulated error");
        let info = info(view, 100, Some(&[]), account);
        return result(id, message, Cell::keyword(code), no_log, info);
    }
    let Some(record) = view.state.account(account) else {
        let info = Cell::map([
            (Cell::keyword("trace"), Cell::vector([])),
            (Cell::keyword("eaddr"), Cell::address(0)),
            source(),
        ]);
        let message = Cell::string("Query for non-existant account");
        return result(id, message, Cell::keyword("NOBODY"), no_log, info);
    };
    let poor = record_field(&record, "balance").and_then(|balance| balance.as_i64()) == Some(0);
    if poor && !view.ailments.is_old() {
        // The query is run as a transaction of the account, which pays in advance.
        let message = Cell::string("Out of juice!");
        let info = info(view, 0, None, account);
        return result(id, message, Cell::keyword("JUICE"), no_log, info);
    }
    let answer = query::answer(&view.state, form, account);
    match answer.outcome {
        Ok(value) => {
            let info = info(view, answer.juice, None, account);
            result(id, value, Cell::Nil, no_log, info)
        }
        Err(Failed {
            code,
            message,
            trace,
        }) => {
            let trace = (code != "JUICE").then_some(trace.as_slice());
            let info = info(view, answer.juice, trace, account);
            result(
                id,
                Cell::string(&message),
                Cell::keyword(code),
                no_log,
                info,
            )
        }
    }
}

fn info(view: &View, juice: i64, trace: Option<&[String]>, account: u64) -> Cell {
    let mut info = vec![source(), (Cell::keyword("juice"), Cell::integer(juice))];
    if !view.ailments.is_old() {
        let fees = juice * JUICE_PRICE + BASE_FEES;
        info.push((Cell::keyword("fees"), Cell::integer(fees)));
    }
    if let Some(trace) = trace {
        let lines = trace.iter().map(|line| Cell::string(line));
        info.push((Cell::keyword("trace"), Cell::vector(lines)));
        info.push((Cell::keyword("eaddr"), Cell::address(account)));
    }
    Cell::map(info)
}

/// The status over the binary protocol: a vector, a map at 0.9.
fn status(view: &View) -> Cell {
    if view.ailments.release == Release::Next {
        return status_map(view);
    }
    Cell::vector(status_fields(view).map(|(_, value)| value))
}

/// The status as a map, as REST tells it.
pub(super) fn status_map(view: &View) -> Cell {
    Cell::map(status_fields(view).map(|(name, value)| (Cell::keyword(name), value)))
}

fn status_fields(view: &View) -> [(&'static str, Cell); 9] {
    let [block, proposal, consensus, _] = view.levels.map(Cell::integer);
    let state = Cell::from(view.state.hash);
    [
        ("belief", Cell::from(view.belief)),
        ("states", state.clone()),
        ("genesis", Cell::from(view.genesis)),
        ("peer", Cell::from(view.key)),
        ("state", state),
        ("consensus-point", consensus),
        ("proposal-point", proposal),
        ("block-point", block),
        ("consensus", Cell::vector(view.levels.map(Cell::integer))),
    ]
}

/// A cell for each hash, nil where there is none; nothing when what is asked is no hash. Only the genesis state is there.
fn data(view: &View, hashes: &[&Cell]) -> Option<Cell> {
    if hashes.len() > MAX_HASHES {
        return None;
    }
    let found = hashes.iter().map(|hash| {
        let hash = hash.as_hash()?;
        Some(if hash == view.genesis {
            view.genesis_state.top_cell()
        } else {
            Cell::Nil
        })
    });
    Some(Cell::vector(found.collect::<Option<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::script::Script;
    use crate::world::World;
    use cad3::{encode_message, reader};
    use convex_client::{OrderPoints, Reply, Status};

    use super::*;

    fn view(faults: &[&str]) -> View {
        let script = Script::parse(faults.iter().copied(), 2).unwrap();
        World::new(2, 1, 1_800_000_000_000, Arc::new(script), None).view(0, Duration::ZERO)
    }

    fn told(view: &View, request: &str) -> Turn {
        turn(view, &encode_message(&reader::read(request).unwrap()))
    }

    fn printed(turn: &Turn) -> String {
        match turn {
            Turn::Now(reply) => format!("now {}", reply.printed(2000)),
            Turn::Queued(reply) => format!("in turn {}", reply.printed(2000)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_release_answers_requests_and_nonsense_in_its_own_way() {
        let [old, new] = [&["old-api:1"][..], &[]].map(view);
        for (request, by_old, by_new) in [
            (
                "[:PING 2]",
                "Silence",
                "now #Result {:id 2,:result 1800000000000}",
            ),
            ("[:ZZ 4]", "Silence", "Silence"),
            ("[]", "Silence", "Silence"),
            ("4", "Silence", "Silence"),
            ("(:SR 1)", "Silence", "Silence"),
            ("[:SR]", "Silence", "Silence"),
            ("[:SR nil]", "Silence", "Silence"),
            ("[:Q 1 1]", "Silence", "HangUp"),
            ("[:Q nil 1 nil]", "Silence", "HangUp"),
            ("[:BYE]", "Silence", "HangUp"),
            (
                "[:DR 3]",
                "in turn #Result {:id 3,:result []}",
                "in turn #Result {:id 3,:result []}",
            ),
            ("[:DR 3 0x00]", "Silence", "Silence"),
            (
                "[:LQ 4 []]",
                "Silence",
                "now #Result {:id 4,:result \"Unrecognised message type\",:error :FORMAT,:info {:source :PEER}}",
            ),
            (
                "[:Q -5 1 nil 5]",
                "in turn #Result {:id -5,:result 1,:log [],:info {:source :PEER,:juice 25}}",
                "in turn #Result {:id -5,:result 1,:log [],:info {:fees 12250,:source :PEER,:juice 25}}",
            ),
            (
                "[:Q 1 no-such-thing nil]",
                "in turn #Result {:id 1,:result \"no-such-thing\",:error :UNDECLARED,:log [],\
                 :info {:trace [],:eaddr #11,:source :PEER,:juice 50}}",
                "in turn #Result {:id 1,:result \"no-such-thing\",:error :UNDECLARED,:log [],\
                 :info {:trace [],:eaddr #11,:fees 12500,:source :PEER,:juice 50}}",
            ),
            (
                "[:Q 1 1 #999999]",
                "in turn #Result {:id 1,:result \"Query for non-existant account\",:error :NOBODY,:log [],\
                 :info {:trace [],:eaddr #0,:source :PEER}}",
                "in turn #Result {:id 1,:result \"Query for non-existant account\",:error :NOBODY,:log [],\
                 :info {:trace [],:eaddr #0,:source :PEER}}",
            ),
            (
                "[:Q 1 1 #13]",
                "in turn #Result {:id 1,:result 1,:log [],:info {:source :PEER,:juice 25}}",
                "in turn #Result {:id 1,:result \"Out of juice!\",:error :JUICE,:log [],\
                 :info {:fees 12000,:source :PEER,:juice 0}}",
            ),
        ] {
            assert_eq!(printed(&told(&old, request)), by_old, "0.8.0: {request}");
            assert_eq!(printed(&told(&new, request)), by_new, "0.8.6: {request}");
        }
    }

    #[test]
    fn what_does_not_decode_is_answered_with_format_by_the_newer_release_alone() {
        assert_eq!(turn(&view(&["old-api:1"]), b"\x40\x00"), Turn::Silence);
        let Turn::Now(reply) = turn(&view(&[]), b"\x40\x00") else {
            panic!("no reply at once");
        };
        let reply = Reply::from_cell(&reply).unwrap();
        assert_eq!(
            (reply.id, reply.outcome.unwrap_err().code.as_str()),
            (None, "FORMAT")
        );
    }

    #[test]
    fn the_status_is_read_as_a_vector_and_as_a_map() {
        for faults in [&[][..], &["map-status:1"], &["old-api:1"]] {
            let view = view(faults);
            let Turn::Now(reply) = told(&view, "[:SR 1]") else {
                panic!("a status is answered at once");
            };
            let value = Reply::from_cell(&reply).unwrap().outcome.unwrap();
            assert_eq!(value.kind() == "map", faults == ["map-status:1"]);
            let order = OrderPoints {
                block: 1000,
                proposal: 1000,
                consensus: 1000,
                finality: 1000,
            };
            let (genesis, peer_key) = (view.genesis, view.key);
            let expected = Status {
                genesis,
                peer_key,
                order,
            };
            assert_eq!(Status::from_cell(&value), Ok(expected));
        }
    }

    #[test]
    fn the_genesis_state_is_given_by_its_hash_without_its_children() {
        let view = view(&[]);
        let Turn::Queued(reply) = told(&view, &format!("[:DR 1 {} {}]", view.genesis, view.key))
        else {
            panic!("data is answered in turn");
        };
        // As it is carried.
        let carried = decode_message(&encode_message(&reply), &Limits::default())
            .unwrap()
            .top;
        let found = Reply::from_cell(&carried).unwrap().outcome.unwrap();
        let found = found.as_elements().unwrap();
        assert_eq!(found.get(0).unwrap().hash(), view.genesis);
        assert_eq!(found.get(1), Some(&Cell::Nil));
    }

    #[test]
    fn a_half_dead_peer_answers_the_status_and_nothing_that_takes_its_turn() {
        let view = view(&["half-dead:1"]);
        assert!(matches!(told(&view, "[:SR 1]"), Turn::Now(_)));
        assert_eq!(told(&view, "[:Q 1 1 nil]"), Turn::Silence);
    }
}
