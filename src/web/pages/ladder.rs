//! The order of a peer as a ladder: how many blocks it has at the first level, and how many fewer
//! each next level has. `ladder.html` draws it.

use convex_client::{ORDER_LEVELS, OrderPoints};

use super::format::number;

/// A ladder of block, proposal, consensus, final and executed.
pub(super) struct Ladder(pub(super) Vec<LadderStep>);

/// One level of a ladder.
pub(super) struct LadderStep {
    /// The number of blocks at the first level, at the others how many fewer than the one before.
    pub(super) text: String,
    /// CSS class.
    pub(super) class: &'static str,
    /// Name and number.
    pub(super) title: String,
}

impl Ladder {
    /// The ladder of an order with so many blocks at each level, of which the peer has executed
    /// this many, if that is known.
    pub(super) fn new(order: OrderPoints, executed: Option<i64>) -> Self {
        let levels = ORDER_LEVELS.into_iter().zip(order.by_level().map(Some));
        let mut above: Option<i64> = None;
        let steps = levels
            .chain([("executed", executed)])
            .map(|(name, blocks)| {
                let Some(blocks) = blocks else {
                    return LadderStep {
                        text: "?".to_owned(),
                        class: "unknown",
                        title: format!("{name}: unknown"),
                    };
                };
                let fewer = above.map(|above| above.saturating_sub(blocks));
                above = Some(blocks);
                let (text, class) = match fewer {
                    None => (number(blocks), "first"),
                    Some(..=0) => ("=".to_owned(), "equal"),
                    Some(fewer) => (number(-fewer), "fewer"),
                };
                LadderStep {
                    text,
                    class,
                    title: format!("{name} {}", number(blocks)),
                }
            });
        Self(steps.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_shows_how_many_fewer_blocks_it_has_and_what_is_not_known_is_no_number() {
        for (order, executed, expected) in [
            ([9, 9, 9, 9], Some(9), "9 = = = ="),
            ([1_009, 1_008, 1_008, 1_000], Some(990), "1,009 −1 = −8 −10"),
            // It may have executed more than was final when it was asked.
            ([9, 9, 9, 8], Some(9), "9 = = −1 ="),
            ([9, 9, 9, 9], None, "9 = = = ?"),
        ] {
            let [block, proposal, consensus, finality] = order;
            let order = OrderPoints {
                block,
                proposal,
                consensus,
                finality,
            };
            let ladder = Ladder::new(order, executed);
            let texts: Vec<&str> = ladder.0.iter().map(|step| step.text.as_str()).collect();
            assert_eq!(texts.join(" "), expected, "{order:?} {executed:?}");
        }
    }
}
