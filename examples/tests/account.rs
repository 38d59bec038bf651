//! The program `account` as a whole.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs it in `directory`, so that what it makes by mistake is seen there.
fn account<const N: usize>(directory: &Path, args: [&str; N]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_account")).args(args).current_dir(directory).output().expect("the program runs")
}

#[track_caller]
fn complains(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty() && text.starts_with("account: "), "{text}");
    text
}

#[test]
fn an_account_goes_on_where_it_stopped() {
    let directory = TempDir::new().unwrap();
    for balance in [0, 11_800] {
        let output = account(directory.path(), ["kept"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert!(text.lines().next().unwrap().ends_with(&format!("the balance is {balance} cents")), "{text}");
        assert!(text.contains("withdraw 1000000: refused, "), "{text}");
    }
}

#[test]
fn what_the_first_version_stored_is_read() {
    let directory = TempDir::new().unwrap();
    let first = account(directory.path(), ["--first-version", "kept"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    for balance in [800, 12_600] {
        let output = account(directory.path(), ["kept"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert!(text.lines().next().unwrap().ends_with(&format!("the balance is {balance} cents")), "{text}");
        assert!(text.contains("\n800 cents came in as the first version stored it"), "{text}");
    }
}

#[test]
fn help_is_printed_and_no_directory_is_made() {
    let directory = TempDir::new().unwrap();
    for flag in ["--help", "-h"] {
        let output = account(directory.path(), [flag]);
        assert!(output.status.success());
        assert!(output.stdout.starts_with(b"usage: account [--first-version] <dir>\n"));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn too_few_and_too_many_arguments_are_wrong_usage() {
    let directory = TempDir::new().unwrap();
    let is_usage = |text: String, part: &str| assert!(text.contains(part) && text.contains("usage: account"), "{text}");
    is_usage(complains(&account(directory.path(), []), 2), "say in which directory");
    is_usage(complains(&account(directory.path(), ["kept", "more"]), 2), "more");
    is_usage(complains(&account(directory.path(), ["--kept"]), 2), "--kept");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_cannot_be_had_is_said_in_words() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("file"), "x").unwrap();
    let text = complains(&account(directory.path(), ["file"]), 1);
    assert!(text.contains("file` is no directory"), "{text}");
    let text = complains(&account(directory.path(), ["file/kept"]), 1);
    assert!(text.contains("can't ") && !text.contains("Io {"), "{text}");
}
