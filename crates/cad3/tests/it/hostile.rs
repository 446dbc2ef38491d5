//! Messages that are made to be expensive or break a rule.

use cad3::{Cell, Hash, Limits, MAX_PRINTED_BYTES, decode_message, encode, encode_message, vlq};

use super::data::{message, whole};

/// Builds messages by hand, because the encoder makes only valid ones.
#[derive(Default)]
struct MessageBuilder {
    branches: Vec<u8>,
}

impl MessageBuilder {
    /// Adds a branch and returns the reference to it.
    fn branch(&mut self, cell: &[u8]) -> Vec<u8> {
        vlq::write(cell.len() as u64, &mut self.branches);
        self.branches.extend(cell);
        [&[0x20], &Hash::of(cell).as_bytes()[..]].concat()
    }

    fn message(self, top: &[u8]) -> Vec<u8> {
        [top, &self.branches].concat()
    }
}

fn hex(digits: &str) -> Vec<u8> {
    hex::decode(digits.replace(' ', "")).unwrap()
}

fn error(content: &[u8]) -> String {
    decode_message(content, &Limits::default())
        .unwrap_err()
        .to_string()
}

/// Nested vectors, each of sixteen times the next: 16^levels blobs in a few kilobytes.
fn billion_laughs(levels: usize) -> Vec<u8> {
    let mut builder = MessageBuilder::default();
    let mut below = builder.branch(&encode(&Cell::blob(&[7; 200])));
    for _ in 0..levels {
        below = builder.branch(&[&hex("80 10")[..], &below.repeat(16)].concat());
    }
    builder.message(&[&hex("80 01")[..], &below].concat())
}

#[test]
fn shared_branches_are_processed_once() {
    let content = billion_laughs(60);
    let (one, other) = (whole(&content), whole(&content));
    assert_eq!(one, other);
    assert_eq!(one.hash(), other.hash());
    assert_eq!(encode_message(&one).len(), content.len());
    assert_ne!(one, whole(&billion_laughs(59)));
    assert_eq!(one.clone().as_elements().unwrap().len(), 1);
}

#[test]
fn printing_stops_at_the_limit_with_a_notice() {
    let cell = whole(&billion_laughs(60));
    let printed = cell.to_string();
    assert_eq!(
        printed.len(),
        MAX_PRINTED_BYTES + "<<Print limit exceeded>>".len()
    );
    assert!(printed.ends_with("<<Print limit exceeded>>"));
    assert_eq!(cell.printed(64).to_string().len(), 64 + 24);
    assert_eq!(
        Cell::string("aé").printed(3).to_string(),
        "\"a<<Print limit exceeded>>"
    );
    assert_eq!(Cell::string("aé").printed(5).to_string(), "\"aé\"");
}

#[test]
fn a_vector_of_2_60_elements_is_accessed_in_a_few_steps() {
    // All inner nodes of a level are the same node, which is valid: 16^15 elements.
    let mut builder = MessageBuilder::default();
    let elements = Cell::vector((0..16).map(|i| Cell::integer(1000 + i)));
    let mut node = encode(&elements);
    let mut child = node.clone();
    let mut count = 16_u64;
    while count < 1 << 60 {
        count *= 16;
        node = vec![0x80];
        vlq::write(count, &mut node);
        node.extend(child.repeat(16));
        child = if node.len() > 140 {
            builder.branch(&node)
        } else {
            node.clone()
        };
    }
    let cell = whole(&builder.message(&[&hex("80 01")[..], &child].concat()));
    let huge = cell
        .as_elements()
        .unwrap()
        .get(0)
        .unwrap()
        .as_elements()
        .unwrap();
    assert_eq!(huge.len(), 1 << 60);
    assert_eq!(huge.get((1 << 60) - 1).unwrap().as_i64(), Some(1015));
    assert_eq!(huge.get((1 << 59) + 3).unwrap().as_i64(), Some(1003));
    assert_eq!(huge.get(1 << 60), None);
    assert_eq!(huge.iter().nth(100).unwrap().as_i64(), Some(1004));
}

