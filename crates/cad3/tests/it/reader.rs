//! Reading query texts.

use cad3::{Cell, encode, encode_message, reader::read, vlq};

use super::data::{bytes, content, file, message, rows, text, whole};

#[test]
fn every_query_text_reads_as_in_java() {
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

#[test]
fn every_kind_of_form_is_read() {
    for (text, printed) in [
        ("(a, b) ; to the end", "(a b)"),
        ("#{1 1}", "#{1}"),
        ("'x", "(quote x)"),
        (
            "`(~x ~@y)",
            "(quasiquote ((unquote x) (unquote-splicing y)))",
        ),
        ("@a.b", "(resolve a.b)"),
        ("x/y/z", "(lookup (lookup x y) z)"),
        ("#8/count", "(lookup #8 count)"),
        ("@a.b/c", "(lookup (resolve a.b) c)"),
        ("(/ 1 2)", "(/ 1 2)"),
        ("[:k sym #12 0x12AB 0x]", "[:k sym #12 0x12ab 0x]"),
        ("[12 -3 00012 -0]", "[12 -3 12 0]"),
        ("[+5 .5 - -a]", "[+5 .5 - -a]"),
        ("[1.5 1.5e3 -2E-3 1e3]", "[1.5 1500.0 -0.002 1000.0]"),
        ("[##NaN ##Inf ##-Inf]", "[##NaN ##Inf ##-Inf]"),
        (
            r#""a\n\t\"\\\u00e9\ud83d\ude00\101\0""#,
            "\"a\\n\\t\\\"\\\\é😀A\0\"",
        ),
        (
            r"[\a \newline \space \tab \return \u00e9 \( \é \0]",
            r"[\a \newline \space \tab \return \é \( \é \0]",
        ),
        ("^{:a 1} x", "^{:a 1} x"),
        ("^:k x", "^{:k true} x"),
        ("^t x", "^{:tag t} x"),
        ("^:a ^:a x", "^{:a true} x"),
        ("^{} x", "^{} x"),
        ("#Index {0x12 1}", "#Index {0x12 1}"),
        ("#[8001dd0511011102000000]", "[#Result {:id 1,:result 2}]"),
        ("[nil true false nilly]", "[nil true false nilly]"),
        ("#_ignored #_ #_ a b 1", "1"),
        ("9223372036854775808", "9223372036854775808"),
        ("\t\r\n,1,", "1"),
    ] {
        let form = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(form.to_string(), printed, "{text}");
    }
}

#[test]
fn an_error_has_its_line_and_column() {
    for (text, expected) in [
        ("", "1:1: expected a form, found none"),
        (" ; only this", "1:13: expected a form, found none"),
        (
            "(count\n  [1 2)",
            "2:7: expected ] to close [ at 2:3, found )",
        ),
        ("(count", "1:1: ( is not closed by )"),
        (
            "1\n 2",
            "2:2: expected a single form, found a second one; combine them with (do …) or [ … ]",
        ),
        (
            "{:a}",
            "1:1: expected an even number of keys and values, found 1 forms",
        ),
        (
            "[1.]",
            "1:2: invalid number 1.; expected for example 12, -3, 1.5, 1.5e3 or 0x12ab",
        ),
        (
            "1x",
            "1:1: invalid number 1x; expected for example 12, -3, 1.5, 1.5e3 or 0x12ab",
        ),
        (
            "0x123",
            "1:1: expected an even number of hex digits in a blob, found 3",
        ),
        (
            "\"é\\q\"",
            r#"1:3: unknown escape \q in a string; expected \b \t \n \f \r \" \' \\ \u00e9 or \377"#,
        ),
        ("\"ab", "1:1: the string has no closing quote"),
        (r#""\ud83d""#, r"1:2: \ud83d is an unpaired surrogate"),
        (
            r"\nil",
            r"1:1: unknown character \nil; expected a single character, \newline, \return, \space, \tab, \formfeed, \backspace or \u00e9",
        ),
        ("'", "1:2: expected a form, found the end of the text"),
        ("(a ')", "1:5: expected a form, found \")\""),
        (": a", "1:1: expected a name after :"),
        (
            "#foo",
            "1:1: expected #12, #{…}, #[…], #_, #Index {…}, ##NaN, ##Inf or ##-Inf after #",
        ),
        (
            "##x",
            "1:1: unknown number ##x; expected ##NaN, ##Inf or ##-Inf",
        ),
        (
            "#9223372036854775808",
            "1:1: address #9223372036854775808 is 2^63 or more",
        ),
        (
            "#Index {1 2}",
            "1:8: a key of an #Index must be a blob, string, symbol, keyword or address",
        ),
        (
            "#[1100]",
            "1:1: invalid cell: integer at offset 0: must be in its shortest form",
        ),
        ("a/1", "1:2: expected a name of 1 to 128 characters after /"),
        ("é", "1:1: expected a form, found \"é\""),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), expected, "{text}");
    }
    let partial = format!("#[800120{}]", "00".repeat(32));
    assert_eq!(
        read(&partial).unwrap_err().to_string(),
        "1:1: incomplete cell: it refers to branches that are not in it"
    );
    let long = "k".repeat(129);
    assert_eq!(
        read(&long).unwrap_err().to_string(),
        "1:1: symbol of 129 bytes, at most 128"
    );
}

#[test]
fn deep_nesting_is_refused_early() {
    let expected = "nested too deep, at most 100 levels";
    for open in ["(", "[", "'", "^", "#_", "{", "#{", "x/"] {
        let text = open.repeat(100_000);
        let error = read(&text).unwrap_err();
        assert!(error.problem == expected || open == "x/", "{open}: {error}");
    }
    let path = format!("x{}", "/y".repeat(100_000));
    assert_eq!(read(&path).unwrap_err().problem, expected);
    let tail = " 1".repeat(300);
    let wide = format!("{}1{}", "[".repeat(50), format!("{tail}]").repeat(50));
    assert_eq!(
        read(&wide).unwrap_err().problem,
        expected,
        "each level is a tree with inner nodes"
    );
    let deep = format!("{}1{}", "'(".repeat(49), ")".repeat(49));
    assert_eq!(
        whole(&encode_message(&read(&deep).unwrap())),
        read(&deep).unwrap()
    );
}
