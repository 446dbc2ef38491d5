//! Query texts.

use convex_peer_monitor::cad3::{Cell, encode, encode_message, reader::read, vlq};

use super::data::{bytes, content, file, message, rows, text, whole};

#[test]
fn every_query_text_reads_as_the_java_reader_makes_it() {
    let rows = rows(&file("queries.json"), "queries");
    assert_eq!(rows.len(), 65);
    for row in &rows {
        let name = text(row, "name");
        let form = read(text(row, "source")).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(hex::encode(encode(&form)), text(row, "form_cell"), "{name}");
        assert_eq!(
            format!("{:x}", form.hash()),
            text(row, "form_hash"),
            "{name}"
        );
        assert_eq!(form, whole(&bytes(row, "form_message")), "{name}");

        let request = Cell::vector([Cell::keyword("Q"), Cell::integer(1), form, Cell::Nil]);
        let frame = bytes(row, "frame_id_1");
        assert_eq!(message(content(&frame)).top, request, "{name}");
        let content = encode_message(&request);
        assert_eq!(
            vlq::len(content.len() as u64) + content.len(),
            frame.len(),
            "{name}"
        );
    }
}
