use super::super::told::tests::{said_in, unused};
use super::*;

const DOCS: &[&str] = &[include_str!("../../../journal/mod.rs"), include_str!("../../../journal/run.rs")];

#[test]
fn every_rule_is_a_sentence_of_the_documentation() {
    assert_eq!(said_in(DOCS, rules::ALL), Vec::<String>::new());
}

#[test]
fn every_rule_is_one_that_a_case_judges_by() {
    let cases = [
        include_str!("closing.rs"),
        include_str!("crashes.rs"),
        include_str!("deadlines.rs"),
        include_str!("deletion.rs"),
        include_str!("forgetting.rs"),
        include_str!("hand.rs"),
        include_str!("hand/appending.rs"),
        include_str!("hand/ending.rs"),
        include_str!("hand/reading.rs"),
        include_str!("list.rs"),
        include_str!("models.rs"),
        include_str!("reading.rs"),
        include_str!("settling.rs"),
        include_str!("streams.rs"),
        include_str!("threads.rs"),
        include_str!("waiting.rs"),
        include_str!("writing.rs"),
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
