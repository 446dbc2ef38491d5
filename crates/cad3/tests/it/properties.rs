//! Properties of all values and all bytes.

use cad3::{Cell, Hash, Limits, decode_message, encode, encode_message, reader::read, vlq};
use num_bigint::BigInt;
use proptest::collection::vec;
use proptest::prelude::*;

use super::data::whole;

/// A name that can be written in query text.
fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z.*+!?<>=_-][a-zA-Z.*+!?<>=0-9:#_-]{0,20}".prop_filter("has another meaning", |name| {
        !matches!(&**name, "nil" | "true" | "false")
            && !name
                .strip_prefix('-')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// Values without children that can be written in query text.
fn plain() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Nil),
        any::<bool>().prop_map(Cell::from),
        any::<i64>().prop_map(Cell::from),
        vec(any::<u8>(), 0..40)
            .prop_map(|b| Cell::big_integer(&BigInt::from_signed_bytes_be(&b)).unwrap()),
        prop::num::f64::NORMAL.prop_map(Cell::from),
        prop::num::f64::SUBNORMAL.prop_map(Cell::from),
        any::<String>().prop_map(|text| Cell::string(&text)),
        vec(any::<u8>(), 0..300).prop_map(|bytes| Cell::blob(&bytes)),
        name().prop_map(|name| Cell::symbol(&name)),
        name().prop_map(|name| Cell::keyword(&name)),
        (0..1_u64 << 63).prop_map(Cell::address),
        any::<char>().prop_map(character),
    ]
}

fn character(c: char) -> Cell {
    let code = u32::from(c).to_be_bytes();
    let code = &code[code.iter().position(|b| *b != 0).unwrap_or(3)..];
    whole(&[&[0x3b + u8::try_from(code.len()).unwrap()], code].concat())
}

fn collections(
    inner: impl Strategy<Value = Cell> + Clone + 'static,
) -> impl Strategy<Value = Cell> {
    let pairs = |range| vec((inner.clone(), inner.clone()), range);
    prop_oneof![
        vec(inner.clone(), 0..40).prop_map(Cell::vector),
        vec(inner.clone(), 0..40).prop_map(Cell::list),
        vec(inner.clone(), 0..40).prop_map(Cell::set),
        pairs(0..40).prop_map(Cell::map),
        vec((vec(any::<u8>(), 0..34), inner.clone()), 0..20).prop_map(|e| Cell::index(
            e.into_iter().map(|(key, value)| (Cell::blob(&key), value))
        )
        .unwrap()),
        (inner.clone(), pairs(0..4))
            .prop_filter("nested metadata is merged", |(datum, _)| datum.kind()
                != "syntax")
            .prop_map(|(datum, metadata)| Cell::syntax(datum, metadata)),
    ]
}

/// Values that can be written in query text.
fn readable() -> impl Strategy<Value = Cell> {
    plain().prop_recursive(4, 200, 20, collections)
}

