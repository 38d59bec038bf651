//! What the worlds run on: one thread whose time is simulated, or the threads of the machine.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use annals::Builder;
use annals::journal::{Journal as _, MemoryJournal};
use annals_tests::at_once;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::random::Random;

/// What a world runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// One thread, no pool, and time that passes when there is nothing else to do: a seed decides all that happens.
    Simulated,
    /// Two threads, a pool and the machine's time: a seed decides every choice, but not how the threads meet.
    Threads,
}

impl Ground {
    /// Lets one life take its course, to its end or to its crash: then all of its tasks are gone, wherever they were.
    pub fn live<T>(self, crash: Option<Crash>, life: impl Future<Output = T>) -> Option<T> {
        let runtime = match self {
            Ground::Simulated => tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build(),
            Ground::Threads => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        };
        runtime.unwrap().block_on(async {
            // On threads, what blocks one would keep the crash from being over.
            match crash.filter(|_| self == Ground::Simulated) {
                None => Some(life.await),
                Some(crash) => {
                    tokio::select! {
                        biased;
                        () = crash.come() => None,
                        lived = life => Some(lived),
                    }
                }
            }
        })
    }

    /// As [`Ground::live`], to the end.
    pub fn live_on<T>(self, life: impl Future<Output = T>) -> T {
        self.live(None, life).expect("there is no crash")
    }
}

/// When the process of a life is gone.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    turns: u64,
    pause: Duration,
}

impl Crash {
    /// One life in three crashes.
    pub fn choose(random: &mut Random) -> Option<Self> {
        let crash = Self { turns: random.below(400), pause: random.millis(&[0, 0, 1, 5, 40]) };
        random.one_in(3).then_some(crash)
    }

    async fn come(self) {
        sleep(self.pause).await;
        for _ in 0..self.turns {
            yield_now().await;
        }
    }
}

/// What a crash leaves: some of what was on its way is stored, and the rest never will be.
pub fn after_crash(journal: &MemoryJournal, random: &mut Random) -> MemoryJournal {
    let faults = journal.faults();
    faults.heal_reads();
    faults.free_storage();
    for _ in 0..random.below(4) {
        faults.release_next();
    }
    let reopened = journal.reopen();
    faults.release();
    reopened
}

/// Lets a system of this ground do what may block where it belongs.
pub fn on_this_ground(builder: Builder) -> Builder {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => builder.inline_blocking().retry_seed(7),
        _ => builder,
    }
}

/// All that has happened since the seed began, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    digest: u64,
    pub happenings: u64,
}

const BEGUN: Trace = Trace { digest: 0xCBF2_9CE4_8422_2325, happenings: 0 };

thread_local! {
    static TRACE: RefCell<(Trace, String)> = const { RefCell::new((BEGUN, String::new())) };
}

static SHOWN: OnceLock<bool> = OnceLock::new();

/// Notes something that has happened now.
pub fn happened(what: &'static str, happening: &dyn Debug) {
    TRACE.with_borrow_mut(|(trace, text)| {
        text.clear();
        write!(text, "{what} {happening:?};").unwrap();
        if *SHOWN.get_or_init(|| std::env::var_os("ANNALS_TRACE").is_some()) {
            eprintln!("{text}");
        }
        trace.happenings += 1;
        for byte in text.bytes() {
            trace.digest = (trace.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    });
}

/// What has happened in this thread since the last call.
pub fn take_trace() -> Trace {
    TRACE.with_borrow_mut(|(trace, _)| std::mem::replace(trace, BEGUN))
}

/// The name of an error's variant: what stands in it may name the store, whose number is random.
pub fn variant(error: &dyn Debug) -> String {
    format!("{error:?}").chars().take_while(|letter| letter.is_alphanumeric()).collect()
}

/// Notes all that a journal holds, without what is random in its bytes: where each record is, when and why it was
/// written, and what it says.
pub fn all_stored(journal: &MemoryJournal) {
    let store = journal.facts().store;
    for run in at_once(journal.read_all(annals::Offset(0), usize::MAX)).unwrap().runs {
        happened("run", &(run.stream, run.offset, run.floor));
        let view = annals::journal::RunView::parse(&run.bytes, store).unwrap();
        view.for_each(|seq_nr, write, record| {
            happened("record", &(seq_nr, write.time, write.key, write.cause, write.outcome, record));
            Ok::<(), annals::journal::RunError>(())
        })
        .unwrap();
    }
}
