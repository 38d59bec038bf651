//! The program `incidents` as a whole: on its sample, on logs that aren't as they should be, and on the published log.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The log as it was published. It is no part of the project.
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/incident_event_log.csv.gz");

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/incidents.csv");

fn incidents<const N: usize>(args: [&Path; N]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_incidents")).args(args).output().expect("the program runs")
}

/// What a run printed that must be the same in every run, and its last line.
struct Told {
    summary: Vec<String>,
    measured: Vec<String>,
    last: String,
}

#[track_caller]
fn told(output: &Output) -> Told {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert_eq!(err, "", "without a terminal there is no progress to see");
    let lines = out.lines().map(str::to_owned).collect::<Vec<_>>();
    let is_measured = |line: &String| line.contains("commands/s") || line.contains("on the disk");
    let last = lines.last().cloned().unwrap_or_default();
    let (measured, summary) = lines[1..].iter().cloned().partition(is_measured);
    Told { summary, measured, last }
}

fn kept(directory: &TempDir) -> PathBuf {
    directory.path().join("tickets")
}

#[test]
fn the_sample_is_replayed_and_again_on_the_same_directory_nothing_is_added() {
    let directory = TempDir::new().unwrap();
    let data = kept(&directory);
    let first = told(&incidents(["--data".as_ref(), &data]));
    let again = told(&incidents(["--data".as_ref(), &data]));
    assert_eq!(first.summary, again.summary);
    assert!(first.last.starts_with("tickets=51 rows=329 fitting=45 commands=328 refused=8 "), "{}", first.last);
    assert!(!first.measured[1].starts_with("0 records"), "{:?}", first.measured);
    assert!(again.measured[1].starts_with("0 records"), "{:?}", again.measured);
}

#[test]
fn without_a_directory_a_temporary_one_is_used_and_removed() {
    let output = incidents([]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let first = text.lines().next().unwrap();
    let path = first.split("the temporary directory ").nth(1).unwrap().split(',').next().unwrap();
    assert!(first.ends_with("which is removed at the end"), "{first}");
    assert!(!Path::new(path).exists(), "{path}");
    assert!(told(&output).last.starts_with("tickets=51 rows=329 "));
}

#[test]
fn a_log_that_grew_is_gone_on_with() {
    let directory = TempDir::new().unwrap();
    let (data, log) = (kept(&directory), directory.path().join("log.csv"));
    let sample = fs::read_to_string(SAMPLE).unwrap();
    fs::write(&log, sample.lines().take(150).collect::<Vec<_>>().join("\n")).unwrap();
    assert!(told(&incidents([&log, "--data".as_ref(), &data])).last.contains(" rows=149 "));
    let grown = told(&incidents([SAMPLE.as_ref(), "--data".as_ref(), &data]));
    let at_once = told(&incidents([]));
    assert_eq!(grown.summary, at_once.summary);
}

#[test]
fn how_the_rows_of_different_tickets_are_mixed_does_not_matter() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log.csv");
    let sample = fs::read_to_string(SAMPLE).unwrap();
    let mut lines = sample.lines().collect::<Vec<_>>();
    assert!(!lines[1..].is_sorted_by_key(|line| &line[..8]), "the sample has the tickets mixed");
    lines[1..].sort_by_key(|line| &line[..8]);
    fs::write(&log, lines.join("\n")).unwrap();
    assert_eq!(told(&incidents([log.as_path()])).last, told(&incidents([])).last);
}

#[test]
fn a_directory_of_another_log_is_noticed() {
    let directory = TempDir::new().unwrap();
    let (data, log) = (kept(&directory), directory.path().join("log.csv"));
    let sample = fs::read_to_string(SAMPLE).unwrap();
    fs::write(&log, sample.lines().take(150).collect::<Vec<_>>().join("\n")).unwrap();
    told(&incidents(["--data".as_ref(), &data]));
    let output = incidents([&log, "--data".as_ref(), &data]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("was another log kept in this directory"), "{text}");
}

