//! Walks through beliefs that were captured from peers of two releases.

use std::collections::HashMap;
use std::path::Path;

use cad3::{Cell, Hash, Limits, decode_message, vlq};
use convex_client::belief::{BeliefHead, CellSource, SignedOrder, read_belief};
use convex_client::{Failure, Reply, data_request, read_cells, status_request};
use serde_json::Value;

/// Answers with the captured frames, if the requests are the captured ones.
#[derive(Default)]
struct Captured {
    replies: HashMap<Vec<u8>, Cell>,
    next_id: i64,
}

impl Captured {
    fn new(walk: &Value) -> Self {
        let exchanges = walk["exchanges"].as_array().unwrap();
        let replies = exchanges.iter().map(|exchange| {
            let [request, reply] = [0, 1].map(|i| hex::decode(exchange[i].as_str().unwrap()));
            let reply = content(&reply.unwrap());
            let reply = decode_message(&reply, &Limits::default()).unwrap().top;
            (content(&request.unwrap()), reply)
        });
        Self {
            replies: replies.collect(),
            next_id: 0,
        }
    }

    fn answer(&mut self, request: impl FnOnce(i64) -> Cell) -> Cell {
        self.next_id += 1;
        let request = cad3::encode_message(&request(self.next_id));
        let reply = self
            .replies
            .remove(&request)
            .unwrap_or_else(|| panic!("not captured: {}", hex::encode(&request)));
        Reply::from_cell(&reply).unwrap().outcome.unwrap()
    }
}

/// Returns the content of a frame.
fn content(frame: &[u8]) -> Vec<u8> {
    let (_, used) = vlq::read(frame).unwrap();
    frame[used..].to_vec()
}

impl CellSource for Captured {
    async fn head(&mut self) -> Result<BeliefHead, Failure> {
        BeliefHead::from_cell(&self.answer(status_request))
    }

    async fn cells(&mut self, hashes: &[Hash]) -> Result<Vec<Option<Cell>>, Failure> {
        read_cells(&self.answer(|id| data_request(id, hashes)), hashes.len())
    }
}

fn hash(value: &Value) -> Hash {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn captured_walks_have_their_meaning_and_take_the_captured_requests() {
    let mut orders = 0;
    for release in ["0.8.0", "0.8.6"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../tests/vectors/belief-{release}.json"));
        let file = std::fs::read_to_string(path).unwrap();
        let file: Value = serde_json::from_str(&file).unwrap();
        for walk in file["walks"].as_array().unwrap() {
            let found = &walk["found"];
            let mut captured = Captured::new(walk);
            let (head, belief) = read_belief(&mut captured, &[]).await.unwrap();
            assert!(captured.replies.is_empty(), "not requested: {release}");
            assert_eq!(head.belief, hash(&found["belief"]));
            assert_eq!(head.status.peer_key, hash(&found["peer"]));
            let levels = |points: &Value| serde_json::from_value::<[i64; 4]>(points.clone());
            assert_eq!(
                head.status.order.by_level(),
                levels(&found["points"]).unwrap()
            );
            let expected = found["orders"].as_object().unwrap();
            assert_eq!(belief.count, expected.len() as u64);
            assert_eq!((belief.orders.len(), belief.unread()), (expected.len(), 0));
            for (key, expected) in expected {
                let order = &belief.orders[&key.parse().unwrap()];
                assert_eq!(order.key, hash(&expected["signer"]));
                assert_eq!(order.timestamp_ms, expected["timestamp"]);
                assert_eq!(
                    order.points.by_level(),
                    levels(&expected["points"]).unwrap()
                );
                match expected["blocks_ref"].as_str().unwrap() {
                    "embedded:0" => assert_eq!(order.blocks.count(), 0),
                    blocks => assert_eq!(order.blocks.hash(), blocks.parse().unwrap()),
                }
                assert_eq!(
                    SignedOrder::from_message(&order.message).as_ref(),
                    Ok(order.as_ref())
                );
                orders += 1;
            }
        }
    }
    assert_eq!(
        orders, 14,
        "two peers that hear three, and one alone, twice"
    );
}
