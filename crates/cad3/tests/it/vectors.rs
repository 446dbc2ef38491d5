//! Test vectors of the Java libraries.

use cad3::{
    Cell, DecodeErrorKind, Hash, Limits, decode_message, encode, encode_message, reader, vlq,
};
use serde_json::Value;

use super::data::{bytes, file, message, rows, text, whole};

#[test]
fn counts_are_read_and_written_as_in_the_vectors() {
    let rows = rows(&file("vlq.json"), "vectors");
    assert_eq!(rows.len(), 30);
    for row in &rows {
        let number = text(row, "n").parse().unwrap();
        let expected = bytes(row, "hex");
        let mut written = Vec::new();
        vlq::write(number, &mut written);
        assert_eq!(written, expected);
        assert_eq!(vlq::len(number), expected.len());
        assert_eq!(vlq::read(&expected), Ok((number, expected.len())));
    }
}

#[test]
fn every_cell_decodes_prints_hashes_and_encodes_as_in_java() {
    let rows = rows(&file("cad3.json"), "vectors");
    assert_eq!(rows.len(), 266);
    let (mut decoded, mut rebuilt, mut printed) = (0, 0, 0);
    for row in &rows {
        let id = text(row, "id");
        let cell = if let Some(content) = row["message"].as_str() {
            decoded += 1;
            whole(&hex::decode(content).unwrap())
        } else {
            rebuilt += 1;
            rebuild(text(row, "how"))
        };
        assert_eq!(hex::encode(encode(&cell)), text(row, "cell"), "{id}");
        assert_eq!(format!("{:x}", cell.hash()), text(row, "hash"), "{id}");
        assert_eq!(
            encode(&cell).len() <= 140,
            row["embedded"].as_bool().unwrap(),
            "{id}"
        );
        let content = encode_message(&cell);
        assert_eq!(
            content.len() as u64,
            row["message_len"].as_u64().unwrap(),
            "{id}"
        );
        assert_eq!(whole(&content), cell, "{id}");
        if let Some(print) = row["print"].as_str() {
            printed += 1;
            assert_eq!(cell.to_string(), print, "{id}");
        }
        let random = text(row, "kind") == "random";
        assert!(
            random || cell.kind() == text(row, "kind"),
            "{id} is of kind {}",
            cell.kind()
        );
    }
    assert_eq!((decoded, rebuilt, printed), (260, 6, 236));
}

/// Builds a value whose bytes are too long for the file.
fn rebuild(how: &str) -> Cell {
    let size: usize = how
        .strip_suffix(" bytes, byte i = (7*i + (i>>8)) mod 256")
        .unwrap()
        .parse()
        .unwrap();
    let bytes: Vec<u8> = (0..size)
        .map(|i| ((7 * i + (i >> 8)) % 256).try_into().unwrap())
        .collect();
    Cell::blob(&bytes)
}

/// Uses the rows whose `how` describes the parts.
#[test]
fn cells_built_from_parts_encode_as_in_the_vectors() {
    let rows = rows(&file("cad3.json"), "vectors");
    let mut built = 0;
    for row in &rows {
        let Some(cell) = build(text(row, "kind"), text(row, "how")) else {
            continue;
        };
        built += 1;
        assert_eq!(
            hex::encode(encode(&cell)),
            text(row, "cell"),
            "{}",
            text(row, "id")
        );
        assert_eq!(
            format!("{:x}", cell.hash()),
            text(row, "hash"),
            "{}",
            text(row, "id")
        );
    }
    assert_eq!(built, 182);
}

