//! Runs the cases. `TRYBUILD=overwrite` writes what the compiler says now; read it before it is committed.

#[test]
fn aggregate() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/aggregate/pass/*.rs");
    cases.compile_fail("tests/ui/aggregate/fail/*.rs");
}

#[test]
fn event() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/event/pass/*.rs");
    cases.compile_fail("tests/ui/event/fail/*.rs");
}

#[test]
fn fsm() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/fsm/pass/*.rs");
    cases.compile_fail("tests/ui/fsm/fail/*.rs");
}

#[test]
fn snapshot() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/snapshot/pass/*.rs");
    cases.compile_fail("tests/ui/snapshot/fail/*.rs");
}
