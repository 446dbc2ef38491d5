//! Reading and building values.

use cad3::{Cell, Hash, HashError, Limits, VectorParts, decode_message, encode, encode_message};

use super::data::whole;

#[test]
fn a_hash_reads_from_hex_with_or_without_0x() {
    let digits = "b0e44f2a645abfa539f5b96b7a0eabb0f902866feaff0f7c12d1213e02333f13";
    let hash: Hash = digits.parse().unwrap();
    assert_eq!(
        hash,
        format!("0x{}", digits.to_uppercase()).parse().unwrap()
    );
    assert_eq!(hash.to_string(), format!("0x{digits}"));
    assert_eq!(format!("{hash:?} {hash:x}"), format!("0x{digits} {digits}"));
    assert_eq!(Hash::new(*hash.as_bytes()), hash);
}

#[test]
fn an_invalid_hash_is_refused_for_its_length_or_a_digit() {
    let parse = |text: &str| text.parse::<Hash>().unwrap_err();
    assert_eq!(parse("0x12"), HashError::Length { digits: 2 });
    assert_eq!(
        parse(&"1".repeat(65)).to_string(),
        "a hash has 64 hex digits, found 65"
    );
    assert_eq!(
        parse("0x12g4"),
        HashError::Digit {
            found: 'g',
            position: 3
        }
    );
    assert_eq!(
        parse(&"é".repeat(32)),
        HashError::Digit {
            found: 'é',
            position: 1
        }
    );
    assert_eq!(parse(""), HashError::Length { digits: 0 });
}

#[test]
fn numbers_convert_to_doubles_only_when_exact() {
    assert_eq!(
        Cell::integer(1 << 53).as_f64(),
        Some(9_007_199_254_740_992.0)
    );
    assert_eq!(Cell::integer((1 << 53) + 1).as_f64(), None);
    assert_eq!(Cell::integer(i64::MAX).as_f64(), None);
    assert_eq!(Cell::integer(i64::MIN).as_f64(), Some(-(2f64.powi(63))));
    assert_eq!(Cell::from(1.5).as_f64(), Some(1.5));
    assert_eq!(Cell::from(1.5).as_i64(), None);
    assert_eq!(Cell::keyword("a").as_f64(), None);
}

#[test]
fn accessors_return_none_for_other_kinds() {
    let cells = [
        Cell::Nil,
        Cell::integer(1),
        Cell::symbol("s"),
        Cell::vector([]),
        Cell::map([]),
    ];
    for cell in &cells {
        assert_eq!(cell.as_keyword(), None);
        assert_eq!(cell.as_text(), None);
        assert_eq!(cell.as_blob(), None);
        assert_eq!(cell.as_hash(), None);
        assert_eq!(cell.as_address(), None);
        assert_eq!(cell.as_bool(), None);
        assert_eq!(cell.as_missing(), None);
        assert!(cell.record_fields(0xdd).is_none());
        assert_eq!(cell.get("k"), None);
    }
    assert_eq!(cells[2].as_symbol(), Some("s"));
    assert!(cells[0].is_nil());
    assert_eq!(Cell::blob(&[1; 31]).as_hash(), None);
    assert_eq!(Cell::blob(&[1; 32]).as_hash(), Some(Hash::new([1; 32])));
    assert_eq!(Cell::string("x").as_text().as_deref(), Some("x"));
    assert_eq!(Cell::address(7).as_address(), Some(7));
}

#[test]
fn maps_of_any_size_are_looked_up_by_keyword() {
    for size in [1, 15, 16, 17, 300] {
        let name = |i: i64| format!("key-{i}");
        let map = Cell::map((0..size).map(|i| (Cell::keyword(&name(i)), Cell::integer(i))));
        let map = whole(&encode_message(&map));
        for i in 0..size {
            assert_eq!(
                map.get(&name(i)).and_then(Cell::as_i64),
                Some(i),
                "{i} of {size}"
            );
        }
        assert_eq!(map.get("key-301"), None);
        assert_eq!(map.get(""), None);
        assert_eq!(
            map.entries().unwrap().count(),
            usize::try_from(size).unwrap()
        );
    }
}

