//! Properties of all answers.

use std::collections::BTreeSet;

use cad3::{Cell, Hash};
use convex_client::QueryError;
use convex_client::chain::economics::MAX_SUPPLY_COPPER;
use convex_client::chain::{MAX_PEERS, RegistryReader, to_number};
use proptest::prelude::*;

use super::{key, page, page_at, query_error, row};

/// Any cell, often of the expected shape.
fn cells() -> impl Strategy<Value = Cell> {
    let leaf = prop_oneof![
        Just(Cell::Nil),
        any::<i64>().prop_map(Cell::integer),
        (0i64..4).prop_map(Cell::integer),
        (0..4usize).prop_map(|i| key(i).into()),
        any::<u64>().prop_map(Cell::address),
        any::<f64>().prop_map(Cell::from),
        any::<bool>().prop_map(Cell::from),
        ".{0,20}".prop_map(|text| Cell::string(&text)),
        any::<[u8; 32]>().prop_map(|bytes| Cell::Ref(Hash::new(bytes).into())),
    ];
    let any_cell = leaf.prop_recursive(3, 24, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Cell::vector),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Cell::map),
        ]
    });
    let replaced = (0..4usize, prop::option::of((0..7usize, any_cell.clone())));
    let row = replaced.prop_map(|(i, replaced)| {
        let mut row = row(i);
        if let Some((position, cell)) = replaced {
            row[position] = cell;
        }
        Cell::vector(row)
    });
    let rows = (0i64..4, prop::collection::vec(row, 0..4)).prop_map(|(n, rows)| page(n, rows));
    let sums = (0i64..4, any::<i64>(), any::<f64>());
    let sums = sums.prop_map(|(n, stake, weight)| page_at(7, n, [stake.into(), weight.into()]));
    prop_oneof![any_cell, rows, sums]
}

/// Any answer: a cell, or nothing because a limit was exceeded.
fn answers() -> impl Strategy<Value = Result<Cell, QueryError>> {
    prop_oneof![3 => cells().prop_map(Ok), 1 => Just(()).prop_map(|()| query_error("JUICE"))]
}

proptest! {
    #[test]
    fn any_answers_give_a_consistent_registry_or_an_error(answers in prop::collection::vec(answers(), 0..12)) {
        let mut reading = RegistryReader::new([key(0), key(3)]).with_max_page(2);
        for answer in answers {
            if let Err(error) = reading.handle_answer(answer) {
                prop_assert!(error.to_string().len() < 400, "{error}");
            }
            let query = reading.next_query();
            prop_assert!(query.is_none_or(|query| query.source().len() < 20_000));
        }
        if let Some(registry) = reading.finish() {
            let weights = registry.weights();
            prop_assert!(weights.values().all(|weight| (0.0..=1.0).contains(weight)));
            if registry.coverage.is_complete() {
                prop_assert_eq!(registry.peers.len() as u64, registry.registered);
                let sum: f64 = weights.values().sum();
                prop_assert!(weights.is_empty() || (sum - 1.0).abs() < 1e-9);
            }
            if let Some(totals) = registry.coverage.totals() {
                prop_assert!((0..=MAX_SUPPLY_COPPER).contains(&totals.stake_copper));
                prop_assert!(totals.weight.is_finite() && totals.weight >= 0.0);
            }
            prop_assert!(registry.controllers.keys().collect::<BTreeSet<_>>().len() <= MAX_PEERS);
            for peer in registry.peers.values() {
                prop_assert!(peer.own_copper >= 0 && peer.delegated_copper >= 0);
            }
        }
    }

    #[test]
    fn any_cell_is_a_gauge_or_an_error(cell in cells()) {
        if let Err(error) = to_number(&cell) {
            prop_assert!(error.to_string().contains(cell.kind()));
        }
    }
}
