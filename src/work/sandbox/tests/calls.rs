//! Queries, verdicts and what becomes of them.

use super::*;

#[test]
fn a_guest_says_what_becomes_of_a_query() {
    let numbers = [
        (0, Called::Pass),
        (2 | 5 << 8, Called::Code(5, None)),
        (2 | 3 << 8 | 16 << 16, Called::Code(3, Some(15))),
        (3, Called::Drop),
        (4, Called::Later),
        (7, Called::Failed),
    ];
    for (number, called) in numbers {
        let app = load(manifest("a"), &event("", &format!("(i64.const {number})"))).unwrap();
        let mut lab = Lab::new(vec![app]);
        assert_eq!(lab.call(0, 1), called, "{number}");
    }
}
