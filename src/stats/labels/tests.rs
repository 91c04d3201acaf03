use super::*;

#[test]
fn every_response_code_has_a_value_that_says_its_number() {
    for number in 0..0x1000 {
        let value = rcode_value(number);
        let known = RCODE_NUMBERS.get(value);
        assert!(known.map_or(number > 16, |known| *known == number), "{number}");
    }
    assert_eq!(RCODE_NAMES[rcode_value(2)], "SERVFAIL");
    assert_eq!(RCODE_NAMES[RCODE_BADVERS], "BADVERS");
    assert_eq!(RCODE_NAMES[RCODE_BADCOOKIE], "BADCOOKIE");
}

#[test]
fn what_only_rules_and_servers_do_is_in_use_where_there_are_rules() {
    let mut names = Names::default();
    let first_of_others = |label: &Label, names: &Names| names.value(label, names.len_in_use(label));
    assert_eq!(first_of_others(&RCODE, &names), "SERVFAIL");
    assert_eq!(first_of_others(&DROPPED, &names), "rule");
    assert_eq!(first_of_others(&XDP_REASON, &names), "policy");
    names.rules.push(RULE_NONE.to_owned());
    for label in [&RCODE, &DROPPED, &XDP_REASON] {
        assert_eq!(names.len_in_use(label), label.len, "{}", label.name);
    }
}
