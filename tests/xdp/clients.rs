//! Client subnets in the driver.

use as112d::xdp::Growth;

use super::common::{query, tailor, with_opt};
use super::may_load;
use super::program::with;
use super::rig::{Rig, frame};

/// Where answers depend on the client every reply has its subnet, which the sockets write; a query without
/// one is answered as ever.
#[test]
fn where_answers_depend_on_the_client_its_subnet_passes() {
    if !may_load() {
        return;
    }
    let mut rig = Rig::new(with(|_| ()), Growth::Anywhere);
    let asked = |options: &[u8]| {
        let query = query("1.0.0.10.in-addr.arpa", 12);
        frame(false, &with_opt(query, 1232, options)).bytes()
    };
    let subnet = asked(&[0, 8, 0, 7, 0, 1, 24, 0, 11, 1, 3]);
    let after_another = asked(&[0, 99, 0, 1, 7, 0, 8, 0, 0]);
    for frame in [&subnet, &after_another] {
        assert!(rig.try_frame(frame), "an option like others where nothing depends on it");
    }
    rig.responder.publish(&with(|settings| settings.tailor = Some(tailor())));
    for frame in [&subnet, &after_another] {
        assert!(!rig.try_frame(frame));
    }
    assert_eq!(rig.passed_for("edns"), 2);
    for options in [&[][..], &[0, 99, 0, 1, 8]] {
        assert!(rig.try_frame(&asked(options)), "{options:?}");
    }
    rig.assert_counts();
}