#[test]
fn rows_that_cannot_be_read_are_named_with_their_lines_and_the_rest_goes_on() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log.csv");
    let mut lines = fs::read_to_string(SAMPLE).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    lines.insert(10, "TKT09999,New,true".to_owned());
    lines.insert(20, lines[1].replace("26/2/2024", "2024-02-26").replacen("TKT05343", "TKT09998", 1));
    lines.insert(30, "\"TKT09997,New".to_owned());
    fs::write(&log, lines.join("\n")).unwrap();
    let told = told(&incidents([log.as_path()]));
    assert!(told.last.contains(" rows=332 fitting=45 commands=328 refused=8 unknown_state=1 malformed=3 "));
    let said = |text: &str| assert!(told.summary.iter().any(|line| line.trim().starts_with(text)), "{text}");
    said("line 11: 3 columns, where the header has 36");
    said("line 21, ticket TKT09998: `opened_at` is `2024-02-26 09:02`, and not a date");
    said("line 31: a quote is opened and not closed");
}

#[test]
fn what_is_wrong_is_said_and_the_exit_code_tells_it_from_wrong_usage() {
    let failed = |output: &Output| (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap());
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log.csv");

    let (code, text) = failed(&incidents([&log]));
    assert_eq!(code, Some(1));
    assert!(text.starts_with("incidents: can't open ") && text.contains("log.csv"), "{text}");

    fs::write(&log, "number,incident_state\n").unwrap();
    let (code, text) = failed(&incidents([&log]));
    assert_eq!(code, Some(1));
    assert!(text.contains("no column `opened_at`"), "{text}");

    let (code, text) = failed(&incidents(["--dta".as_ref(), &log]));
    assert_eq!(code, Some(2));
    assert!(text.contains("--dta") && text.contains("usage:"), "{text}");

    let (code, text) = failed(&incidents(["--diagram".as_ref(), SAMPLE.as_ref()]));
    assert_eq!(code, Some(2));
    assert!(text.contains("`--diagram` goes without a log") && text.contains("usage:"), "{text}");
}

#[test]
fn a_log_without_rows_is_said_to_have_none() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log.csv");
    let sample = fs::read_to_string(SAMPLE).unwrap();
    fs::write(&log, sample.lines().next().unwrap()).unwrap();
    let told = told(&incidents([log.as_path()]));
    assert!(told.summary.iter().any(|line| line.contains("no rows")), "{:?}", told.summary);
    assert!(told.last.starts_with("tickets=0 rows=0 "), "{}", told.last);
}

#[test]
fn one_ticket_is_not_plural() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log.csv");
    let sample = fs::read_to_string(SAMPLE).unwrap();
    fs::write(&log, sample.lines().take(2).collect::<Vec<_>>().join("\n")).unwrap();
    let told = told(&incidents([log.as_path()]));
    let said = |text: &str| assert!(told.summary.iter().any(|line| line.starts_with(text)), "{:?}", told.summary);
    said("1 ticket in 1 row");
    said("1 ticket fits the machine: it accepts every row of it");
    said("counters of the 1 ticket that fits, ");
}

#[test]
fn what_a_log_says_does_not_reach_the_terminal_raw() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log.csv");
    let sample = fs::read_to_string(SAMPLE).unwrap();
    let mut lines = sample.lines().map(str::to_owned).collect::<Vec<_>>();
    lines[1] = lines[1].replace("New", "\u{1b}[2J");
    fs::write(&log, lines.join("\n")).unwrap();
    let told = told(&incidents([log.as_path()]));
    let said = told.summary.iter().find(|line| line.contains("none of the machine's")).unwrap();
    assert!(said.contains("the state `\\u{1b}[2J` is none"), "{said}");
}

#[test]
fn help_and_the_diagram_are_printed() {
    let printed = |flag: &str| String::from_utf8(incidents([flag.as_ref()]).stdout).unwrap();
    assert!(printed("--help").contains("usage: incidents"));
    let diagram = printed("--diagram");
    assert!(diagram.starts_with("stateDiagram-v2") && diagram.contains("Resolved --> Closed: close"), "{diagram}");
}

/// It takes a while without optimisations.
#[test]
fn the_published_log_comes_out_as_it_is_described() {
    let log = Path::new(PUBLISHED);
    if !log.exists() {
        // Not with `println!`, which tests swallow.
        writeln!(io::stderr(), "not tested: the published log isn't there, at {}", log.display()).unwrap();
        return;
    }
    let directory = TempDir::new().unwrap();
    let told = told(&incidents([log, "--data".as_ref(), &kept(&directory)]));
    assert!(told.last.starts_with("tickets=24918 rows=141712 fitting=24847 commands=141707 "), "{}", told.last);
    assert!(told.last.contains(" unknown_state=5 malformed=0 "), "{}", told.last);
    assert!(told.last.contains(" reopens_agree=24847 reassignments_agree=24847 "), "{}", told.last);
}
