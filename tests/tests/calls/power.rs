//! Loss of power: what must be on the disk before an answer is told, and whether what may be there opens.
//!
//! The script is recorded once in each of a few situations. Of that is known what was synced when; so it is known what
//! power loss would leave at any place of it. `ANNALS_IMAGES` is how many of these are made and looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Instant;

use annals_tests::campaign::power::{Act, Deed, Disk, Loss, Pending, Recording, recorded};
use annals_tests::campaign::{FILES, HALF, Image, Random, STEPS, STORE, seed, setting, summary, work_dir};

use crate::{Images, Truth, at_each, is_skipped, run, runtime, script};

/// So many images if nothing else is said.
const IMAGES: u64 = 80;

/// A part of the script.
struct Recorded {
    name: &'static str,
    from: usize,
    recording: Recording,
}

impl Recorded {
    /// Records what the script does with an image.
    fn new(name: &'static str, image: Image, from: usize) -> Self {
        let directory = work_dir().unwrap();
        let directory = directory.path().join("work");
        image.put(&directory).unwrap();
        let log = directory.with_extension("strace");
        let said = run(&recorded(&script(&directory, from, STEPS, &[]), &log), &directory.with_extension("log"));
        assert!(said.is_well, "{name}: {}", said.complaint);
        let recording = Recording::read(&log, &directory, image).unwrap_or_else(|why| panic!("{name}: {why}"));
        let told = recording.steps_told(recording.acts.len());
        assert_eq!((told, told), (said.steps(), STEPS - from), "{name}: it has told other steps");
        // What was recorded is all that was done: it comes to what is there.
        let mut disk = Disk::new(&recording);
        disk.go_to(recording.acts.len());
        let (made, _) = disk.image(Loss::NOTHING, &mut Random::new(1));
        let (made, there) = (made.without_links(), Image::take(&directory).unwrap());
        assert_eq!(made.directories(), there.directories(), "{name}");
        for (made, there) in made.files().iter().zip(there.files()) {
            assert_eq!((&made.path, made.len), (&there.path, there.len), "{name}");
            assert!(made.bytes == there.bytes, "{name}: {} has other bytes", made.path.display());
        }
        assert_eq!(made.files().len(), there.files().len(), "{name}");
        Self { name, from, recording }
    }

    fn all() -> Vec<Self> {
        let Images { empty, closed, files, killed } = Images::new();
        vec![
            Self::new("from nothing to closed", empty, 0),
            Self::new("opened after it was closed", closed, HALF),
            Self::new("opened after kills", killed, HALF),
            Self::new("snapshots as files", files, HALF),
        ]
    }

    /// How many tables of the journal were removed, since others have what was in them.
    fn tables_merged(&self) -> usize {
        let tables = Path::new(STORE).join("fjall/keyspaces/1/tables");
        let removed = self.recording.acts.iter().filter(|act| {
            let is_removal =
                matches!(&act.deed, Deed::Names(changes) if changes.iter().all(|(.., node)| node.is_none()));
            is_removal && act.path.parent() == Some(&tables)
        });
        removed.count()
    }
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Open,
    /// A snapshot is stored.
    Kept,
    /// A step is, of an entity behind whose snapshots its events are deleted.
    Saved,
    Step,
    Closed,
}

impl Answer {
    fn of(line: &str) -> Self {
        match line {
            "open" => Self::Open,
            "closed" => Self::Closed,
            line if line.ends_with(" kept") => Self::Kept,
            line if line.ends_with(" saved") => Self::Saved,
            _ => Self::Step,
        }
    }
}

