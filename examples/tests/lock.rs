//! The program `lock` as a whole.

use std::process::{Command, Output};

fn lock<const N: usize>(args: [&str; N]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lock")).args(args).output().expect("the program runs")
}

#[test]
fn the_session_shows_a_refusal_a_restart_and_a_lock_that_locks_itself() {
    let output = lock([]);
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
        "`for_max` has limited this visit to 1 s, where the machine says 30 s",
        "the porter: the lock is secure\n    it is Locked",
        "stateDiagram-v2",
        "after 30s",
    ] {
        let (_, after) = rest.split_once(expected).unwrap_or_else(|| panic!("`{expected}` doesn't follow:\n{text}"));
        rest = after;
    }
}

#[test]
fn help_is_printed_without_the_session() {
    for flag in ["--help", "-h"] {
        let output = lock([flag]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.starts_with("usage: lock\n") && !text.contains("> lock"), "{text}");
    }
}

#[test]
fn an_argument_is_wrong_usage() {
    for arg in ["--hlep", "front-door"] {
        let output = lock([arg]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text.starts_with("lock: ") && text.contains(arg) && text.contains("usage: lock\n"), "{text}");
        assert!(output.stdout.is_empty());
    }
}
