use super::super::told::tests::{said_in, unused};
use super::*;

#[test]
fn every_rule_is_a_sentence_of_the_documentation() {
    assert_eq!(said_in(&[include_str!("../../../snapshot/mod.rs")], rules::ALL), Vec::<String>::new());
}

#[test]
fn every_rule_is_one_that_a_case_judges_by() {
    let cases = [
        include_str!("deleting.rs"),
        include_str!("hand.rs"),
        include_str!("list.rs"),
        include_str!("models.rs"),
        include_str!("saving.rs"),
        include_str!("threads.rs"),
    ];
    assert_eq!(unused(&cases, rules::NAMES), Vec::<&str>::new());
}

#[test]
fn no_two_cases_have_one_name() {
    let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len());
}
