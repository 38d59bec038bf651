//! What a case tells when it fails: what was done, what was expected, what came, and which rule that breaks.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::sync::{Mutex, OnceLock};

use tokio::runtime::Handle;

use super::chance::{self, Chance};
use crate::journal::lock;

/// One promise of a trait's documentation, in its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Where it stands, such as `Journal::append`.
    pub of: &'static str,
    /// What it says.
    pub text: &'static str,
}

impl Rule {
    pub(super) const fn new(of: &'static str, text: &'static str) -> Self {
        Self { of, text }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.of, self.text.replace("[`", "`").replace("`]", "`"))
    }
}

/// How many steps a failure shows.
const STEPS_SHOWN: usize = 16;
/// How long what is shown may be, in bytes.
const SHOWN_BYTES_MAX: usize = 1_500;

/// What one case has done so far, and by which rule it judges.
pub(super) struct Told {
    case: &'static str,
    rule: Mutex<&'static Rule>,
    steps: Mutex<Steps>,
    seed: OnceLock<u64>,
    /// The runtime that the case was called in.
    around: Option<Handle>,
}

#[derive(Default)]
struct Steps {
    done: u64,
    last: VecDeque<String>,
}

impl Told {
    pub(super) fn new(case: &'static str, rule: &'static Rule) -> Self {
        let around = Handle::try_current().ok();
        Self { case, rule: Mutex::new(rule), steps: Mutex::default(), seed: OnceLock::new(), around }
    }

    pub(super) fn around(&self) -> Option<&Handle> {
        self.around.as_ref()
    }

    /// Judges by another rule from now on.
    pub(super) fn rule(&self, rule: &'static Rule) {
        *lock(&self.rule) = rule;
    }

    /// Notes what was done.
    pub(super) fn step(&self, step: fmt::Arguments<'_>) {
        let step = shown(step.to_string());
        let mut steps = lock(&self.steps);
        steps.done += 1;
        if steps.last.len() == STEPS_SHOWN {
            steps.last.pop_front();
        }
        steps.last.push_back(step);
    }

    /// The choices of a random case. The seed is told if it fails.
    pub(super) fn chance(&self) -> Chance {
        Chance::new(*self.seed.get_or_init(chance::seed))
    }

    /// Says that this case shows nothing of this store.
    #[expect(clippy::print_stderr, reason = "the harness of Rust's tests knows no other way to say it")]
    pub(super) fn skipped(&self, why: &str) {
        eprintln!("{}: nothing to show, {why}", self.case);
    }

    /// Ends the case, which breaks this rule, or the one by which it judges.
    #[track_caller]
    fn fail(&self, rule: Option<&'static Rule>, what: &str, expected: &str, found: &str) -> ! {
        let rule = rule.unwrap_or_else(|| *lock(&self.rule));
        let (expected, found) = (shown(expected.to_owned()), shown(found.to_owned()));
        panic!("{}\n\n{self}    what: {what}\nexpected: {expected}\n   found: {found}\n    rule: {rule}\n", self.case);
    }
}

impl fmt::Display for Told {
    /// Writes the last steps, and the seed of a random case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = lock(&self.steps);
        let before = steps.done - crate::journal::len_u64(steps.last.len());
        if before > 0 {
            writeln!(f, "    done: {before} steps, and then")?;
        } else {
            writeln!(f, "    done:")?;
        }
        for (number, step) in (before + 1..).zip(&steps.last) {
            writeln!(f, "{number:>8}. {step}")?;
        }
        if let Some(seed) = self.seed.get() {
            writeln!(f, "    seed: {seed}; ANNALS_SEED={seed} does the same again")?;
        }
        Ok(())
    }
}

