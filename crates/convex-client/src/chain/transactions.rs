//! The number of transactions that a network has executed, which is the sum of the sequence numbers
//! of all accounts: each transaction of an account increments its own (PEER-PROTOCOL, section 8).

use cad3::Cell;

use crate::query::Query;

/// Maximum number of accounts that are summed. An account costs 95 to 180 juice, so that the query
/// stays within a peer's limit of 10,000,000 juice.
pub const MAX_SUMMED_ACCOUNTS: u64 = 50_000;

/// Maximum number of bytes of a value in an error.
const MAX_PRINTED_BYTES: usize = 60;

/// How many transactions a network has executed, in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutedTransactions {
    /// Index of the last applied block; −1 before the first.
    pub block: i64,
    /// Number of transactions; none if there are more than [`MAX_SUMMED_ACCOUNTS`] accounts.
    pub count: Option<u64>,
}

/// Returns the query for the number of executed transactions, without those of the account
/// `excluded`. The peer sums nothing if there are more than [`MAX_SUMMED_ACCOUNTS`] accounts.
#[expect(clippy::missing_panics_doc, reason = "the text is always a form")]
#[must_use]
pub fn executed_transactions_query(excluded: Option<u64>) -> Query {
    let of_others = match excluded {
        None => "sum".to_owned(),
        Some(account) => {
            format!("(let [own (account #{account})] (if own (- sum (:sequence own)) sum))")
        }
    };
    let text = format!(
        "(let [accounts (:accounts *state*)] \
           [(nth (:globals *state*) 5) \
            (if (<= (count accounts) {MAX_SUMMED_ACCOUNTS}) \
              (let [sum (reduce (fn [sum account] (+ sum (:sequence account))) 0 accounts)] \
                {of_others}) \
              nil)])"
    );
    Query::read(&text).expect("the text consists of constants and a number")
}

/// Reads the answer to [`executed_transactions_query`].
///
/// # Errors
/// The value is not an answer to the query; the text says why.
pub fn read_executed_transactions(value: &Cell) -> Result<ExecutedTransactions, String> {
    let answer = || {
        let elements = value.as_elements().filter(|elements| elements.len() == 2)?;
        let block = elements.get(0)?.as_i64().filter(|block| *block >= -1)?;
        let count = match elements.get(1)? {
            Cell::Nil => None,
            count => Some(u64::try_from(count.as_i64()?).ok()?),
        };
        Some(ExecutedTransactions { block, count })
    };
    answer().ok_or_else(|| {
        let found = value.printed(MAX_PRINTED_BYTES);
        format!("{found} is not a vector of a block and a number of transactions or nil")
    })
}

#[cfg(test)]
mod tests {
    use cad3::reader;

    use super::*;

    fn read(answer: &str) -> Result<ExecutedTransactions, String> {
        read_executed_transactions(&reader::read(answer).unwrap())
    }

    #[test]
    fn an_answer_is_a_block_and_a_number_unless_there_are_too_many_accounts() {
        for (answer, block, count) in [
            ("[613 612]", 613, Some(612)),
            ("[-1 0]", -1, Some(0)),
            ("[613 nil]", 613, None),
        ] {
            let expected = ExecutedTransactions { block, count };
            assert_eq!(read(answer), Ok(expected), "{answer}");
        }
    }

    #[test]
    fn another_answer_is_refused() {
        for answer in [
            "nil", "7", "[]", "[1]", "[1 2 3]", "[nil 1]", "[-2 1]", "[1 -1]", "[1 :x]",
        ] {
            let expected =
                format!("{answer} is not a vector of a block and a number of transactions or nil");
            assert_eq!(read(answer), Err(expected));
        }
    }
}
