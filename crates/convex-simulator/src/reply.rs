//! The replies of a peer: messages of the binary protocol, and the Result of a query on either
//! transport (PEER-PROTOCOL, sections 3 and 4). Does no I/O.

use cad3::{Cell, Hash, Limits, SignedParts, decode_message, encode};

use super::query::{QueryError, evaluate};
use super::release::Release;
use super::script::Queries;
use super::state::{GENESIS_USER, JUICE_PRICE, record_field};
use super::submit::{Submission, receive};
use super::world::View;

/// Record tag of a Result.
pub(super) const RESULT: u8 = 0xdd;
/// Most hashes in one data request.
const MAX_HASHES: usize = 254;
/// Approximate fees of a query besides its juice, in copper.
const BASE_FEES: i64 = 12_000;

/// How a peer responds to one message.
#[derive(Debug, PartialEq)]
pub(super) enum Response {
    /// A reply that is sent at once, ahead of those in the query queue.
    Immediate(Cell),
    /// A reply, followed by a challenge to the challenger.
    Challenged(Cell, Cell),
    /// A reply that waits for its turn in the query queue.
    Queued(Cell),
    /// A transaction that is accepted; the reply follows once it is executed.
    Submitted(Submission),
    /// No reply.
    Ignore,
    /// No reply; the connection is closed.
    Disconnect,
}

