//! Queries of a monitor and the answers of a real peer.

use std::time::Duration;

use cad3::reader;
use convex_client::{POLL_QUERY, PollAnswer};

use crate::network::Options;
use crate::world::{View, World};

use super::*;

fn world() -> World {
    let options = Options {
        peers: 2,
        seed: 1,
        ..Options::default()
    };
    let mut world = World::new(options, 1_800_000_000_000);
    world.register_urls(["tcp://127.0.0.1:1".into(), "tcp://127.0.0.1:3".into()].into());
    world
}

fn view() -> View {
    world().view(0, Duration::ZERO)
}

fn ask(text: &str) -> Result<String, QueryError> {
    let form = reader::read(text).unwrap();
    let outcome = evaluate(&view().state, &form, 11).outcome;
    outcome.map(|cell| cell.printed(10_000).to_string())
}

#[test]
fn the_queries_of_a_monitor_are_answered() {
    let key = world().key(0);
    let hash = view().state.hash;
    for (text, value) in [
        ("1", "1"),
        ("*timestamp*", "1799999998000"),
        ("(count (:accounts *state*))", "134"),
        ("(count (:peers *state*))", "2"),
        ("(count (:schedule *state*))", "0"),
        (
            "(:globals *state*)",
            "[1799999998000 0 10 672920000 1000000000000 999]",
        ),
        ("(nth (:globals *state*) 5)", "999"),
        ("*juice-price*", "10"),
        ("*memory-price*", "1486.0607501634668"),
        ("(coin-supply)", "1000000000000000000"),
        ("*address*", "#11"),
        ("(balance #132)", "1000000000000"),
        ("(balance #999999)", "nil"),
        ("(:balance (account #132))", "1000000000000"),
        (
            "(mapv (fn [a] (balance a)) [#132 #13])",
            "[1000000000000 0]",
        ),
        ("(mapv balance [#132 #13])", "[1000000000000 0]"),
        (
            "(get-in *state* [:peers 0x0000000000000000000000000000000000000000000000000000000000000001])",
            "nil",
        ),
        (
            "(reduce (fn [a p] (+ a (:balance p))) 0 (values (:peers *state*)))",
            "133200001000000",
        ),
        (
            "(reduce (fn [a x] (+ a (:sequence x))) 0 (:accounts *state*))",
            "0",
        ),
        (
            "(reduce (fn [a [k p]] (conj a (:stake p))) [] (:peers *state*))",
            "[66600000000000 66600000000000]",
        ),
        ("(count (keys (:peers *state*)))", "2"),
        (
            "[(+ 1 2) (- 5 7) (* 3 4) (- 3) (+ 1.5 1)]",
            "[3 -2 12 -3 2.5]",
        ),
        ("(* 9223372036854775807 2)", "18446744073709551614"),
        ("(try (no-such-thing) 7)", "7"),
        ("(if (= 1 1) :yes :no)", ":yes"),
        ("(let [[a b] [1 2] c 3] (do a (+ a b c)))", "6"),
        ("(get {:a 1} :a)", "1"),
        ("(:b {:a 1} 5)", "5"),
        (
            "[(<= 1 2 2) (<= 2 1) (min 3 1 2) (str? 1)]",
            "[true false 1 false]",
        ),
        ("[(max 1 2.5) (/ 1 4) (exp 0)]", "[2.5 0.25 1.0]"),
        ("(slice [1 2 3] 1 3)", "[2 3]"),
        ("(count (slice (:peers *state*) 0 1))", "1"),
        ("'(count x)", "(count x)"),
        ("(quote x)", "x"),
    ] {
        assert_eq!(ask(text).as_deref(), Ok(value), "{text}");
    }
    assert_eq!(ask("(hash (encoding *state*))").unwrap(), hash.to_string());
    assert_eq!(view().state.cell().hash(), hash, "the hash of the encoding");
    assert_eq!(
        ask(&format!("(get-peer-stake {key})")).unwrap(),
        "66600000500000"
    );
    let by_key = format!("(mapv (fn [k] (get-peer-stake k)) [{key} {hash}])");
    assert_eq!(ask(&by_key).unwrap(), "[66600000500000 nil]");
    let url = format!("(get-in *state* [:peers {key} :metadata :url])");
    assert_eq!(ask(&url).unwrap(), "\"tcp://127.0.0.1:1\"");
    let row =
        format!("[{key} #132 66600000000000 0 66600000500000 1799999997000 \"tcp://127.0.0.1:1\"]");
    let rows = ask(
        "(mapv (fn [[k p]] [k (:controller p) (:stake p) (:delegated-stake p) (:balance p) (:timestamp p) \
         (get-in p [:metadata :url])]) (:peers *state*))",
    );
    assert!(
        rows.as_ref().unwrap().contains(&row),
        "{row} is not in {rows:?}"
    );
}

#[test]
fn the_poll_query_is_answered_in_full() {
    let view = view();
    let outcome = evaluate(&view.state, POLL_QUERY.form(), 11)
        .outcome
        .unwrap();
    let answer = PollAnswer::from_cell(&outcome).unwrap();
    assert_eq!(answer.state_hash, Some(view.state.hash));
    assert_eq!(
        (answer.state_block, answer.accounts),
        (Some(999), Some(134))
    );
    assert_eq!(answer.registered_peers, Some(2));
}

#[test]
fn an_error_has_the_code_and_message_of_a_real_peer() {
    for (text, code, message) in [
        ("*genesis*", "UNDECLARED", "*genesis*"),
        ("(get-peer-info)", "UNDECLARED", "get-peer-info"),
        ("(nth [1 2] 5)", "BOUNDS", "Index: 5"),
        (
            "(count)",
            "ARITY",
            "count requires arity 1 but called with: 0",
        ),
        (
            "(+ :a 1)",
            "CAST",
            "Can't convert argument at position 1 (with type Keyword) to type Number",
        ),
    ] {
        let error = ask(text).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (code, message),
            "{text}"
        );
    }
    assert_eq!(
        ask("(nth [1 2] 5)").unwrap_err().trace,
        ["In core function: nth", "In expression: (nth [1 2] 5)"]
    );
}

#[test]
fn an_expensive_query_runs_out_of_juice_and_a_deep_one_is_rejected() {
    let mut form = "1".to_owned();
    for _ in 0..3 {
        form = format!("(mapv (fn [a] {form}) (:accounts *state*))");
    }
    assert_eq!(ask(&form).unwrap_err().code, "JUICE");
    assert_eq!(ask(&format!("(try {form} 1)")).unwrap_err().code, "JUICE");
    let deep = format!("{}1{}", "(+ ".repeat(99), ")".repeat(99));
    assert_eq!(ask(&deep).unwrap(), "1");
    let mut deeper = Cell::integer(1);
    for _ in 0..MAX_DEPTH {
        deeper = Cell::list([Cell::symbol("+"), deeper]);
    }
    assert_eq!(
        evaluate(&view().state, &deeper, 11)
            .outcome
            .unwrap_err()
            .code,
        "DEPTH"
    );
}

#[test]
fn the_usual_queries_cost_about_as_much_as_on_a_peer() {
    for (text, real) in [
        ("*timestamp*", 50),
        ("(:globals *state*)", 425),
        ("(count (:accounts *state*))", 840),
    ] {
        let juice = evaluate(&view().state, &reader::read(text).unwrap(), 11).juice;
        assert!(
            (real * 9 / 10..=real * 11 / 10).contains(&juice),
            "{text}: {juice}"
        );
    }
}
