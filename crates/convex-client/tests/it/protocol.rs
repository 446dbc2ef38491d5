//! STATUS and globals of release 0.8.17. No such peer could be captured: the vectors are made from
//! a description.

use cad3::{Cell, Hash, Limits, decode_message, encode};
use convex_client::{OrderPoints, PollAnswer, ProtocolState, StatePair, Status};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/made-0.8.17.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Decodes a cell that is encoded as it would be sent.
fn cell(vector: &Value) -> Cell {
    let bytes = hex::decode(vector["hex"].as_str().unwrap()).unwrap();
    let cell = decode_message(&bytes, &Limits::default()).unwrap().top;
    assert_eq!(encode(&cell), bytes, "it is canonical");
    let elements = cell.as_elements().unwrap().len();
    assert_eq!(Some(elements as u64), vector["elements"].as_u64());
    cell
}

fn hash(text: &Value) -> Hash {
    let bytes = hex::decode(text.as_str().unwrap()).unwrap();
    Hash::new(bytes.try_into().unwrap())
}

fn integers(array: &Value) -> Vec<i64> {
    let array = array.as_array().unwrap().iter();
    array.map(|it| it.as_i64().unwrap()).collect()
}

#[test]
fn a_made_status_of_eleven_elements_is_read() {
    let vector = &vectors()["status"];
    let levels = integers(&vector["levels"]);
    let expected = Status {
        genesis: hash(&vector["genesis"]),
        peer_key: hash(&vector["peer"]),
        order: OrderPoints {
            block: levels[0],
            proposal: levels[1],
            consensus: levels[2],
            finality: levels[3],
        },
        state: Some(StatePair {
            block: vector["executed"].as_i64().unwrap() - 1,
            hash: hash(&vector["state"]),
        }),
        protocol: vector["supported"].as_i64(),
    };
    assert_eq!(Status::from_cell(&cell(vector)), Ok(expected));
}

#[test]
fn made_globals_of_eight_elements_are_read() {
    for vector in vectors()["globals"].as_array().unwrap() {
        let mut members = vec![Cell::Nil; 6];
        members[1] = cell(vector);
        let answer = PollAnswer::from_cell(&Cell::vector(members)).unwrap();
        assert_eq!(answer.timestamp_ms, vector["timestamp_ms"].as_i64());
        assert_eq!(answer.state_block, vector["block"].as_i64());
        let protocol = answer.protocol.unwrap();
        let expected = ProtocolState {
            version: vector["version"].as_i64().unwrap(),
            activations_ms: integers(&vector["activations_ms"]),
        };
        assert_eq!(protocol, expected);
        let pending: Vec<_> = protocol
            .pending()
            .map(|(version, at)| vec![version, at])
            .collect();
        let expected: Vec<_> = vector["pending"]
            .as_array()
            .unwrap()
            .iter()
            .map(integers)
            .collect();
        assert_eq!(pending, expected);
    }
}
