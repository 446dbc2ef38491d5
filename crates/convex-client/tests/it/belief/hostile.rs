//! Beliefs that lie, and beliefs that change.

use cad3::{Cell, Hash, Limits, decode_message};
use convex_client::belief::{BeliefError, Held, MAX_ORDERS, MAX_TRIES, SignedError, read_belief};

use super::built::{Source, belief, belief_of, block, key, order, points, sign};

fn blocks(count: i64) -> Cell {
    Cell::vector((0..count).map(|i| sign(1, &block(i, 1))))
}

async fn read(belief: &Cell) -> Result<convex_client::belief::Belief, BeliefError> {
    let mut source = Source::new(belief);
    Ok(read_belief(&mut source, &[]).await?.1)
}

#[tokio::test]
async fn an_order_that_proves_nothing_is_rejected_alone() {
    let order = |order: &Cell| sign(2, order);
    let record = |fields: [Cell; 3]| order(&Cell::record(0xd7, fields));
    let time = || Cell::integer(1);
    let honest = super::built::order(7, &blocks(2));
    let forged = Cell::signed(&key(2), &[1; 64], honest.clone());
    for (name, signed, expected) in [
        ("forged", forged, SignedError::BadSignature),
        (
            "signed by another key",
            sign(3, &honest),
            SignedError::WrongSigner { signer: key(3) },
        ),
        (
            "not signed",
            honest.clone(),
            SignedError::Malformed("it is not signed data with a key"),
        ),
        (
            "not an order",
            order(&Cell::integer(4)),
            SignedError::Malformed("it is not an order of three fields"),
        ),
        (
            "two fields",
            order(&Cell::record(0xd7, [time(), points([0; 4])])),
            SignedError::Malformed("it is not an order of three fields"),
        ),
        (
            "no time",
            record([Cell::Nil, points([0; 4]), blocks(0)]),
            SignedError::Malformed("the time of the order is not an integer"),
        ),
        (
            "three points",
            record([time(), Cell::vector([time(), time(), time()]), blocks(1)]),
            SignedError::Malformed("the points of the order are not a vector of four"),
        ),
        (
            "points that are a hash",
            record([time(), Cell::blob(&[1; 500]), blocks(0)]),
            SignedError::Malformed("the points of the order are not a vector of four"),
        ),
        (
            "a point that is no integer",
            record([time(), Cell::vector([const { Cell::Nil }; 4]), blocks(0)]),
            SignedError::Malformed("a point of the order is not an integer"),
        ),
        (
            "more final than agreed",
            record([time(), points([2, 2, 1, 2]), blocks(2)]),
            SignedError::Malformed("the points of the order do not descend to 0 or more"),
        ),
        (
            "negative points",
            record([time(), points([0, 0, 0, -1]), blocks(0)]),
            SignedError::Malformed("the points of the order do not descend to 0 or more"),
        ),
        (
            "more blocks than there are",
            record([time(), points([5; 4]), blocks(0)]),
            SignedError::Malformed(
                "the blocks of the order are not a vector of as many as its block point",
            ),
        ),
    ] {
        let valid = (key(1), sign(1, &super::built::order(9, &blocks(3))));
        let found = read(&belief([valid, (key(2), signed)])).await.unwrap();
        assert_eq!(found.held(&key(2)), Held::Rejected(expected), "{name}");
        assert!(matches!(found.held(&key(1)), Held::Order(it) if it.timestamp_ms == 9));
        assert_eq!(found.held(&key(3)), Held::Nothing);
    }
}

#[tokio::test]
async fn a_signature_counts_for_its_order_only() {
    let honest = order(7, &blocks(2));
    let signed = sign(2, &honest);
    let signature = signed.signed_parts().unwrap().signature.try_into().unwrap();
    let other = Cell::signed(&key(2), signature, order(8, &blocks(2)));
    let found = read(&belief([(key(2), other)])).await.unwrap();
    assert_eq!(
        found.held(&key(2)),
        Held::Rejected(SignedError::BadSignature)
    );
}

