//! Query texts.

use convex_client::Query;

#[test]
fn a_query_is_one_form() {
    let error = Query::read("(+ 1").unwrap_err();
    assert_eq!((error.line, error.column), (1, 1), "{error}");
    let query = Query::read(" (count  x) ; why").unwrap();
    assert_eq!(query.source(), " (count  x) ; why");
    assert_eq!(query.form().to_string(), "(count x)");
}