#[test]
fn a_huge_blob_of_shared_chunks_is_not_joined() {
    let mut builder = MessageBuilder::default();
    let mut child = builder.branch(&encode(&Cell::blob(&[9; 4096])));
    let mut count = 4096_u64;
    while count < 1 << 40 {
        count *= 16;
        let mut node = vec![0x31];
        vlq::write(count, &mut node);
        node.extend(child.repeat(16));
        child = builder.branch(&node);
    }
    let cell = whole(&builder.message(&[&hex("80 01")[..], &child].concat()));
    let blob = cell.as_elements().unwrap().get(0).unwrap();
    assert_eq!(blob.count(), Some(1 << 40));
    assert_eq!(blob.as_blob(), None);
}

/// A chain of branches, each a vector of the next one and a filler.
fn chain(levels: usize) -> Vec<u8> {
    let mut builder = MessageBuilder::default();
    let filler = encode(&Cell::blob(&[1; 137]));
    let mut below = vec![0x00];
    for _ in 0..levels {
        below = builder.branch(&[&hex("80 02")[..], &below, &filler].concat());
    }
    builder.message(&[&hex("80 01")[..], &below].concat())
}

#[test]
fn nesting_across_branches_is_limited() {
    // One level more for the top vector and one for the innermost value.
    let deepest = whole(&chain(126));
    assert_eq!(deepest, whole(&encode_message(&deepest)));
    assert!(deepest.to_string().starts_with("[[[[["));
    let expected = "nested too deep";
    assert!(
        error(&chain(127)).starts_with(expected),
        "{}",
        error(&chain(127))
    );
    assert!(error(&chain(5_000)).starts_with(expected));
    let nested = hex(&"8001".repeat(5000));
    assert_eq!(
        error(&nested),
        "nested too deep at offset 256, at most 128 levels"
    );
}

/// Collections, records and operations use different amounts of stack.
#[test]
fn the_deepest_nesting_of_each_kind_is_processed() {
    let filler = encode(&Cell::blob(&[1; 137]));
    let metadata = hex("82 01 33016b");
    let none: &[u8] = &[];
    for (head, before, after) in [
        ("81 02", none, &filler[..]),
        ("82 01", none, &filler),
        ("84 01", &filler, none),
        ("88", none, &[&metadata[..], &filler].concat()),
        ("c4", none, &filler),
        ("db 02", none, &filler),
        ("dd 05 00", none, &[&filler[..], &[0, 0]].concat()),
    ] {
        let mut builder = MessageBuilder::default();
        let mut below = vec![0x00];
        for _ in 0..120 {
            let cell = [&hex(head), before, &below, after].concat();
            below = builder.branch(&cell);
        }
        let content = builder.message(&[&hex("80 01")[..], &below].concat());
        let cell = whole(&content);
        assert_eq!(encode_message(&cell).len(), content.len(), "{head}");
        assert_eq!(cell, whole(&content), "{head}");
        assert!(cell.to_string().len() > 2, "{head}");
    }
}

#[test]
fn the_longest_path_to_a_branch_counts_as_its_depth() {
    let mut builder = MessageBuilder::default();
    let filler = encode(&Cell::blob(&[1; 137]));
    let mut below = vec![0x00];
    let mut paths = Vec::new();
    for level in 0..300 {
        below = builder.branch(&[&hex("80 02")[..], &below, &filler].concat());
        if level % 60 == 0 || level == 299 {
            paths.push(below.clone());
        }
    }
    let top = [
        vec![0x80, u8::try_from(paths.len()).unwrap()],
        paths.concat(),
    ]
    .concat();
    assert!(error(&builder.message(&top)).starts_with("nested too deep"));
}

