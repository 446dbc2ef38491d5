//! What an account controls: other accounts and peers, in one state.

use cad3::Cell;

use crate::query::Query;

/// Maximum number of accounts that are searched, so that the query stays within a peer's limit of
/// 10,000,000 juice.
pub const MAX_SEARCHED_ACCOUNTS: u64 = 20_000;

/// Maximum number of peers that are searched, for the same reason.
pub const MAX_SEARCHED_PEERS: u64 = 2_000;

/// Maximum number of bytes of a value in an error.
const MAX_PRINTED_BYTES: usize = 60;

/// What an account controls, in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountControl {
    /// Index of the last applied block of the state; −1 before the first.
    pub block: i64,
    /// Number of other accounts that it controls; none if there are more than
    /// [`MAX_SEARCHED_ACCOUNTS`] accounts.
    pub accounts: Option<u64>,
    /// Number of peers that it controls; none if there are more than [`MAX_SEARCHED_PEERS`] peers.
    pub peers: Option<u64>,
}

impl AccountControl {
    /// Whether all accounts and all peers were searched.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.accounts.is_some() && self.peers.is_some()
    }
}

/// Returns the query for what an account controls. A peer searches all accounts and all peers, at
/// about 110 juice for an account and 180 for a peer, so ask seldom.
#[expect(clippy::missing_panics_doc, reason = "the text is always a form")]
#[must_use]
pub fn control_query(account: u64) -> Query {
    let text = format!(
        "(let [accounts (:accounts *state*) \
               peers (:peers *state*) \
               found (account #{account}) \
               itself (if found (if (= #{account} (:controller found)) 1 0) 0)] \
           [(nth (:globals *state*) 5) \
            (if (<= (count accounts) {MAX_SEARCHED_ACCOUNTS}) \
              (- (reduce (fn [sum other] (if (= #{account} (:controller other)) (+ sum 1) sum)) \
                         0 accounts) \
                 itself) \
              nil) \
            (if (<= (count peers) {MAX_SEARCHED_PEERS}) \
              (reduce (fn [sum entry] \
                        (if (= #{account} (:controller (nth entry 1))) (+ sum 1) sum)) \
                      0 peers) \
              nil)])"
    );
    Query::read(&text).expect("the text consists of constants and numbers")
}

/// Reads the answer to [`control_query`].
///
/// # Errors
/// The value is not an answer to the query; the text says why.
pub fn read_control(value: &Cell) -> Result<AccountControl, String> {
    answer(value).ok_or_else(|| {
        let found = value.printed(MAX_PRINTED_BYTES);
        format!("{found} is not a vector of a block and two numbers or nil")
    })
}

fn answer(value: &Cell) -> Option<AccountControl> {
    let elements = value.as_elements().filter(|elements| elements.len() == 3)?;
    let number = |index| match elements.get(index)? {
        Cell::Nil => Some(None),
        number => Some(Some(u64::try_from(number.as_i64()?).ok()?)),
    };
    Some(AccountControl {
        block: elements.get(0)?.as_i64().filter(|block| *block >= -1)?,
        accounts: number(1)?,
        peers: number(2)?,
    })
}