/// Why something need not be synced when an answer is told; nothing where it must be.
fn reason(answer: Answer, pending: Pending<'_>) -> Option<&'static str> {
    let Act { deed, path, .. } = pending.act;
    if let Deed::Names(changes) = deed
        && changes.iter().all(|(_, _, node)| node.is_none())
    {
        return Some("what is removed is needed by nobody, and is removed again or passed over if it comes back");
    }
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    let is_moving = answer != Answer::Closed;
    match parts[..] {
        [STORE, "lock"] | [STORE, "fjall" | "snapshots", "lock"] => Some("who holds it is nothing of the store"),
        [STORE, ".annals.tmp"] => Some("it is empty once a journal is made"),
        [STORE, "fjall.aside", ..] => Some("without a whole list it is nothing, and the next opening removes it"),
        [STORE, "deadlines" | "deadlines.tmp"] => Some("nothing that is derived is needed"),
        [STORE, "head"] if matches!(answer, Answer::Kept | Answer::Saved | Answer::Step) => {
            Some("a thread of its own syncs it: it says less than the engine's journal, never more")
        }
        [STORE, "fjall", "keyspaces", ..] if is_moving => {
            Some("the engine's threads merge tables; it keeps what they are made of until they are synced")
        }
        [STORE, "fjall", name] if is_moving && name.ends_with(".jnl") && !is_storing(deed) => {
            Some("rows that are removed nobody reads: they are removed again")
        }
        [STORE, "fjall", name] if answer == Answer::Saved && name.ends_with(".jnl") && is_deletion(deed) => {
            Some("nobody waits for what is deleted behind a snapshot")
        }
        [STORE, "snapshots" | "snapshots.tmp", ..] | [FILES, ..]
            if matches!(answer, Answer::Open | Answer::Saved | Answer::Step) =>
        {
            Some("no answer waits for a snapshot that nobody has asked for; events are deleted when it is synced")
        }
        [STORE, "snapshots", "keyspaces", ..] if is_moving => Some("as with the other engine"),
        [STORE, "snapshots", name] if is_moving && name.ends_with(".jnl") && !is_storing(deed) => {
            Some("a snapshot that comes back is as good as it was")
        }
        _ => None,
    }
}

/// Whether a write into a journal file of the engine's stores a row. What can't be read is taken for one.
fn is_storing(deed: &Deed) -> bool {
    stored_kinds(deed).is_none_or(|kinds| !kinds.is_empty())
}

/// Whether it stores a group of floors, and nothing else.
fn is_deletion(deed: &Deed) -> bool {
    const ORDER: u8 = 1;
    const FLOOR: u8 = 4;
    stored_kinds(deed)
        .is_some_and(|kinds| kinds.contains(&FLOOR) && kinds.iter().all(|kind| [ORDER, FLOOR].contains(kind)))
}

/// The kinds of the rows that are stored by a write into a journal file of the engine's, if it can be read.
fn stored_kinds(deed: &Deed) -> Option<Vec<u8>> {
    let Deed::Write { bytes, .. } = deed else { return Some(Vec::new()) };
    let (mut kinds, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((tag, behind)) = rest.split_first() {
        let skipped = match tag {
            1 => 4 + 8,
            2 => {
                let key = u16::from_le_bytes(behind.get(10..12)?.try_into().ok()?);
                let value = u32::from_le_bytes(behind.get(12..16)?.try_into().ok()?);
                if behind.first() == Some(&0) {
                    kinds.push(*behind.get(20)?);
                }
                20 + usize::from(key) + usize::try_from(value).ok()?
            }
            3 => 8 + 4,
            _ => return None,
        };
        rest = behind.get(skipped..).unwrap_or_default();
    }
    Some(kinds)
}

/// Everything that is told, or said by another file, before what it stands for is synced.
fn told_too_early(recording: &Recording, reasons: &mut BTreeSet<&'static str>) -> Vec<String> {
    let mut disk = Disk::new(recording);
    let mut early = Vec::new();
    for (index, Act { deed, path, moved }) in recording.acts.iter().enumerate() {
        let mut noted = |what: &str, pending: Pending<'_>| {
            early.push(format!("deed {index}, {what}: deed {} on `{}`", pending.index, pending.act.path.display()));
        };
        let in_engine = path.starts_with(Path::new(STORE).join("fjall"));
        let is_journal =
            |path: &Path| path.parent() == Some(&Path::new(STORE).join("fjall")) && path.extension().is_some();
        match deed {
            Deed::Told(line) => {
                for pending in disk.pending() {
                    match reason(Answer::of(line), pending) {
                        Some(reason) => drop(reasons.insert(reason)),
                        None => noted(&format!("`{line}` is told"), pending),
                    }
                }
            }
            Deed::Write { .. } if path == &Path::new(STORE).join("head") => {
                for pending in disk.pending().filter(|pending| is_journal(&pending.act.path)) {
                    if is_storing(&pending.act.deed) {
                        noted("the head says it", pending);
                    }
                }
            }
            Deed::Write { .. } if in_engine && is_journal(path) && is_storing(deed) => {
                for pending in disk.pending().filter(|pending| pending.act.path == Path::new(STORE).join("keys")) {
                    noted("what is encrypted with it is written", pending);
                }
            }
            Deed::Names(_) => {
                if let Some(node) = moved {
                    // Whatever has a name for good is whole.
                    disk.pending_in(*node).for_each(|pending| noted("it is moved to its place", pending));
                }
                if path == &Path::new(STORE).join("head") {
                    let engine = Path::new(STORE).join("fjall");
                    let pending = disk.pending().filter(|pending| pending.act.path == engine);
                    pending.for_each(|pending| noted("the head comes to its place", pending));
                }
            }
            Deed::Write { .. } | Deed::Length { .. } | Deed::Sync { .. } => {}
        }
        disk.step();
    }
    early
}

/// A file or a directory of the store, whatever its number is.
fn kind(path: &Path) -> String {
    let name = |part: &std::ffi::OsStr| {
        let name = part.to_string_lossy();
        match name.rsplit_once('.') {
            Some((_, "jnl")) => "*.jnl".to_owned(),
            Some((stem, "tmp")) if stem.starts_with("snapshot-") => "*.tmp".to_owned(),
            Some(("", drawn)) if drawn.starts_with("tmp") => ".tmp*".to_owned(),
            // An entity's pseudonym.
            _ if name.len() == 33 && name.starts_with('_') => "*".to_owned(),
            _ if name.trim_start_matches('v').bytes().all(|byte| byte.is_ascii_digit()) => "*".to_owned(),
            _ => name.into_owned(),
        }
    };
    path.iter().map(name).collect::<Vec<_>>().join("/")
}

#[test]
fn everything_that_an_answer_stands_for_is_synced_before_it_is_told() {
    if is_skipped() {
        return;
    }
    let (mut reasons, mut answers) = (BTreeSet::new(), 0);
    // Of each kind of file: how many syncs there are, and how many of them are missed when they are left out.
    let mut kinds = BTreeMap::<String, (usize, usize)>::new();
    for Recorded { name, recording, .. } in Recorded::all() {
        let early = told_too_early(&recording, &mut reasons);
        assert!(early.is_empty(), "{name}: {} are told too early:\n{}", early.len(), early.join("\n"));
        answers += recording.acts.iter().filter(|act| matches!(act.deed, Deed::Told(_))).count();
        for left_out in 0..recording.acts.len() {
            let Act { deed: Deed::Sync { .. }, path, .. } = &recording.acts[left_out] else { continue };
            let other = without_syncs(&recording, |index, _| index == left_out);
            let (all, missed) = kinds.entry(kind(path)).or_default();
            *all += 1;
            *missed += usize::from(!told_too_early(&other, &mut BTreeSet::new()).is_empty());
        }
    }
    for (kind, (all, missed)) in &kinds {
        println!("{missed} of {all} syncs of `{kind}` are missed when they are left out");
    }
    for reason in &reasons {
        println!("not synced before an answer, by design: {reason}");
    }
    summary(&format!("{answers} answers, and all that they stand for was synced before they were told"));
    // The check can fail: it misses what every answer needs.
    for (needed, at_least) in NEEDED {
        let (all, missed) = kinds.get(needed).copied().unwrap_or_default();
        assert!(missed >= at_least, "only {missed} of {all} syncs of `{needed}` are missed");
    }
}

/// Kinds of files, and of how many of their syncs at the least it is missed when they are left out, in all that is
/// recorded. Of others there is another sync that stands for the same, or no answer waits.
const NEEDED: [(&str, usize); 14] = [
    ("", 1),
    ("store", 4),
    ("store/.annals.tmp/fjall/keyspaces", 1),
    ("store/fjall/*.jnl", 60),
    ("store/fjall/keyspaces/*/*", 4),
    ("store/fjall/keyspaces/*/tables", 4),
    ("store/fjall/keyspaces/*/tables/*", 4),
    ("store/head", 6),
    ("store/keys", 10),
    ("store/keys.tmp", 1),
    ("store/snapshots/*.jnl", 4),
    ("store/snapshots.tmp/keyspaces", 1),
    ("files/tmp/*.tmp", 2),
    ("files/_%50atient/*", 1),
];

/// A recording in which some syncs do nothing.
fn without_syncs(recording: &Recording, is_left_out: impl Fn(usize, &Path) -> bool) -> Recording {
    let mut recording = recording.clone();
    for (index, Act { deed, path, .. }) in recording.acts.iter_mut().enumerate() {
        // What began before everything is about nothing.
        if let Deed::Sync { began, .. } = deed
            && is_left_out(index, path)
        {
            *began = 0;
        }
    }
    recording
}

/// Power is lost at a place of a recording.
struct Cut<'a> {
    recorded: &'a Recorded,
    place: usize,
    loss: Loss,
    seed: u64,
}

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded, place, loss, seed } = self;
        write!(f, "{}, power is lost before deed {place}, {loss:?} drawn with {seed}", recorded.name)
    }
}