#[test]
fn the_decoder_enforces_its_limits() {
    let content = encode_message(&Cell::vector((0..100).map(Cell::integer)));
    let limits = Limits {
        max_bytes: 100,
        ..Limits::default()
    };
    let size = content.len();
    let error = decode_message(&content, &limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("message of {size} bytes, at most 100")
    );
    assert_eq!(error.offset, 100);
    let limits = Limits {
        max_cells: 50,
        ..Limits::default()
    };
    let error = decode_message(&content, &limits).unwrap_err().to_string();
    assert!(
        error.starts_with("too many cells at offset ") && error.ends_with(", at most 50"),
        "{error}"
    );
    let limits = Limits {
        max_depth: 1,
        ..Limits::default()
    };
    let error = decode_message(&content, &limits).unwrap_err().to_string();
    assert!(error.starts_with("nested too deep at offset "), "{error}");
}

#[test]
fn an_error_has_the_offset_and_both_numbers() {
    for (content, expected) in [
        ("", "cell at offset 0 needs 1 bytes, 0 are left"),
        (
            "8002 1101 3005 6162",
            "string at offset 6 needs 5 bytes, 2 are left",
        ),
        (
            "31 bfffffffffffffff7f",
            "cell at offset 10 needs 1 bytes, 0 are left",
        ),
        (
            "8001 80ffffffffffffffffff",
            "count is 2^63 or more at offset 3",
        ),
        ("30 8000", "count is not in its shortest form at offset 1"),
        ("8001 40", "unknown tag 40 at offset 2"),
        ("20", "unknown tag 20 at offset 0"),
        ("33 00", "keyword of 0 bytes at offset 0, at least 1"),
        ("32 81 61", "symbol of 129 bytes at offset 0, at most 128"),
        (
            "19 08 0000000000000000",
            "big integer of 8 bytes at offset 0, at least 9",
        ),
        (
            "19 a001",
            "big integer of 4097 bytes at offset 0, at most 4096",
        ),
        (
            "8001 1101 0500",
            "branch of 5 bytes at offset 4, at least 141",
        ),
        (
            "8001 1101 8f00 00",
            "branch at offset 6 needs 1920 bytes, 1 are left",
        ),
        (
            "3f 01000000",
            "character at offset 0: must not be above 10ffff",
        ),
        (
            "82 02 1101 00 1101 00",
            "key at offset 5: keys must be unique and in ascending order of their hashes",
        ),
    ] {
        assert_eq!(error(&hex(content)), expected, "{content}");
    }
    let long = [&hex("8001 30 810a")[..], &[b'a'; 138]].concat();
    assert_eq!(
        error(&long),
        "inline child of 141 bytes at offset 2, at most 140"
    );
    let branch = [&[0x30, 0x81, 0x00][..], &[b'a'; 128], &[0; 20]].concat();
    let mut builder = MessageBuilder::default();
    let child = builder.branch(&branch);
    assert_eq!(
        error(&builder.message(&[&hex("80 01")[..], &child].concat())),
        "branch of 151 bytes at offset 37 has a cell of only 131 bytes"
    );
}

#[test]
fn an_error_in_a_branch_has_its_offset_in_the_message() {
    let mut builder = MessageBuilder::default();
    let branch = [&hex("80 02 1100")[..], &encode(&Cell::blob(&[1; 137]))].concat();
    let child = builder.branch(&branch);
    let content = builder.message(&[&hex("80 01")[..], &child].concat());
    let expected = 2 + 33 + 2 + 2;
    assert_eq!(
        error(&content),
        format!("integer at offset {expected}: must be in its shortest form")
    );
}

/// A map of sixteen entries i -> i, with one byte changed.
#[test]
fn a_map_with_an_inconsistent_shift_mask_or_count_is_rejected() {
    let good = encode(&Cell::map(
        (0..16).map(|i| (Cell::integer(i), Cell::integer(i))),
    ));
    assert_eq!(good[..5], hex("82 10 00 b7d7"));
    assert!(decode_message(&good, &Limits::default()).is_ok());
    let rule =
        "tree of a map or set at offset 1: shift and mask must follow from the hashes of the keys";
    // Other digits in the mask, the same number of them; another shift.
    for (at, byte) in [(3, 0x77), (4, 0xe7), (2, 0x01)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(error(&bad), rule, "{byte:02x} at {at}");
    }
    let mut bad = good.clone();
    bad[1] = 0x11;
    assert_eq!(
        error(&bad),
        "count at offset 1: must be the sum of the counts of the nodes"
    );
}

