//! The reference of the language of rules.

use as112d::policy::reference;

use super::check;

#[test]
fn the_reference_of_rules() {
    check("docs/rules.md", &reference());
}