#[test]
fn the_last_of_several_entries_with_one_key_wins() {
    let entry = |value| (Cell::keyword("k"), Cell::integer(value));
    assert_eq!(
        Cell::map([entry(1), entry(2)]).get("k"),
        Some(&Cell::integer(2))
    );
    assert_eq!(Cell::set([Cell::Nil, Cell::Nil]).count(), Some(1));
    let index = Cell::index([entry(1), entry(2)]).unwrap();
    assert_eq!(
        index
            .entries()
            .unwrap()
            .map(|(_, value)| value.as_i64())
            .collect::<Vec<_>>(),
        [Some(2)]
    );
    assert_eq!(Cell::index([(Cell::integer(1), Cell::Nil)]), None);
}

#[test]
fn collections_of_any_size_keep_the_order_of_elements() {
    for size in [0, 1, 16, 17, 31, 32, 33, 256, 257, 4096, 4097, 5000] {
        let elements = || (0..size).map(Cell::integer);
        let length = usize::try_from(size).unwrap();
        let record = Cell::record(0xd6, elements());
        for cell in [Cell::vector(elements()), Cell::list(elements()), record] {
            let cell = whole(&encode_message(&cell));
            let read = cell.as_elements().unwrap();
            assert_eq!((read.len(), read.is_empty()), (length, length == 0));
            assert!(
                read.iter().map(|e| e.as_i64().unwrap()).eq(0..size),
                "{cell} by iteration"
            );
            let got = (0..length).map(|i| read.get(i).unwrap().as_i64().unwrap());
            assert!(got.eq(0..size), "{cell} by position");
            assert_eq!(read.get(length), None);
        }
    }
}

#[test]
fn long_texts_are_joined_from_chunks_and_printed_in_full() {
    // The two bytes of é fall on both sides of every chunk boundary.
    let text = format!("a{}", "é".repeat(50_000));
    let cell = whole(&encode_message(&Cell::string(&text)));
    assert_eq!(cell.as_text().as_deref(), Some(&*text));
    assert_eq!(cell.to_string(), format!("\"{text}\""));
    assert_eq!(cell.count(), Some(100_001));
    let blob = whole(&encode_message(&Cell::blob(text.as_bytes())));
    assert_eq!(blob.as_blob().as_deref(), Some(text.as_bytes()));
    assert_eq!(blob.to_string(), format!("0x{}", hex::encode(&text)));
    let partial = decode_message(&encode(&Cell::string(&text)), &Limits::default()).unwrap();
    assert_eq!(partial.top.as_text(), None);
}

#[test]
fn invalid_utf_8_is_read_with_replacement_characters() {
    assert_eq!(
        whole(&[0x30, 3, b'a', 0xff, b'b']).as_text().as_deref(),
        Some("a\u{fffd}b")
    );
    assert_eq!(whole(&[0x33, 1, 0xff]).as_keyword(), None);
}