fn build(kind: &str, how: &str) -> Option<Cell> {
    if let Some(source) = how.strip_prefix("read: ") {
        return Some(reader::read(source).unwrap_or_else(|error| panic!("{source}: {error}")));
    }
    if let Some(number) = how.strip_prefix('#') {
        return Some(Cell::address(number.parse().unwrap()));
    }
    if let Some(last) = how.strip_prefix("longs 0..") {
        let last = last.split(' ').next().unwrap().parse().unwrap();
        let elements = (0..=last).map(Cell::integer);
        return Some(match kind {
            "vector" => Cell::vector(elements),
            "list" => Cell::list(elements),
            _ => Cell::set(elements),
        });
    }
    if let Some(last) = how.strip_prefix("long i -> i for i in 0..") {
        return Some(Cell::map(
            (0..=last.parse().unwrap()).map(|i| (Cell::integer(i), Cell::integer(i))),
        ));
    }
    if let Some((number, letter)) = how.split_once(" x ")
        && let Ok(number) = number.parse()
    {
        let name = letter.trim_matches('\'').repeat(number);
        return Some(match kind {
            "string" => Cell::string(&name),
            "symbol" => Cell::symbol(&name),
            _ => Cell::keyword(&name),
        });
    }
    if how.ends_with("mod 256") {
        return Some(rebuild(how));
    }
    match how {
        "60 keys: 2-byte big-endian 0, 37, 74, ..." => Cell::index((0..60).map(|i: u16| {
            (
                Cell::blob(&(37 * i).to_be_bytes()),
                Cell::integer((37 * i).into()),
            )
        })),
        _ => None,
    }
}

#[test]
fn invalid_messages_are_rejected_and_valid_ones_accepted() {
    let rows = rows(&file("cad3-negative.json"), "vectors");
    assert_eq!(rows.len(), 100);
    let (mut rejected, mut accepted, mut either, mut unused) = (0, 0, 0, 0);
    for row in &rows {
        let content = bytes(row, "hex");
        let why = text(row, "why");
        let result = decode_message(&content, &Limits::default());
        match text(row, "advice") {
            "reject" => {
                rejected += 1;
                let error = result.expect_err(why);
                assert!(error.offset <= content.len(), "{why}: {error}");
            }
            "accept" => {
                accepted += 1;
                check_accepted(row, &content);
            }
            "either" => {
                // No peer sends a branch that nothing refers to.
                if let Err(error) = result {
                    unused += 1;
                    assert_eq!(error.kind, DecodeErrorKind::UnusedBranch, "{why}");
                } else {
                    // Peers let the others pass: a reply that contains one stays usable.
                    either += 1;
                    check_accepted(row, &content);
                }
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((rejected, accepted, either, unused), (71, 13, 14, 2));
}

fn check_accepted(row: &Value, content: &[u8]) {
    let why = text(row, "why");
    let message = message(content);
    let verdict = &row["java_0_8_0"];
    if verdict["reencodes"] == "same" {
        assert_eq!(encode_message(&message.top), content, "{why}");
    }
    if let Some(print) = verdict["print"].as_str().filter(|print| *print != "(long)") {
        assert_eq!(message.to_string(), print, "{why}");
    }
}

#[test]
fn the_genesis_cell_of_protonet_has_its_published_hash() {
    let file = file("protonet.json");
    let cell = message(&bytes(&file, "genesis_cell"));
    assert_eq!(
        format!("{:x}", cell.top.hash()),
        text(&file, "genesis_hash")
    );
    assert_eq!(encode(&cell.top), bytes(&file, "genesis_cell"));
    assert_eq!(cell.missing.len(), 1);
    assert_eq!(
        format!("{:x}", cell.missing[0]),
        &text(&file, "genesis_cell")[6..70]
    );
    let globals = cell
        .top
        .record_fields(0xd5)
        .unwrap()
        .get(2)
        .unwrap()
        .as_elements()
        .unwrap();
    assert_eq!(
        globals.get(0).unwrap().as_i64(),
        file["genesis_timestamp"].as_i64()
    );

    let genesis: Hash = text(&file, "genesis_hash").parse().unwrap();
    let request = Cell::vector([Cell::keyword("DR"), Cell::integer(1), Cell::from(genesis)]);
    let content = encode_message(&request);
    let mut frame = Vec::new();
    vlq::write(content.len() as u64, &mut frame);
    frame.extend(content);
    assert_eq!(frame, bytes(&file, "data_request_id_1"));

    let reply = message(&bytes(&file, "expected_reply_content_id_1"));
    let value = reply.top.record_fields(0xdd).unwrap().get(1).unwrap();
    assert_eq!(value.as_elements().unwrap().get(0), Some(&cell.top));
}
