//! The `decode` command, without starting the program.

use std::io::{self, Write};

use convex_peer_monitor::cli::decode::{Options, run};
use serde_json::{Value, json};

/// A status request with id 1: `[:SR 1]`.
const REQUEST: &str = "800233025352 1101";

fn decode(input: Option<&str>, stdin: &str, frame: bool, json: bool) -> (bool, String) {
    let mut out = Vec::new();
    let all = run(input, stdin.as_bytes(), &mut out, Options { frame, json }).unwrap();
    (all, String::from_utf8(out).unwrap())
}

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_message_is_printed_as_text() {
    assert_eq!(
        decode(Some(REQUEST), "", false, false),
        (true, "[:SR 1]\n".to_owned())
    );
    assert_eq!(
        decode(Some("0x1101"), "", false, false),
        (true, "1\n".to_owned())
    );
}

#[test]
fn json_has_kind_value_hash_and_encoding() {
    let (all, text) = decode(Some("00"), "", false, true);
    assert!(all);
    let expected = json!({
        "kind": "nil",
        "value": "nil",
        "hash": "5d53469f20fef4f8eab52b88044ede69c77a6a68a60728609fc4a65ff531e7d0",
        "encoding": "00",
    });
    assert_eq!(objects(&text), [expected]);
    assert!(
        text.starts_with(r#"{"kind":"nil","value":"nil","hash":"5d"#),
        "{text}"
    );
}

#[test]
fn a_message_with_missing_branches_is_decoded_as_incomplete() {
    let content = format!("8001 20{}", "ab".repeat(32));
    let (all, text) = decode(Some(&content), "", false, true);
    assert!(all, "a partial message is no error");
    let [object] = &objects(&text)[..] else {
        panic!("{text}")
    };
    assert_eq!(object["value"], "[#[missing abababab]]");
    assert_eq!(object["complete"], false);
    assert_eq!(object["encoding"], content.replace(' ', ""));
}

#[test]
fn each_line_of_standard_input_gives_one_line_of_output() {
    let stdin = "1101\n\n110g\n11\r\n1102";
    for input in [None, Some("-")] {
        let (all, text) = decode(input, stdin, false, false);
        assert!(!all);
        let expected = "1\n\
            error: cell at offset 0 needs 1 bytes, 0 are left\n\
            error: \"0g\" is not a pair of hex digits at offset 1\n\
            error: integer at offset 1 needs 1 bytes, 0 are left\n\
            2\n";
        assert_eq!(text, expected);
    }
}

#[test]
fn an_error_in_json_has_its_offset_in_the_input() {
    let (all, text) = decode(Some("80 02 1101 1100"), "", false, true);
    assert!(!all);
    let error = "integer at offset 4: must be in its shortest form";
    assert_eq!(objects(&text), [json!({"error": error, "offset": 4})]);
    let (_, text) = decode(Some("110"), "", false, true);
    assert_eq!(
        objects(&text),
        [json!({"error": "half a byte at offset 1", "offset": 1})]
    );
}

#[test]
fn captured_frames_are_decoded_one_by_one() {
    let (all, text) = decode(Some("08 8002330253521101 02 1102"), "", true, false);
    assert_eq!((all, &*text), (true, "[:SR 1]\n2\n"));
}

#[test]
fn after_an_invalid_frame_the_next_one_is_still_decoded() {
    let (all, text) = decode(Some("02 1100 02 1102"), "", true, true);
    assert!(!all);
    let objects = objects(&text);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["offset"], 1);
    assert_eq!(objects[1]["value"], "2");
}

#[test]
fn a_truncated_frame_ends_the_output() {
    let (all, text) = decode(Some("02 1102 05 11"), "", true, false);
    let expected = "2\nerror: frame at offset 4 needs 5 bytes, 1 are left\n";
    assert_eq!((all, &*text), (false, expected));
    assert_eq!(
        decode(Some(""), "", true, false),
        (false, "error: count is cut short at offset 0\n".into())
    );
}

#[test]
fn control_characters_are_escaped() {
    let (_, text) = decode(Some("3003 1b5b41"), "", false, false);
    assert_eq!(text, "\"\\u001b[A\"\n");
    // A keyword with a line break in its name.
    assert_eq!(
        decode(Some("3303 610a62"), "", false, false).1,
        ":a\\u000ab\n"
    );
}

#[test]
fn a_closed_output_is_no_error() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for json in [false, true] {
        let options = Options { frame: false, json };
        assert!(run(None, &b"1101\n1102\n"[..], Closed, options).is_ok());
    }
}