impl<'a> Cut<'a> {
    /// Behind an answer, with the loss of all that isn't synced.
    fn behind_answers(recorded: &'a Recorded) -> impl Iterator<Item = Self> {
        let acts = recorded.recording.acts.iter().enumerate();
        let told = acts.filter(|(_, act)| matches!(act.deed, Deed::Told(_)));
        told.map(move |(index, _)| Self { recorded, place: index + 1, loss: Loss::EVERYTHING, seed: 1 })
    }

    fn drawn(recorded: &'a Recorded, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let acts = &recorded.recording.acts;
        let mut place = usize::try_from(random.below(u64::try_from(acts.len() + 1).unwrap())).unwrap();
        // Before a sync there is most to be lost; behind an answer there is something to be missed.
        match random.below(3) {
            0 => {}
            1 => place += acts[place..].iter().take_while(|act| !matches!(act.deed, Deed::Sync { .. })).count(),
            _ => place += acts[place..].iter().take_while(|act| !matches!(act.deed, Deed::Told(_))).count() + 1,
        }
        let loss = if random.below(4) == 0 { Loss::EVERYTHING } else { Loss::drawn(&mut random) };
        Self { recorded, place: place.min(acts.len()), loss, seed }
    }

    /// Makes what is left, and goes on with it. Says whether anything was lost.
    fn check(&self, truth: &Truth, directory: &Path) -> Result<bool, String> {
        let Self { recorded: Recorded { recording, from, .. }, place, loss, seed } = self;
        let mut disk = Disk::new(recording);
        disk.go_to(*place);
        let (image, lost) = disk.image(*loss, &mut Random::new(seed ^ 0x5eed));
        image.put(directory).map_err(|error| error.to_string())?;
        let told = from + recording.steps_told(*place);
        let checked = runtime().block_on(truth.check(directory, told));
        checked.map(|()| !lost.is_empty()).map_err(|why| format!("{why}\n  lost: {}", lost.join("\n  lost: ")))
    }
}

