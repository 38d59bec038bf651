//! The stores that are kept as fixtures: what is written into one, and what is told of each when it is read again.

mod first;
mod told;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{Builder, Snapshot, Timestamp};

pub use told::{again, told};

/// What a fixture is written, read and told with, or why not.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Who put coins into a purse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Giver {
    /// Somebody, before that was written down.
    Unknown,
    /// Somebody with a name.
    Named(String),
}

/// What the first version of `filled` held.
#[derive(Debug, Deserialize)]
pub struct FilledV1 {
    coins: u32,
}

impl From<FilledV1> for PurseEvent {
    fn from(FilledV1 { coins }: FilledV1) -> Self {
        Self::Filled { coins: coins.into(), by: Giver::Unknown }
    }
}

/// Holds coins: events in two versions and under two names, keys, snapshots.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, Snapshot)]
pub struct Purse {
    coins: u64,
    by_unknown: u64,
}

/// There are fewer coins than were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooFew {
    /// How many there are.
    pub coins: u64,
}

impl std::fmt::Display for TooFew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there are only {} coins", self.coins)
    }
}

impl Error for TooFew {}

#[aggregate(snapshot(keep = 2))]
impl Purse {
    #[event(version = 2, upcast(1 => FilledV1))]
    fn filled(&mut self, coins: u64, by: Giver) {
        self.coins += coins;
        if by == Giver::Unknown {
            self.by_unknown += coins;
        }
    }

    #[event(was("spent"))]
    fn paid(&mut self, coins: u64) {
        self.coins -= coins;
    }

    /// Puts coins in; replies with how many there are.
    #[command]
    fn fill(&self, coins: u64, by: String) -> Step<u64> {
        applying(PurseEvent::Filled { coins, by: Giver::Named(by) }).replying_with(|purse: &Self| purse.coins)
    }

    /// Takes coins out.
    #[command]
    fn pay(&self, coins: u64) -> Result<Step<u64>, TooFew> {
        if coins > self.coins {
            return Err(TooFew { coins: self.coins });
        }
        Ok(applying(PurseEvent::Paid { coins }).replying_with(|purse: &Self| purse.coins))
    }

    /// All of it.
    #[query]
    fn content(&self) -> Purse {
        self.clone()
    }
}

/// Bakes: states, a deadline that ran out, one that was consumed, one that is armed; events in JSON.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oven {
    baked: u32,
}

#[fsm(states(initial Cold, transient Heating, Hot, terminal Broken), codec = json)]
impl Oven {
    #[event]
    fn bread_baked(&mut self, loaves: u32, note: Option<String>) {
        let _ = note;
        self.baked += loaves;
    }

    /// Makes it hot for some time.
    #[on(Cold => Heating)]
    fn heat(&self) -> Step {
        goto(Heating)
    }

    /// It is hot by now.
    #[on(Heating => Hot)]
    fn ready(&self) -> Step {
        goto(Hot)
    }

    /// Bakes.
    #[on(Hot => stay)]
    fn bake(&self, loaves: u32, note: Option<String>) -> Step<u32> {
        stay().applying(OvenEvent::BreadBaked { loaves, note }).replying_with(|oven: &Self| oven.baked)
    }

    /// Ruins it.
    #[on(Cold | Hot => Broken)]
    fn kick(&self) -> Step {
        goto(Broken)
    }

    /// Stays hot when nothing was baked; it is kept warm for what comes.
    #[after(1h, Hot => Cold | stay)]
    fn cool_down(&self) -> Step {
        if self.baked == 0 { stay() } else { goto(Cold) }
    }

    /// How much was baked.
    #[query]
    fn baked(&self) -> u32 {
        self.baked
    }
}

/// Deletes the events that its snapshot stands for.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, Snapshot)]
pub struct Meter {
    sum: u64,
}

#[aggregate(snapshot(every = 3, keep = 1), retain = since_snapshot)]
impl Meter {
    #[event]
    fn measured(&mut self, value: u64) {
        self.sum += value;
    }

    /// Adds a value; replies with the sum.
    #[command]
    fn measure(&self, value: u64) -> Step<u64> {
        applying(MeterEvent::Measured { value }).replying_with(|meter: &Self| meter.sum)
    }

