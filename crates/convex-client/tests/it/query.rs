//! Query texts.

use convex_client::Query;

#[test]
fn a_text_that_is_no_form_is_no_question() {
    let error = Query::read("(+ 1").unwrap_err();
    assert_eq!((error.line, error.column), (1, 1), "{error}");
    let question = Query::read(" (count  x) ; why").unwrap();
    assert_eq!(question.source(), " (count  x) ; why");
    assert_eq!(question.form().to_string(), "(count x)");
}
