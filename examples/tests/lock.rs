//! The program `lock` as a whole.

use std::process::Command;

#[test]
fn the_session_shows_a_refusal_a_restart_and_a_lock_that_locks_itself() {
    let output = Command::new(env!("CARGO_BIN_EXE_lock")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let mut rest = text.as_str();
    for expected in [
        "it is Unlocked and accepts lock",
        "the porter: the lock is secure",
        "it is Locked and accepts enter_digit, try_unlock",
        "refused: Lock \"front door\": `lock` is not accepted in state `Locked`",
        "go away\n    the porter: somebody doesn't know the combination",
        "the program ends here, and begins again",
        "it is Locked and accepts enter_digit, try_unlock\n    digits entered so far: 2",
        "welcome\n    it is Unlocked",
        "the porter: the lock is secure\n    it is Locked",
        "stateDiagram-v2",
    ] {
        let (_, after) = rest.split_once(expected).unwrap_or_else(|| panic!("`{expected}` doesn't follow:\n{text}"));
        rest = after;
    }
}
