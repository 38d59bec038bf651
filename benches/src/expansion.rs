//! What the macros cost: how long rustc takes for machines of ten commands that are written with them, and for the same
//! written by hand.
//!
//! Three crates are compiled over and over, in alternation: one with fifty machines of each kind, and one without any. The
//! last one is subtracted, so that neither cargo nor the reading of annals' metadata makes the ratio smaller than it is.

#[cfg(test)]
#[expect(dead_code, unreachable_pub, clippy::unused_self, reason = "as it would be in a library, made of methods")]
mod by_hand;
#[cfg(test)]
mod same;
#[cfg(test)]
#[expect(unreachable_pub, reason = "as it would be in a library")]
mod with_macros;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::report::{Aim, Report, Section, float};
use crate::{Bench, Outcome};

const MACHINES: usize = 50;
const MACHINES_WHEN_QUICK: usize = 5;

/// What the three crates hold.
const KINDS: [(&str, Option<&str>); 3] = [
    ("none", None),
    ("with-macros", Some(include_str!("expansion/with_macros.rs"))),
    ("by-hand", Some(include_str!("expansion/by_hand.rs"))),
];

const WITH_MACROS: &str = "a machine of 10 commands with macros";
const BY_HAND: &str = "the same by hand";
/// So many times as long as by hand at most.
const AIM: Aim = Aim::AtMost(1.5);

/// Compiles all of it so many times, in a folder of its own that is removed again. The dependencies are compiled before, and
/// don't count.
pub(crate) fn expansion(bench: &Bench, report: &mut Report) -> Outcome<()> {
    if !bench.wants("expansion", "") {
        return Ok(());
    }
    let machines = if bench.is_quick { MACHINES_WHEN_QUICK } else { MACHINES };
    let about = format!("what one machine adds to the time of cargo, of {machines} in a crate; debug, not incremental");
    let mut section = Section::new("expansion", about);
    let workshop = Workshop::new(bench.directory.join("expansion"), machines)?;
    // A check needs less of the dependencies.
    let ways: &[&str] = if bench.is_quick { &["check"] } else { &["check", "build"] };
    for by in ways {
        workshop.measure(by, bench.runs, &mut section)?;
        section.compare(WITH_MACROS, by, BY_HAND, Some(AIM));
    }
    fs::remove_dir_all(&workshop.path)?;
    bench.tell(report, section)
}

/// A workspace with the three crates.
struct Workshop {
    path: PathBuf,
    machines: f64,
}

impl Workshop {
    fn new(path: PathBuf, machines: usize) -> Outcome<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let names: Vec<String> = KINDS.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        fs::create_dir_all(&path)?;
        fs::write(
            path.join("Cargo.toml"),
            format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n", names.join(", ")),
        )?;
        // The same versions as everywhere else, and nothing has to be downloaded.
        fs::copy(root.join("Cargo.lock"), path.join("Cargo.lock"))?;
        for (name, template) in KINDS {
            let sources = path.join(name).join("src");
            fs::create_dir_all(&sources)?;
            fs::write(path.join(name).join("Cargo.toml"), manifest(name, &root))?;
            let mut modules = String::from("pub use annals::System;\n");
            for number in 0..template.map_or(0, |_| machines) {
                modules.push_str(&format!("pub mod parcel{number};\n"));
            }
            fs::write(sources.join("lib.rs"), modules)?;
            for (number, template) in template.iter().cycle().take(machines).enumerate() {
                let source = template.replace("Parcel", &format!("Parcel{number}"));
                fs::write(sources.join(format!("parcel{number}.rs")), source)?;
            }
        }
        Ok(Self { path, machines: float(u64::try_from(machines)?) })
    }

    /// Compiles the three in turns.
    fn measure(&self, by: &str, runs: usize, section: &mut Section) -> Outcome<()> {
        // With its dependencies.
        self.compile(by, KINDS[0].0)?;
        for _ in 0..runs {
            let [none, with_macros, by_hand] = KINDS.map(|(name, _)| self.compile(by, name));
            let none = none?;
            let of_one = |all: Duration| all.saturating_sub(none).as_secs_f64() * 1e3 / self.machines;
            section.annals(WITH_MACROS, by, "ms", of_one(with_macros?));
            section.limit(BY_HAND, by, "ms", of_one(by_hand?));
        }
        Ok(())
    }

    /// How long cargo takes for one crate that was changed.
    fn compile(&self, by: &str, name: &str) -> Outcome<Duration> {
        let source = File::options().write(true).open(self.path.join(name).join("src/lib.rs"))?;
        source.set_modified(SystemTime::now())?;
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([by, "--offline", "--quiet", "--package", name, "--target-dir", "target"]);
        cargo.current_dir(&self.path).env("CARGO_INCREMENTAL", "0").stdin(Stdio::null());
        let begun = Instant::now();
        let status = cargo.status()?;
        let took = begun.elapsed();
        if status.success() { Ok(took) } else { Err(format!("cargo {by} failed for {name}: {status}").into()) }
    }
}

fn manifest(name: &str, root: &Path) -> String {
    let (annals, edition) = (root.join("runtime"), "2024");
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"{edition}\"\n\n[dependencies]\n\
         annals = {{ path = {annals:?}, default-features = false }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n"
    )
}