#[test]
fn a_set_with_swapped_children_is_rejected() {
    let good = encode(&Cell::set((0..16).map(Cell::integer)));
    // `83 01 11 05`, `83 01 11 04` are the first two nodes.
    assert_eq!(good[5..13], hex("83011105 83011104"));
    let bad = [&good[..5], &good[9..13], &good[5..9], &good[13..]].concat();
    assert!(
        error(&bad).contains("shift and mask must follow"),
        "{}",
        error(&bad)
    );
}

#[test]
fn an_index_that_is_inconsistent_with_its_keys_is_rejected() {
    // {0x12 1, 0x1234 2}: an entry that ends at depth 2, then digit 3.
    assert!(
        decode_message(
            &hex("8402 80 3101121101 02 0008 8401310212341102"),
            &Limits::default()
        )
        .is_ok()
    );
    for (bad, why) in [
        (
            "8402 80 3101121101 01 0008 8401310212341102",
            "the depth is less than the key's",
        ),
        (
            "8402 80 3101121101 02 0010 8401310212341102",
            "the digit is another",
        ),
        (
            "8402 80 3101131101 02 0008 8401310212341102",
            "the entry is no prefix",
        ),
        (
            "8403 80 3101121101 02 0008 8401310212341102",
            "the count is one more",
        ),
        ("8402 00 02 0008 8401310212341102", "one part alone"),
        ("8402 80 3101121101 02 0000", "one entry alone"),
        ("8402 80 3101121101 02 0008 1101", "a child of another kind"),
        ("8402 80 3101121101 02 0008 8400", "an empty child"),
        (
            "8402 80 11121101 02 0008 8401310212341102",
            "an integer as key",
        ),
        (
            "8402 00 00 000a 84013101121101 84013101341102",
            "children of the wrong digits, swapped below",
        ),
    ] {
        let result = decode_message(&hex(bad), &Limits::default());
        // The last one is valid, but not with its children swapped.
        let valid = why.ends_with("swapped below");
        assert_eq!(result.is_ok(), valid, "{why}: {result:?}");
    }
    let swapped = hex("8402 00 00 000a 84013101341102 84013101121101");
    assert!(error(&swapped).contains("must follow from the keys"));
}

#[test]
fn vectors_strings_and_syntax_with_wrong_inner_cells_are_rejected() {
    let sixteen = format!("8010{}", "1101".repeat(16));
    let list = sixteen.replacen("80", "81", 1);
    for (bad, why) in [
        (format!("8011 1101 {list}"), "a list as inner node"),
        (
            format!("8011 1101 8001{}", "1101"),
            "an inner node of the wrong size",
        ),
        (
            format!("8012 1101 {sixteen}"),
            "a tail of one instead of two",
        ),
        (format!("8020 {sixteen} {list}"), "a tree with a list in it"),
        (
            format!("8111 1101 {list}"),
            "the inner nodes of a list are vectors",
        ),
        ("30 a001 3000 3000".to_owned(), "chunks of the wrong size"),
        ("88 1101 8200".to_owned(), "empty metadata"),
        (
            format!("88 1101 20{}", "00".repeat(32)),
            "metadata as a ref",
        ),
    ] {
        assert!(
            decode_message(&hex(&bad), &Limits::default()).is_err(),
            "{why}"
        );
    }
    assert_eq!(
        whole(&hex(&format!("8111 1101 {sixteen}"))).count(),
        Some(17)
    );
}