/// Returns the response of `view`'s peer to the content of one frame.
pub(super) fn respond(view: &View, content: &[u8]) -> Response {
    let old = view.faults.is_old();
    let message = match decode_message(content, &Limits::default()) {
        Ok(message) => message,
        Err(_) if old => return Response::Ignore,
        Err(error) => return Response::Immediate(format_error(Cell::Nil, &error.to_string())),
    };
    let request = &message.top;
    if request.kind() != "vector" {
        return Response::Ignore;
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
    let invalid = if old {
        Response::Ignore
    } else {
        Response::Disconnect
    };
    match (keyword, id) {
        (Some("SR"), Some(id)) => Response::Immediate(plain_result(id, status(view))),
        (Some("PING"), Some(id)) if !old => {
            Response::Immediate(plain_result(id, Cell::integer(view.clock_ms)))
        }
        (Some("Q" | "DR"), _) if view.faults.queries == Queries::Hanging => Response::Ignore,
        (Some("Q"), Some(id)) if elements.len() >= 4 && message.is_complete() => {
            let account = elements[3].as_address().unwrap_or(GENESIS_USER);
            Response::Queued(query_result(view, id, elements[2], account))
        }
        (Some("DR"), Some(id)) => match data(view, &elements[2..]) {
            Some(found) => Response::Queued(plain_result(id, found)),
            None => Response::Ignore,
        },
        (Some("Q" | "BYE"), _) => invalid,
        (Some("LQ"), Some(id)) if !old => {
            Response::Immediate(format_error(id, "Unrecognised message type"))
        }
        (Some("CH"), Some(id)) if !old => match elements.get(2).and_then(|it| it.signed_parts()) {
            Some(challenge) => challenged(view, &id, &challenge),
            None => Response::Immediate(format_error(id, "Bad Message Format!")),
        },
        (Some("TX"), Some(id)) => match elements.get(2) {
            Some(signed) if view.faults.queries != Queries::Hanging => receive(view, &id, signed),
            None if !old => Response::Immediate(format_error(id, "Bad Message Format!")),
            Some(_) | None => Response::Ignore,
        },
        _ => Response::Ignore,
    }
}

pub(super) fn result(id: Cell, value: Cell, error: Cell, log: Cell, info: Cell) -> Cell {
    Cell::record(RESULT, [id, value, error, log, info])
}

fn plain_result(id: Cell, value: Cell) -> Cell {
    result(id, value, Cell::Nil, Cell::Nil, Cell::Nil)
}

pub(super) fn source() -> (Cell, Cell) {
    (Cell::keyword("source"), Cell::keyword("PEER"))
}

pub(super) fn format_error(id: Cell, message: &str) -> Cell {
    let info = Cell::map([source()]);
    result(
        id,
        Cell::string(message),
        Cell::keyword("FORMAT"),
        Cell::Nil,
        info,
    )
}

/// Makes the Result of an error outside the query itself, as REST reports it.
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

/// Runs a query as `account` and returns its Result.
pub(super) fn query_result(view: &View, id: Cell, form: &Cell, account: u64) -> Cell {
    let no_log = Cell::vector([]);
    if let Queries::Failing(code) = &view.faults.queries {
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
    let balance = record_field(&record, "balance").and_then(|balance| balance.as_i64());
    if balance == Some(0) && !view.faults.is_old() {
        // The query runs as a transaction, which the account pays for in advance.
        let message = Cell::string("Out of juice!");
        let info = info(view, 0, None, account);
        return result(id, message, Cell::keyword("JUICE"), no_log, info);
    }
    let answer = evaluate(&view.state, form, account);
    match answer.outcome {
        Ok(value) => {
            let info = info(view, answer.juice, None, account);
            result(id, value, Cell::Nil, no_log, info)
        }
        Err(QueryError {
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
    if !view.faults.is_old() {
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

/// Returns the status as the binary protocol sends it: a vector, or a map in 0.9.
pub(super) fn status(view: &View) -> Cell {
    if view.faults.release == Release::Next {
        return status_map(view);
    }
    Cell::vector(status_fields(view).map(|(_, value)| value))
}

/// Returns the status as a map, as REST sends it.
pub(super) fn status_map(view: &View) -> Cell {
    Cell::map(status_fields(view).map(|(name, value)| (Cell::keyword(name), value)))
}

fn status_fields(view: &View) -> impl Iterator<Item = (&'static str, Cell)> {
    let [block, proposal, consensus, _] = view.levels.map(Cell::integer);
    let state = Cell::from(view.state.hash);
    let newest = (view.faults.release == Release::Newest).then(|| {
        let position = view.state_pair().block + 1;
        [
            ("state-position", Cell::integer(position)),
            ("supported-protocol-version", Cell::integer(view.protocol)),
        ]
    });
    let fields = [
        ("belief", Cell::from(view.belief())),
        ("states", state.clone()),
        ("genesis", Cell::from(view.genesis)),
        ("peer", Cell::from(view.key)),
        ("state", state),
        ("consensus-point", consensus),
        ("proposal-point", proposal),
        ("block-point", block),
        ("consensus", Cell::vector(view.levels.map(Cell::integer))),
    ];
    fields.into_iter().chain(newest.into_iter().flatten())
}

/// Answers a challenge, `[token key-or-nil network]` or without a network, and challenges its
/// sender. The sender's signature is not checked.
fn challenged(view: &View, id: &Cell, challenge: &SignedParts<'_>) -> Response {
    let content = challenge.value.as_elements();
    let part = |i| content.and_then(|content| content.get(i));
    let refused = |reason| {
        let error = Cell::keyword("TRUST");
        result(
            id.clone(),
            Cell::string(reason),
            error,
            Cell::Nil,
            Cell::Nil,
        )
    };
    let target = part(1).and_then(Cell::as_hash);
    let network = part(2);
    let reply = if target.is_some_and(|target| target != view.key) {
        refused("Wrong target key")
    } else if network.is_some_and(|network| network.as_hash() != Some(view.genesis)) {
        refused("Context mismatch")
    } else {
        let token = part(0).cloned().unwrap_or(Cell::Nil);
        let answer = [token, challenge.key.into()]
            .into_iter()
            .chain(network.cloned());
        plain_result(id.clone(), view.sign(&Cell::vector(answer)))
    };
    let token = Hash::of(&encode(&reply));
    let own = Cell::vector([token.into(), Cell::Nil, view.genesis.into()]);
    let back = Cell::vector([Cell::keyword("CH"), Cell::integer(1), view.sign(&own)]);
    Response::Challenged(reply, back)
}

/// Returns a cell for each hash, nil where it is unknown; none if the request is invalid. The
/// genesis state is known, and beliefs, orders and blocks.
fn data(view: &View, hashes: &[&Cell]) -> Option<Cell> {
    if hashes.len() > MAX_HASHES {
        return None;
    }
    let found = hashes.iter().map(|hash| {
        let hash = hash.as_hash()?;
        Some(if hash == view.genesis {
            view.genesis_state.top_cell()
        } else {
            view.signed_cell(&hash).unwrap_or(Cell::Nil)
        })
    });
    Some(Cell::vector(found.collect::<Option<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cad3::{encode_message, reader};
    use convex_client::{OrderPoints, Reply, Status};

    use super::*;
    use crate::network::Options;
    use crate::script::Script;
    use crate::world::World;

    fn view(faults: &[&str]) -> View {
        let script = Script::parse(faults.iter().copied(), 2).unwrap();
        let options = Options {
            peers: 2,
            seed: 1,
            script,
            ..Options::default()
        };
        World::new(options, 1_800_000_000_000).view(0, Duration::ZERO)
    }

    fn send(view: &View, request: &str) -> Response {
        respond(view, &encode_message(&reader::read(request).unwrap()))
    }

    fn printed(response: &Response) -> String {
        match response {
            Response::Immediate(reply) => format!("immediate {}", reply.printed(2000)),
            Response::Queued(reply) => format!("queued {}", reply.printed(2000)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_release_answers_valid_and_invalid_requests_in_its_own_way() {
        let [old, new] = [&["old-api:1"][..], &[]].map(view);
        for (request, old_response, new_response) in [
            (
                "[:PING 2]",
                "Ignore",
                "immediate #Result {:id 2,:result 1800000000000}",
            ),
            ("[:ZZ 4]", "Ignore", "Ignore"),
            ("[]", "Ignore", "Ignore"),
            ("4", "Ignore", "Ignore"),
            ("(:SR 1)", "Ignore", "Ignore"),
            ("[:SR]", "Ignore", "Ignore"),
            ("[:SR nil]", "Ignore", "Ignore"),
            ("[:Q 1 1]", "Ignore", "Disconnect"),
            ("[:Q nil 1 nil]", "Ignore", "Disconnect"),
            ("[:BYE]", "Ignore", "Disconnect"),
            (
                "[:DR 3]",
                "queued #Result {:id 3,:result []}",
                "queued #Result {:id 3,:result []}",
            ),
            ("[:DR 3 0x00]", "Ignore", "Ignore"),
            (
                "[:LQ 4 []]",
                "Ignore",
                "immediate #Result {:id 4,:result \"Unrecognised message type\",:error :FORMAT,:info {:source :PEER}}",
            ),
            ("[:TX nil 1]", "Ignore", "Ignore"),
            (
                "[:TX 4 1]",
                "Ignore",
                "immediate #Result {:id 4,:result \"Bad Message Format!\",:error :FORMAT,:info {:source :PEER}}",
            ),
            (
                "[:TX 4]",
                "Ignore",
                "immediate #Result {:id 4,:result \"Bad Message Format!\",:error :FORMAT,:info {:source :PEER}}",
            ),
            (
                "[:Q -5 1 nil 5]",
                "queued #Result {:id -5,:result 1,:log [],:info {:source :PEER,:juice 25}}",
                "queued #Result {:id -5,:result 1,:log [],:info {:fees 12250,:source :PEER,:juice 25}}",
            ),
            (
                "[:Q 1 no-such-thing nil]",
                "queued #Result {:id 1,:result \"no-such-thing\",:error :UNDECLARED,:log [],\
                 :info {:trace [],:eaddr #11,:source :PEER,:juice 50}}",
                "queued #Result {:id 1,:result \"no-such-thing\",:error :UNDECLARED,:log [],\
                 :info {:trace [],:eaddr #11,:fees 12500,:source :PEER,:juice 50}}",
            ),
            (
                "[:Q 1 1 #999999]",
                "queued #Result {:id 1,:result \"Query for non-existant account\",:error :NOBODY,:log [],\
                 :info {:trace [],:eaddr #0,:source :PEER}}",
                "queued #Result {:id 1,:result \"Query for non-existant account\",:error :NOBODY,:log [],\
                 :info {:trace [],:eaddr #0,:source :PEER}}",
            ),
            (
                "[:Q 1 1 #13]",
                "queued #Result {:id 1,:result 1,:log [],:info {:source :PEER,:juice 25}}",
                "queued #Result {:id 1,:result \"Out of juice!\",:error :JUICE,:log [],\
                 :info {:fees 12000,:source :PEER,:juice 0}}",
            ),
        ] {
            assert_eq!(
                printed(&send(&old, request)),
                old_response,
                "0.8.0: {request}"
            );
            assert_eq!(
                printed(&send(&new, request)),
                new_response,
                "0.8.6: {request}"
            );
        }
    }

    #[test]
    fn only_the_newer_release_answers_bytes_that_do_not_decode() {
        assert_eq!(
            respond(&view(&["old-api:1"]), b"\x40\x00"),
            Response::Ignore
        );
        let Response::Immediate(reply) = respond(&view(&[]), b"\x40\x00") else {
            panic!("no immediate reply");
        };
        let reply = Reply::from_cell(&reply).unwrap();
        assert_eq!(
            (reply.id, reply.outcome.unwrap_err().code.as_str()),
            (None, "FORMAT")
        );
    }

    #[test]
    fn the_client_reads_the_status_as_a_vector_and_as_a_map() {
        for faults in [&[][..], &["map-status:1"], &["old-api:1"], &["new-api:1"]] {
            let view = view(faults);
            let has_position = faults == ["new-api:1"];
            let Response::Immediate(reply) = send(&view, "[:SR 1]") else {
                panic!("no immediate reply");
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
                state: has_position.then(|| view.state_pair()),
                protocol: has_position.then_some(1),
            };
            assert_eq!(Status::from_cell(&value), Ok(expected));
        }
    }

    #[test]
    fn the_genesis_state_is_sent_by_its_hash_without_its_children() {
        let view = view(&[]);
        let Response::Queued(reply) =
            send(&view, &format!("[:DR 1 {} {}]", view.genesis, view.key))
        else {
            panic!("no queued reply");
        };
        // Encoded and decoded, as on the wire.
        let received = decode_message(&encode_message(&reply), &Limits::default())
            .unwrap()
            .top;
        let found = Reply::from_cell(&received).unwrap().outcome.unwrap();
        let found = found.as_elements().unwrap();
        assert_eq!(found.get(0).unwrap().hash(), view.genesis);
        assert_eq!(found.get(1), Some(&Cell::Nil));
    }

    #[test]
    fn a_half_dead_peer_answers_status_but_no_queries() {
        let view = view(&["half-dead:1"]);
        assert!(matches!(send(&view, "[:SR 1]"), Response::Immediate(_)));
        assert_eq!(send(&view, "[:Q 1 1 nil]"), Response::Ignore);
    }
}