    /// The sum.
    #[query]
    fn sum(&self) -> u64 {
        self.sum
    }
}

/// Can be forgotten, so it is encrypted.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, Snapshot)]
pub struct Patient {
    notes: Vec<String>,
}

#[aggregate(snapshot, forgettable)]
impl Patient {
    #[event]
    fn noted(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Writes a note.
    #[command]
    fn note(&self, note: String) -> Step {
        applying(PatientEvent::Noted { note })
    }

    /// All notes.
    #[query]
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// When the first command of a fixture is handled.
const BEGIN: &str = "2026-01-01T00:00:00Z";
/// How long after that it is read.
const READ_AFTER: Duration = Duration::from_secs(4 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn begin() -> Outcome<Timestamp> {
    Ok(BEGIN.parse()?)
}

fn builder(clock: &ManualClock) -> Builder {
    System::builder().shards(1).clock(clock.clone()).deadlines_in_flight_max(1)
}

/// Writes what every fixture holds into a new directory.
///
/// # Errors
///
/// What goes wrong in it.
///
/// # Panics
///
/// If a refusal isn't what it should be.
pub async fn write(store: &Path) -> Outcome<()> {
    let clock = ManualClock::at(begin()?);
    first::write(store, &clock).await?;
    let system = builder(&clock).register::<Oven>().open(store).await?;

    let purse = system.get::<Purse>("with coins");
    clock.advance(Duration::from_secs(1));
    purse.fill(30, "anna".to_owned()).await?;
    purse.pay(5).key(Key::unique("order 1")).await?;
    purse.pay(7).key(Key::rising(41)).await?;
    // A refusal is stored with its key, too.
    let refused = purse.pay(1_000).key(Key::unique("order 2")).await;
    assert!(matches!(refused, Err(CallError::Refused(TooFew { coins: 36 }))), "{refused:?}");
    purse.snapshot().await?;
    purse.fill(2, "bert".to_owned()).await?;

    // One deadline runs out and is consumed, one runs out and leads somewhere, one is armed.
    for (oven, loaves) in [("idle", 0), ("busy", 3), ("late", 2)] {
        let oven = system.get::<Oven>(oven);
        oven.heat().await?;
        oven.ready().await?;
        if loaves > 0 {
            oven.bake(loaves, (loaves == 3).then(|| "rye".to_owned())).await?;
        }
        if loaves == 2 {
            // It is kicked before it cools down.
            oven.kick().await?;
        }
    }
    clock.advance(HOUR);
    until("the busy oven is cold", async || Ok(system.get::<Oven>("busy").state().await? == OvenState::Cold)).await?;
    until("the idle oven stays hot", async || Ok(told::records(&system, "idle").await? == 3)).await?;
    clock.advance(HOUR);
    let busy = system.get::<Oven>("busy");
    busy.heat().await?;
    busy.ready().await?;
    busy.bake(1, None).await?;

    let meter = system.get::<Meter>("water");
    for value in 1..=7 {
        let saved = system.stats().snapshots_saved;
        meter.measure(value).await?;
        if value % 3 == 0 {
            until("a snapshot is saved", async || Ok(system.stats().snapshots_saved > saved)).await?;
        }
    }
    until("what it stands for is deleted", async || Ok(system.stats().records_deleted == 6)).await?;

    system.get::<Purse>("deleted").fill(1, "anna".to_owned()).await?;
    system.delete::<Purse>("deleted").await?;
    for patient in ["kept", "forgotten"] {
        let patient = system.get::<Patient>(patient);
        patient.note("a cough".to_owned()).await?;
        patient.snapshot().await?;
        patient.note("a cold".to_owned()).await?;
    }
    system.forget::<Patient>("forgotten").await?;
    system.shutdown().await?;
    Ok(())
}

/// Waits until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> Outcome<bool>) -> Outcome<()> {
    let started = std::time::Instant::now();
    while !so().await? {
        if started.elapsed() > Duration::from_secs(120) {
            return Err(format!("waited in vain until {what}").into());
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Copies a store to where it may be opened: opening one writes into it.
///
/// # Errors
///
/// If a file can't be read or written.
pub fn copy(store: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(store)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => std::fs::write(target, std::fs::read(entry.path())?)?,
        }
    }
    Ok(())
}