#[test]
fn doubles_are_kept_and_compared_bit_by_bit() {
    let odd = whole(&[0x1d, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1]);
    assert_ne!(odd, Cell::from(f64::NAN));
    assert_eq!(odd, odd.clone());
    assert_ne!(Cell::from(0.0), Cell::from(-0.0));
    assert_eq!(encode(&odd), [0x1d, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn doubles_print_as_in_java() {
    for (value, expected) in [
        (1e-3, "0.001"),
        (9.999e-4, "9.999E-4"),
        (9_999_999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (-1.25e21, "-1.25E21"),
        (123_456.789, "123456.789"),
        (2e-323, "2.0E-323"),
        (1e23, "1.0E23"),
        (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
        (100.0, "100.0"),
    ] {
        assert_eq!(Cell::from(value).to_string(), expected);
    }
}

#[test]
fn metadata_is_embedded_regardless_of_its_length() {
    let entries = (0..20).map(|i| {
        (
            Cell::keyword(&format!("key-number-{i}")),
            Cell::string("0123456789"),
        )
    });
    let cell = Cell::syntax(Cell::symbol("x"), entries);
    let content = encode_message(&Cell::vector([cell.clone()]));
    assert!(
        encode(&cell).len() > 300,
        "the map alone is longer than an embedded child may be"
    );
    assert_eq!(whole(&content), Cell::vector([cell]));
}

#[test]
fn signed_data_is_written_as_it_was_read() {
    let cell = Cell::signed(&Hash::new([1; 32]), &[2; 64], Cell::integer(5));
    let content = encode(&cell);
    assert_eq!(
        content,
        [&[0x90][..], &[1; 32], &[2; 64], &[0x11, 5]].concat()
    );
    assert_eq!(whole(&content), cell);
    let bare = [&[0x91][..], &[2; 64], &[0x11, 5]].concat();
    assert_eq!(encode(&whole(&bare)), bare);
    assert!(
        whole(&bare)
            .to_string()
            .starts_with("#Signed {:signature 0x0202")
    );
}

#[test]
fn a_vector_grows_to_three_levels_as_if_it_were_made_at_once() {
    let vector = |count| Cell::vector((0..count).map(Cell::integer));
    let mut grown = vector(0);
    for count in 0..4400 {
        grown = grown.vector_with(Cell::integer(count)).unwrap();
        if [16, 17, 256, 257, 272, 273, 4096, 4097, 4112, 4368, 4369].contains(&(count + 1)) {
            assert_eq!(grown.hash(), vector(count + 1).hash(), "{count}");
        }
    }
    assert_eq!(grown, vector(4400));
    assert_eq!(Cell::list([]).vector_with(Cell::Nil), None);
}

#[test]
fn the_parts_of_a_vector_depend_on_the_number_of_its_elements() {
    let parts = |count: i64| {
        let vector = Cell::vector((0..count).map(Cell::integer));
        match vector.vector_parts().unwrap() {
            VectorParts::Elements(elements) => format!("{} elements", elements.len()),
            VectorParts::Tail { before, elements } => {
                format!("{} before {:?}", before.count().unwrap(), elements)
            }
            VectorParts::Nodes { nodes, span } => {
                let counts: Vec<_> = nodes.iter().filter_map(Cell::count).collect();
                format!("{counts:?} of {span}")
            }
        }
    };
    for (count, expected) in [
        (0, "0 elements"),
        (16, "16 elements"),
        (18, "16 before [16, 17]"),
        (48, "[16, 16, 16] of 16"),
        (272, "[256, 16] of 256"),
    ] {
        assert_eq!(parts(count), expected);
    }
    assert!(Cell::list([]).vector_parts().is_none());
}

#[test]
fn the_parts_of_an_index_are_its_own_entry_and_its_nodes() {
    let entries = [[0x12, 0x34], [0x12, 0x56], [0x77, 0]].map(|key| (Cell::blob(&key), Cell::Nil));
    let index = Cell::index(
        entries
            .into_iter()
            .chain([(Cell::blob(&[]), Cell::Bool(true))]),
    );
    let index = index.unwrap();
    let node = index.index_node().unwrap();
    assert_eq!((node.count(), node.depth()), (4, Some(0)));
    assert_eq!(node.entry(), Some((&Cell::blob(&[]), &Cell::Bool(true))));
    let below: Vec<_> = node
        .nodes()
        .map(|(digit, below)| (digit, below.index_node().unwrap()))
        .map(|(digit, below)| (digit, below.count(), below.depth(), below.entry().is_some()))
        .collect();
    assert_eq!(below, [(1, 2, Some(2), false), (7, 1, None, true)]);
    assert!(Cell::map([]).index_node().is_none());
}

#[test]
fn the_parts_of_signed_data_are_key_signature_and_value() {
    let key = Hash::of(b"key");
    let signed = Cell::signed(&key, &[7; 64], Cell::integer(5));
    let parts = signed.signed_parts().unwrap();
    assert_eq!(
        (parts.key, parts.signature, parts.value),
        (key, &[7; 64][..], &Cell::integer(5))
    );
    assert!(Cell::vector([]).signed_parts().is_none());
}