#[tokio::test]
async fn orders_of_any_number_of_blocks_are_verified() {
    for count in (0..70).chain([137, 255, 256, 257, 300]) {
        let found = read(&belief_of([1, 2, 3], 5, &blocks(count)))
            .await
            .unwrap();
        assert_eq!(
            (found.orders.len(), found.rejected.len()),
            (3, 0),
            "{count}"
        );
        let order = &found.orders[&key(2)];
        assert_eq!(order.points.block, count);
        // The message proves the order by itself.
        let message = decode_message(&order.message, &Limits::default()).unwrap();
        assert_eq!(
            message.top,
            sign(2, &super::built::order(5, &blocks(count)))
        );
    }
}

#[tokio::test]
async fn another_cell_than_the_requested_one_is_a_lie() {
    let honest = belief_of([1, 2, 3, 4, 5], 1, &blocks(4));
    let mut source = Source::new(&honest);
    let signed = sign(3, &order(1, &blocks(4)));
    let other = sign(3, &order(2, &blocks(4)));
    source.instead.insert(signed.hash(), Some(other.clone()));
    source
        .instead
        .insert(order(1, &blocks(4)).hash(), Some(order(2, &blocks(4))));
    let error = read_belief(&mut source, &[]).await.unwrap_err();
    assert!(
        matches!(error, BeliefError::WrongHash { .. }) && error.is_invalid(),
        "{error}"
    );
}

#[tokio::test]
async fn a_reply_with_too_few_cells_is_not_read_beyond_its_end() {
    let honest = belief_of([1], 1, &blocks(1));
    let mut reader = convex_client::belief::BeliefReader::new(honest.hash(), &[]);
    reader.needed().unwrap();
    let hash = honest.hash();
    assert_eq!(reader.add(Vec::new()), Err(BeliefError::Gone { hash }));
}

/// A node of an index with any count, depth and nodes, given as bytes.
fn index_node(count: u64, depth: u8, mask: u16, children: &[Hash]) -> Cell {
    let mut encoding = vec![0x84];
    cad3::vlq::write(count, &mut encoding);
    encoding.extend([0, depth]);
    encoding.extend(mask.to_be_bytes());
    for child in children {
        encoding.push(0x20);
        encoding.extend(child.as_bytes());
    }
    decode_message(&encoding, &Limits::default()).unwrap().top
}

fn belief_with(index: &Cell) -> Cell {
    Cell::record(0xd4, [index.clone()])
}

