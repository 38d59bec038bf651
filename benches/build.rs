//! Tells the program what it is built with: the versions of the engine and of the compiler.

use std::env;
use std::fs;
use std::process::Command;

fn main() {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    println!("cargo::rerun-if-changed={lock}");
    println!("cargo::rerun-if-changed=build.rs");
    let versions = fs::read_to_string(lock).unwrap_or_default();
    let mut lines = versions.lines().skip_while(|line| *line != "name = \"fjall\"").skip(1);
    let fjall = lines.next().and_then(|line| line.split('"').nth(1)).unwrap_or("unknown").to_owned();
    println!("cargo::rustc-env=BENCH_FJALL={fjall}");
    let commit = git(&["describe", "--always", "--dirty", "--exclude=*"]).unwrap_or("commit unknown".to_owned());
    println!("cargo::rustc-env=BENCH_COMMIT={commit}");
    // It grows with each commit.
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let rustc = Command::new(env::var("RUSTC").unwrap_or("rustc".to_owned())).arg("--version").output();
    let rustc = rustc.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default();
    println!("cargo::rustc-env=BENCH_RUSTC={rustc}");
    let profile = env::var("PROFILE").unwrap_or_default();
    println!("cargo::rustc-env=BENCH_PROFILE={profile}");
}

/// What git says of the sources, where it knows them.
fn git(arguments: &[&str]) -> Option<String> {
    let told = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments).output().ok()?;
    told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
}