/// What a case is judged by: its rule, or one that was named for a part of it.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) told: &'a Told,
    /// None: the rule of the case.
    rule: Option<&'static Rule>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(told: &'a Told) -> Self {
        Self { told, rule: None }
    }

    /// Judges by this rule.
    pub(super) fn by(self, rule: &'static Rule) -> Self {
        Self { rule: Some(rule), ..self }
    }

    /// Notes what was done.
    pub(super) fn step(self, step: fmt::Arguments<'_>) {
        self.told.step(step);
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "what is compared is mostly made for it")]
    pub(super) fn is<T: PartialEq + Debug>(self, what: &str, found: T, expected: T) {
        if found != expected {
            self.fail(what, &format!("{expected:?}"), &format!("{found:?}"));
        }
    }

    #[track_caller]
    pub(super) fn holds(self, what: &str, expected: &str, found: &dyn Debug, holds: bool) {
        if !holds {
            self.fail(what, expected, &format!("{found:?}"));
        }
    }

    /// Ends the case.
    #[track_caller]
    pub(super) fn fail(self, what: &str, expected: &str, found: &str) -> ! {
        self.told.fail(self.rule, what, expected, found)
    }
}

/// A text that isn't too long to be read.
fn shown(mut text: String) -> String {
    if text.len() > SHOWN_BYTES_MAX {
        let bytes = text.len();
        let end = (0..=SHOWN_BYTES_MAX).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push_str(&format!(".. ({bytes} bytes)"));
    }
    text
}

/// A payload or an id, shown so that it can be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shown(pub(super) Vec<u8>);

impl Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BYTES_SHOWN: usize = 40;
        let begin = &self.0[..self.0.len().min(BYTES_SHOWN)];
        write!(f, "\"{}\"", begin.escape_ascii())?;
        if self.0.len() > BYTES_SHOWN {
            write!(f, ".. ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// Joins a thread of a case; its failure is the case's.
pub(super) fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The rules that no doc comment of these sources says.
    pub(in super::super) fn said_in(sources: &[&str], rules: &[Rule]) -> Vec<String> {
        let docs = |source: &&str| {
            let lines = source.lines().map(str::trim).filter_map(|line| line.strip_prefix("///"));
            lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
        };
        let docs: Vec<String> = sources.iter().map(docs).collect();
        let says = |rule: &&Rule| !docs.iter().any(|docs| docs.contains(rule.text));
        rules.iter().filter(says).map(|rule| rule.text.to_owned()).collect()
    }

    /// The names that no source has.
    pub(in super::super) fn unused<'n>(sources: &[&str], names: &[&'n str]) -> Vec<&'n str> {
        let words: Vec<&str> =
            sources.iter().flat_map(|source| source.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
        names.iter().copied().filter(|name| !words.contains(name)).collect()
    }

    const RULE: Rule = Rule::new("Journal::append", "It is refused with [`Why::Conflict`].");

    fn failure(told: &Told, fails: impl Fn(&Told)) -> String {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fails(told)));
        caught.unwrap_err().downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn a_failure_tells_what_was_done_expected_and_found_and_the_rule() {
        let told = Told::new("the_case", &RULE);
        told.step(format_args!("opened it"));
        let message = failure(&told, |told| told.fail(None, "the outcome", "2", "1"));
        for line in [
            "the_case",
            "1. opened it",
            "what: the outcome",
            "expected: 2",
            "found: 1",
            "rule: `Journal::append`: It is refused with `Why::Conflict`.",
        ] {
            assert!(message.contains(line), "{line} in {message}");
        }
        assert!(!message.contains("seed"), "{message}");
    }

    #[test]
    fn a_failure_shows_the_last_steps_and_the_seed_of_a_random_case() {
        let told = Told::new("the_case", &RULE);
        for step in 1..=100 {
            told.step(format_args!("step {step}"));
        }
        let _chance = told.chance();
        let message = failure(&told, |told| told.fail(None, "it", "so", "other"));
        for line in ["84 steps, and then", "85. step 85", "100. step 100", "ANNALS_SEED="] {
            assert!(message.contains(line), "{line} in {message}");
        }
        assert!(!message.contains("step 84\n"), "{message}");
    }

    #[test]
    fn what_is_long_is_cut() {
        let told = Told::new("the_case", &RULE);
        let message = failure(&told, |told| told.fail(None, "it", "", &"\u{1f980}".repeat(9_999)));
        assert!(message.len() < 2 * SHOWN_BYTES_MAX && message.contains("bytes)"), "{message}");
    }
}
