//! Custom queries and self-check references.

use std::time::Duration;

use convex_client::Query;
use convex_peer_monitor::config::CustomQuery;

use super::{PEER, errors, valid};

#[test]
fn a_query_is_sent_to_every_network_by_default() {
    let config = valid(
        "networks: [{ name: m }, { name: n }]\n\
         peers: [{ name: a, network: n, endpoints: [tcp://a] }]\n\
         queries:\n\
         - { name: a, source: \"(balance #13)\", networks: [n, n], interval: 5m, help: what }\n\
         - { name: b, source: \"*juice*\" }\n\
         - { name: _c2, source: \"1\", networks: [] }\n",
    );
    let [a, b, c] = config.queries.as_slice() else {
        panic!("three queries, found {}", config.queries.len());
    };
    let expected = CustomQuery {
        name: "a".to_owned(),
        query: Query::read("(balance #13)").expect("a form"),
        help: "what".to_owned(),
        networks: vec!["n".to_owned()],
        interval: Duration::from_secs(300),
    };
    assert_eq!(a, &expected);
    assert_eq!((b.help.as_str(), b.interval), ("", Duration::from_secs(60)));
    assert_eq!((&b.networks, c.networks.len()), (&c.networks, 2));
}

#[test]
fn too_many_queries_or_references_are_refused_with_both_numbers() {
    let queries = |n: usize| {
        let items = (0..n).fold(String::new(), |text, i| {
            format!("{text}- {{ name: q{i}, source: \"1\" }}\n")
        });
        format!("{PEER}queries:\n{items}")
    };
    assert_eq!(valid(&queries(50)).queries.len(), 50);
    assert_eq!(
        errors(&queries(51)),
        "c.yml:5:3: queries: 51 queries, at most 50; remove some, or let one return a sum"
    );
    let references = |n: usize| {
        let items = vec!["\"tcp://h\""; n].join(", ");
        format!("self_check: {{ references: [{items}] }}\n{PEER}")
    };
    assert_eq!(valid(&references(10)).self_check.references.len(), 10);
    assert_eq!(
        errors(&references(11)),
        "c.yml:1:27: self_check.references: 11 references, at most 10; remove some"
    );
    let long = format!(
        "{PEER}queries: [{{ name: q, source: \"{}\" }}]",
        "a".repeat(16_385)
    );
    assert!(errors(&long).contains("an expression of 16385 bytes, at most 16384"));
}