#[test]
fn a_tree_with_missing_nodes_is_read_as_far_as_possible() {
    let elements: Vec<_> = (0..100).map(Cell::integer).collect();
    let content = encode(&Cell::vector(elements.clone()));
    let message = message(&content);
    assert!(!message.is_complete());
    let known = message.top.as_elements().unwrap();
    assert_eq!(known.len(), 100);
    assert_eq!(known.get(97).unwrap().as_i64(), Some(97));
    assert_eq!(known.get(3).unwrap().as_missing(), Some(message.missing[0]));
    // The ninety-six missing elements count as one.
    assert_eq!(known.iter().count(), 1 + 4);
    assert_eq!(
        message.top,
        Cell::vector(elements),
        "both have the same encoding"
    );
    assert_eq!(encode_message(&message.top), content);
    assert_eq!(
        message.to_string(),
        format!(
            "[#[missing {}] 96 97 98 99]",
            &format!("{:x}", message.missing[0])[..8]
        )
    );
}

#[test]
fn a_branch_that_nothing_refers_to_is_refused_unread() {
    for branch in [encode(&Cell::blob(&[7; 200])), vec![0x40; 200]] {
        let mut builder = MessageBuilder::default();
        let child = builder.branch(&encode(&Cell::blob(&[8; 200])));
        builder.branch(&branch);
        let top = [&hex("80 01")[..], &child].concat();
        let at = builder.branches.len() + top.len() - branch.len();
        assert_eq!(
            error(&builder.message(&top)),
            format!("nothing refers to the branch at offset {at}")
        );
    }
}

/// A vector of sets of eight one-byte keys, as many as fit a branch of 16 children, in `branches`
/// of them.
fn sets(branches: usize) -> Vec<u8> {
    let keys = [0x00, 0x10, 0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5].map(|byte| vec![byte]);
    let mut keys = keys.to_vec();
    keys.sort_by_key(|key| Hash::of(key));
    let set = [&hex("83 08")[..], &keys.concat()].concat();
    let inline = [&hex("80 0d")[..], &set.repeat(13)].concat();
    let mut builder = MessageBuilder::default();
    let mut children: Vec<Vec<u8>> = (0..branches)
        .map(|i| {
            let mut number = vec![0x12];
            number.extend((256 + u16::try_from(i).unwrap()).to_be_bytes());
            builder.branch(&[&hex("80 10")[..], &number, &inline.repeat(15)].concat())
        })
        .collect();
    while children.len() > 1 {
        let chunks = children.chunks(16);
        children = chunks
            .map(|chunk| {
                let count = u8::try_from(chunk.len()).unwrap();
                let node = [vec![0x80, count], chunk.concat()].concat();
                match node.len() {
                    ..=140 => node,
                    _ => builder.branch(&node),
                }
            })
            .collect();
    }
    let top = [&hex("80 01")[..], &children[0]].concat();
    builder.message(&top)
}

#[test]
fn the_number_of_keys_that_are_hashed_is_limited() {
    // 16 branches with 15 vectors of 13 sets of 8 keys.
    let (content, keys) = (sets(16), 16 * 15 * 13 * 8);
    for (max_key_hashes, allowed) in [(keys, true), (keys - 1, false)] {
        let limits = Limits {
            max_key_hashes,
            ..Limits::default()
        };
        let decoded = decode_message(&content, &limits).map_err(|error| error.to_string());
        match decoded {
            Ok(_) => assert!(allowed),
            Err(error) => {
                assert!(!allowed, "{error}");
                let expected = format!(", at most {max_key_hashes}");
                assert!(
                    error.starts_with("too many keys of maps and sets to check at offset ")
                        && error.ends_with(&expected),
                    "{error}"
                );
            }
        }
    }
    assert!(error(&sets(120)).ends_with("at most 25000"));
    assert!(decode_message(&sets(120), &Limits::TRUSTED).is_ok());
}

#[test]
fn the_keys_of_the_nodes_of_a_map_count_too() {
    let map = Cell::map((0..1000).map(|i| (Cell::integer(i), Cell::integer(i))));
    let content = encode_message(&map);
    let limits = |max_key_hashes| Limits {
        max_key_hashes,
        ..Limits::default()
    };
    // Each key in its leaf; the first and the last key of the leaves again in the node above.
    assert!(decode_message(&content, &limits(1000)).is_err());
    assert!(decode_message(&content, &limits(2000)).is_ok());
}
