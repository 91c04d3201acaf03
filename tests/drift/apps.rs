//! The interface of guest applications: what there is to know of it, from the tables that the sandbox is made
//! of.

use as112d::work::sandbox::reference;

use super::check;

#[test]
fn the_interface_is_that_of_the_code() {
    check("docs/apps-interface.md", &reference());
}