/// Seeds that are close to each other draw the same.
fn mixed(seed: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[test]
fn whatever_power_loss_leaves_opens_unaided_and_has_all_that_was_told() {
    if is_skipped() {
        return;
    }
    let (begin, seed, truth) = (Instant::now(), seed(), Truth::new());
    let all = Recorded::all();
    let images = setting("ANNALS_IMAGES", IMAGES);
    let cuts: Vec<_> = (0..images)
        .map(|nth| Cut::drawn(&all[usize::try_from(nth).unwrap() % all.len()], mixed(seed.wrapping_add(nth))))
        .collect();
    let merged: usize = all.iter().map(Recorded::tables_merged).sum();
    assert!(merged > 0, "no tables were merged");
    let lost = at_each("power loss", &cuts, |directory, cut| cut.check(&truth, directory));
    summary(&format!(
        "power loss: {images} images of what it may leave, in {lost} of them something was lost, {merged} tables \
         were merged, in {:.1} s with seed {seed}",
        begin.elapsed().as_secs_f64()
    ));
    assert!(u64::try_from(lost).unwrap() * 2 >= images, "only {lost} of {images} have lost anything");
}

/// Files whose syncs are left out, and in which of the recordings that shows.
const LEFT_OUT: [(&str, usize); 5] =
    [("store", 0), ("store/fjall/*.jnl", 1), ("store/keys", 1), ("store/snapshots/*.jnl", 1), ("files/tmp/*.tmp", 3)];

#[test]
fn syncs_that_are_left_out_are_missed_when_power_is_lost() {
    if is_skipped() {
        return;
    }
    let (truth, all) = (Truth::new(), Recorded::all());
    let directory = work_dir().unwrap();
    let directory = directory.path().join("work");
    for (left_out, nth) in LEFT_OUT {
        let Recorded { name, from, recording } = &all[nth];
        let recording = without_syncs(recording, |_, path| kind(path) == left_out);
        let recorded = Recorded { name, from: *from, recording };
        let missed = Cut::behind_answers(&recorded).find_map(|cut| cut.check(&truth, &directory).err());
        let Some(missed) = missed else { panic!("{name}: without syncs of `{left_out}` nothing is missed") };
        println!("without syncs of `{left_out}`: {}", missed.lines().next().unwrap_or_default());
    }
}