#[tokio::test]
async fn an_index_that_does_not_have_the_shape_of_its_keys_is_invalid() {
    let entry = |number: u32| {
        let signed = sign(number, &order(1, &blocks(0)));
        Cell::index([(Cell::from(key(number)), signed)]).unwrap()
    };
    let [one, two] = [entry(1), entry(2)];
    let digits = [1, 2].map(|number| key(number).digit(0));
    assert_ne!(
        digits[0], digits[1],
        "the test needs keys that differ at once"
    );
    let mask = |a: u8, b: u8| 1_u16 << a | 1 << b;
    let ordered = |a: &Cell, b: &Cell| {
        if digits[0] < digits[1] {
            [a.hash(), b.hash()]
        } else {
            [b.hash(), a.hash()]
        }
    };
    let right = index_node(2, 0, mask(digits[0], digits[1]), &ordered(&one, &two));
    let swapped = index_node(2, 0, mask(digits[0], digits[1]), &ordered(&two, &one));
    let many = index_node(3, 0, mask(digits[0], digits[1]), &ordered(&one, &two));
    let twice = index_node(2, 0, 0b11, &[one.hash(), one.hash()]);
    let other = Cell::blob(&[1; 200]);
    let no_index = index_node(2, 0, 0b11, &[one.hash(), other.hash()]);
    let short = Cell::index([(Cell::blob(&[1; 31]), Cell::blob(&[2; 138]))]).unwrap();
    let short_key = index_node(2, 0, 0b11, &[short.hash(), one.hash()]);
    for (index, expected) in [
        (right, None),
        (swapped, Some("a key is not where its digits belong")),
        (many, Some("its count is not the sum of its nodes")),
        (twice, Some("a key is not where its digits belong")),
        (no_index, Some("its count is not the sum of its nodes")),
        (short_key, Some("a key is not")),
    ] {
        let mut source = Source::new(&belief_with(&index));
        for cell in [&one, &two, &other, &short] {
            source.store(cell);
        }
        let result = read_belief(&mut source, &[]).await;
        match (result, expected) {
            (Ok((_, belief)), None) => assert_eq!(belief.orders.len(), 2),
            (Err(error), Some(part)) => {
                assert!(
                    error.is_invalid() && error.to_string().contains(part),
                    "{error}"
                );
            }
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
    }
    for (cell, part) in [
        (Cell::integer(1), "it is not a belief"),
        (Cell::record(0xd4, []), "it is not a belief"),
        (Cell::record(0xd4, [Cell::map([])]), "it is not an index"),
    ] {
        let error = read(&cell).await.unwrap_err();
        assert!(
            error.is_invalid() && error.to_string().contains(part),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_chain_of_nodes_ends_at_the_limit_of_levels() {
    // Each node names the next one and a node that does not exist, which is never requested twice.
    let mut source = Source::default();
    let mut below = index_node(2, 63, 0b11, &[Hash::of(b"a"), Hash::of(b"b")]);
    source.store(&below);
    for depth in (0..63).rev() {
        let other = Cell::index([(Cell::from(Hash::of(b"x")), Cell::blob(&[1; 138]))]).unwrap();
        source.store(&other);
        let count = below.count().unwrap() + 1;
        below = index_node(count, depth, 0b11, &[below.hash(), other.hash()]);
        source.store(&below);
    }
    let belief = belief_with(&below);
    source.store(&belief);
    source.beliefs = vec![belief.hash()];
    let error = read_belief(&mut source, &[]).await.unwrap_err();
    assert!(error.is_invalid(), "{error}");
    assert!(source.requests <= 30, "{}", source.requests);
}

#[tokio::test]
async fn nodes_that_lead_to_each_other_more_often_than_they_have_entries_are_invalid() {
    // Sixteen times the same node at each level, which would be 16^10 visits.
    let leaf = Cell::index([(Cell::from(Hash::of(b"x")), Cell::blob(&[1; 138]))]).unwrap();
    let mut source = Source::default();
    source.store(&leaf);
    let mut below = leaf;
    for depth in (0..10).rev() {
        below = index_node(200, depth, 0xffff, &[below.hash(); 16]);
        source.store(&below);
    }
    let belief = belief_with(&below);
    source.store(&belief);
    source.beliefs = vec![belief.hash()];
    let error = read_belief(&mut source, &[]).await.unwrap_err();
    assert!(error.is_invalid(), "{error}");
    assert!(source.requests <= 10, "{}", source.requests);
}

#[tokio::test]
async fn of_a_million_orders_the_heaviest_are_read_and_the_rest_is_not_compared() {
    // A tree whose nodes exist only on the way to three keys.
    let mut source = Source::default();
    let keys = [1, 2, 3].map(key);
    let absent = |byte: u8| Hash::new([byte; 32]);
    let mut children = [const { None::<Hash> }; 16];
    for (number, key) in (1..).zip(keys) {
        let signed = sign(number, &order(number.into(), &blocks(0)));
        let entry = Cell::index([(Cell::from(key), signed)]).unwrap();
        source.store(&entry);
        children[usize::from(key.digit(0))] = Some(entry.hash());
    }
    let children: Vec<_> = (0..16_u8)
        .map(|digit| children[usize::from(digit)].unwrap_or(absent(digit)))
        .collect();
    let belief = belief_with(&index_node(1_000_000, 0, 0xffff, &children));
    source.store(&belief);
    source.beliefs = vec![belief.hash()];
    let unheard = (4..1000)
        .map(key)
        .find(|other| keys.iter().any(|key| key.digit(0) == other.digit(0)))
        .unwrap();
    let heaviest = [keys[0], keys[1], keys[2], unheard];
    let (_, belief) = read_belief(&mut source, &heaviest).await.unwrap();
    let distinct = keys
        .map(|key| key.digit(0))
        .into_iter()
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(distinct.len(), 3, "the test needs keys that differ at once");
    assert_eq!(
        (belief.count, belief.orders.len(), belief.unread()),
        (1_000_000, 3, 999_997)
    );
    for (number, key) in (1..).zip(keys) {
        assert!(matches!(belief.held(&key), Held::Order(it) if it.timestamp_ms == number));
    }
    assert_eq!(belief.held(&unheard), Held::Nothing);
    assert_eq!(belief.held(&key(77)), Held::Unread);
    assert!(source.requests <= 4, "{}", source.requests);
}

#[tokio::test]
async fn of_more_orders_than_one_request_can_have_the_heaviest_come_first() {
    let all = 0..u32::try_from(MAX_ORDERS).unwrap() + 46;
    let mut source = Source::new(&belief_of(all.clone(), 1, &blocks(1)));
    let by_stake: Vec<_> = all.clone().rev().map(key).collect();
    let (_, belief) = read_belief(&mut source, &by_stake).await.unwrap();
    assert_eq!(
        (belief.count, belief.orders.len(), belief.unread()),
        (300, MAX_ORDERS, 46)
    );
    assert!(matches!(belief.held(&key(299)), Held::Order(_)));
    assert!(matches!(belief.held(&key(46)), Held::Order(_)));
    assert_eq!(belief.held(&key(45)), Held::Unread);
}

#[tokio::test]
async fn orders_that_are_too_large_are_not_read_to_the_end() {
    // Signed data is at most 237 bytes, but what stands in its place can be 4 kB.
    let large = |number: u32| {
        let text = number.to_be_bytes().repeat(1000);
        let children = (0..15_u8).map(|i| (Cell::integer(i.into()), Cell::blob(&text[..130])));
        let children = children.collect::<Vec<_>>();
        (
            key(number),
            Cell::vector([Cell::map(children.clone()), Cell::blob(&text[..4000])]),
        )
    };
    let belief = belief((0..254).map(large));
    let mut source = Source::new(&belief);
    let (_, found) = read_belief(&mut source, &[]).await.unwrap();
    assert_eq!(found.rejected.len(), 254, "none of them is signed");

    let nodes = (0..254).map(|number| {
        let value = Cell::vector((0..16_u8).map(|i| Cell::blob(&[i; 137])));
        let value = Cell::vector([value, Cell::integer(number.into())]);
        (key(number), sign(number, &value))
    });
    let belief = super::built::belief(nodes);
    let found = read(&belief).await.unwrap();
    assert_eq!(found.rejected.len(), 254, "none of them is an order");
}

#[tokio::test]
async fn a_belief_that_changes_is_read_again() {
    let [old, new] = [1, 2].map(|time| belief_of([1, 2, 3], time, &blocks(4)));
    let mut source = Source::new(&new);
    source.beliefs = vec![old.hash(), new.hash()];
    let (head, belief) = read_belief(&mut source, &[]).await.unwrap();
    assert_eq!((head.belief, belief.hash), (new.hash(), new.hash()));
    assert!(matches!(belief.held(&key(1)), Held::Order(it) if it.timestamp_ms == 2));
}

#[tokio::test]
async fn a_belief_that_always_changes_is_not_compared() {
    let beliefs = (0..20).map(|time| belief_of([1, 2, 3], time, &blocks(4)).hash());
    let mut source = Source::default();
    source.beliefs = beliefs.collect();
    let error = read_belief(&mut source, &[]).await.unwrap_err();
    assert_eq!(error, BeliefError::Outrun { tries: MAX_TRIES });
    assert!(!error.is_invalid());
    assert_eq!(source.requests, 3);
}

#[tokio::test]
async fn a_peer_without_the_cells_of_its_own_belief_is_not_one_that_was_outrun() {
    let belief = belief_of([1, 2, 3], 1, &blocks(4));
    let mut source = Source::new(&belief);
    let missing = order(1, &blocks(4)).hash();
    source.instead.insert(missing, None);
    let error = read_belief(&mut source, &[]).await.unwrap_err();
    assert_eq!(error, BeliefError::Gone { hash: missing });
    assert!(!error.is_invalid());
}