/// All values.
fn cell() -> impl Strategy<Value = Cell> {
    let leaf = prop_oneof![
        4 => plain(),
        1 => any::<f64>().prop_map(Cell::from),
        1 => (4000..20_000_usize).prop_map(|size| Cell::blob(&(0..=255).cycle().take(size).collect::<Vec<u8>>())),
        1 => (0xb2..=0xbf_u8).prop_map(|tag| whole(&[tag])),
        1 => (0xe0..=0xef_u8, 0..1_u64 << 63).prop_map(|(tag, number)| {
            let mut bytes = vec![tag];
            vlq::write(number, &mut bytes);
            whole(&bytes)
        }),
    ];
    leaf.prop_recursive(4, 200, 20, |inner| {
        prop_oneof![
            4 => collections(inner.clone()),
            1 => (0xd0..=0xdf_u8, vec(inner.clone(), 0..20)).prop_map(|(tag, fields)| Cell::record(tag, fields)),
            1 => (any::<[u8; 32]>(), inner).prop_map(|(key, value)| Cell::signed(&Hash::new(key), &[3; 64], value)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_index_with_another_value_is_the_same_as_one_made_of_it(
        entries in prop::collection::btree_map(vec(0..4_u8, 0..5), any::<i64>(), 1..40),
        chosen in any::<prop::sample::Index>(),
        other in vec(0..4_u8, 0..6),
    ) {
        let cells = |entries: &std::collections::BTreeMap<Vec<u8>, i64>| {
            let cells = entries.iter().map(|(key, value)| (Cell::blob(key), Cell::integer(*value)));
            Cell::index(cells).unwrap()
        };
        let index = cells(&entries);
        let key = entries.keys().nth(chosen.index(entries.len())).unwrap().clone();
        let mut expected = entries.clone();
        expected.insert(key.clone(), 7);
        let found = index.index_with(&Cell::blob(&key), Cell::integer(7)).unwrap();
        prop_assert_eq!(found.hash(), cells(&expected).hash());
        prop_assert_eq!(found, cells(&expected));
        let is_entry = entries.contains_key(&other);
        prop_assert_eq!(index.index_with(&Cell::blob(&other), Cell::Nil).is_some(), is_entry);
        prop_assert_eq!(index.index_with(&Cell::integer(1), Cell::Nil), None);
        prop_assert_eq!(Cell::Nil.index_with(&Cell::blob(&key), Cell::Nil), None);
    }

    #[test]
    fn a_vector_with_one_more_element_is_the_same_as_one_made_of_all(count in 0..700_i64) {
        let vector = |count| Cell::vector((0..count).map(Cell::integer));
        let longer = vector(count).vector_with(Cell::integer(count)).unwrap();
        prop_assert_eq!(encode_message(&longer), encode_message(&vector(count + 1)));
    }

    #[test]
    fn a_cell_without_the_branches_below_it_keeps_its_encoding_and_its_hash(cell in cell()) {
        let encoding = encode(&cell);
        let alone = decode_message(&encoding, &Limits::TRUSTED).unwrap();
        prop_assert_eq!(encode(&alone.top), encoding);
        prop_assert_eq!(alone.top.hash(), cell.hash());
    }

    #[test]
    fn any_value_reads_back_as_written(cell in cell()) {
        let content = encode_message(&cell);
        let read = whole(&content);
        prop_assert_eq!(&read, &cell);
        prop_assert_eq!(read.hash(), Hash::of(&encode(&cell)));
        prop_assert_eq!(encode_message(&read), content);
        prop_assert_eq!(read.to_string(), cell.to_string());
    }

    #[test]
    fn any_printed_value_reads_back(cell in readable()) {
        let printed = cell.to_string();
        prop_assert_eq!(read(&printed), Ok(cell), "{}", printed);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        check_any(&bytes)?;
    }

    #[test]
    fn a_changed_byte_is_refused_or_gives_another_value(
        cell in cell(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut content = encode(&cell);
        let at = at.index(content.len());
        let same = content[at] == byte;
        content[at] = byte;
        if let Some(read) = check_any(&content)? {
            prop_assert_eq!(read == cell, same);
        }
    }

    #[test]
    fn any_count_reads_back_as_written(number in 0..1_u64 << 63) {
        let mut bytes = Vec::new();
        vlq::write(number, &mut bytes);
        prop_assert_eq!(vlq::read(&bytes), Ok((number, bytes.len())));
        prop_assert_eq!(vlq::len(number), bytes.len());
        prop_assert!(vlq::read(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn any_query_text_is_read_or_refused(text in any::<String>(), words in "[-()\\[\\]{}#^'`~@/:;\"\\\\a0xé \n_.]{0,30}") {
        for text in [text, words] {
            if let Ok(form) = read(&text) {
                prop_assert_eq!(whole(&encode_message(&form)), form);
            }
        }
    }
}

/// Each value has one encoding, so decoded bytes are encoded to the same bytes.
fn check_any(bytes: &[u8]) -> Result<Option<Cell>, TestCaseError> {
    match decode_message(bytes, &Limits::default()) {
        Ok(message) => {
            let top = encode(&message.top);
            prop_assert_eq!(&top[..], &bytes[..top.len()]);
            prop_assert!(message.to_string().len() <= 40 * bytes.len() + 40);
            Ok(Some(message.top))
        }
        Err(error) => {
            prop_assert!(error.offset <= bytes.len(), "{}", error);
            Ok(None)
        }
    }
}
