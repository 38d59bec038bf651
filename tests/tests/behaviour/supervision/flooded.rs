//! One entity is flooded in whatever way it can be, and the others are served as before: counted in what is done between
//! another's call and its turn, and in how much of the flooded one waits in queues.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use annals::journal::ReadError;
use annals::prelude::*;
use annals_tests::Account;

use super::wrapped::Wrapped;
use super::{epoch, others_go_on, soon, started};
use crate::until;

thread_local! {
    /// How many messages were handled, or effects run, on this one thread, of all counters of one test.
    static DONE: Cell<u64> = const { Cell::new(0) };
    /// How many of them at the most lay between a call of the quiet one and its turn.
    static BETWEEN_MAX: Cell<u64> = const { Cell::new(0) };
}

fn done() -> u64 {
    DONE.get()
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

#[aggregate]
impl Counter {
    #[event]
    fn was_counted(&mut self) {
        self.count += 1;
    }

    /// Stores nothing.
    #[command]
    fn poke(&self) -> Step {
        DONE.set(DONE.get() + 1);
        stay()
    }

    #[command]
    fn count(&self) -> Step {
        DONE.set(DONE.get() + 1);
        applying(CounterEvent::WasCounted)
    }

    /// What is done is its effect.
    #[command]
    fn ring(&self) -> Step {
        stay().and_then(|_| DONE.set(DONE.get() + 1))
    }

    /// Notes how much was done since it was sent.
    #[command]
    fn look(&self, sent_at: u64) -> Step {
        BETWEEN_MAX.set(BETWEEN_MAX.get().max(DONE.get() - sent_at));
        stay()
    }

    #[query]
    fn counted(&self) -> u64 {
        self.count
    }
}

/// Lets nobody pass while it is closed.
#[derive(Default)]
struct Gate {
    is_closed: Mutex<bool>,
    waiting: Mutex<usize>,
    opened: Condvar,
}

/// A gate that is closed as long as this lives: a test that fails must not wait for who waits at it.
struct Closed(Arc<Gate>);

impl Gate {
    fn close(self: &Arc<Self>) -> Closed {
        *self.is_closed.lock().unwrap() = true;
        Closed(self.clone())
    }

    fn pass(&self) {
        let mut is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        *self.waiting.lock().unwrap() += usize::from(*is_closed);
        while *is_closed {
            is_closed = self.opened.wait(is_closed).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn has_waiting(&self) -> bool {
        *self.waiting.lock().unwrap() > 0
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        *self.0.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.opened.notify_all();
    }
}

/// A journal whose reads wait at a gate.
fn gated() -> (Wrapped, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let at = gate.clone();
    (Wrapped { before_read: Arc::new(move || at.pass()), ..Wrapped::new() }, gate)
}

/// Waits until nothing more happens by itself.
async fn come_to_rest(system: &System) {
    let mut calm = 0;
    let mut before = system.stats();
    while calm < 50 {
        tokio::task::yield_now().await;
        let now = system.stats();
        calm = if now == before { calm + 1 } else { 0 };
        before = now;
    }
}

/// So many repeats of one entity are looked up at a time, and so many of all.
const REPEATS_OF_ONE: u64 = 128;
const REPEATS: u64 = 1_024;

#[tokio::test]
async fn repeats_of_one_entity_that_wait_for_a_slow_read_stop_no_other() {
    let (journal, gate) = gated();
    let system = System::builder().shards(1).start(journal).unwrap();
    let hot = system.get::<Account>("hot");
    hot.deposit(1).key(Key::unique("a")).await.unwrap();
    others_go_on(&system).await;
    let before = system.stats().commands;
    let closed = gate.close();
    // More than the shard looks up in all, and less than fills a lane.
    let repeats: Vec<_> = (0..1_900).map(|_| tokio::spawn(hot.deposit(1).key(Key::unique("a")))).collect();
    until("a read waits", || gate.has_waiting()).await;
    come_to_rest(&system).await;
    assert_eq!(system.stats().commands - before, REPEATS_OF_ONE, "the others wait in its queue");
    others_go_on(&system).await;
    drop(closed);
    for repeat in repeats {
        assert_eq!(soon(repeat).await.unwrap().unwrap(), 1);
    }
    assert_eq!(soon(hot.balance()).await.unwrap(), 1);
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn repeats_of_very_many_entities_that_wait_for_slow_reads_stop_no_other() {
    let (journal, gate) = gated();
    let system = System::builder().shards(1).start(journal).unwrap();
    let entities = 3 * REPEATS;
    let hot = |number: u64| system.get::<Account>(format!("hot {number}"));
    for number in 0..entities {
        hot(number).deposit(number).key(Key::unique("a")).await.unwrap();
    }
    others_go_on(&system).await;
    let before = system.stats().commands;
    let closed = gate.close();
    let repeats: Vec<_> = (0..entities).map(|n| tokio::spawn(hot(n).deposit(n).key(Key::unique("a")))).collect();
    until("a read waits", || gate.has_waiting()).await;
    come_to_rest(&system).await;
    assert_eq!(system.stats().commands - before, REPEATS, "the others wait in their queues");
    others_go_on(&system).await;
    drop(closed);
    for (number, repeat) in (0..).zip(repeats) {
        assert_eq!(soon(repeat).await.unwrap().unwrap(), number);
    }
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_repeat_that_waits_for_room_is_answered_before_those_that_come_after_it() {
    let (journal, gate) = gated();
    let system = System::builder().shards(1).mailbox_max(1 << 17).start(journal).unwrap();
    let (entities, each) = (2 * REPEATS / REPEATS_OF_ONE, 1_000);
    let hot = |number: u64| system.get::<Account>(format!("hot {number}"));
    for number in 0..entities {
        hot(number).deposit(number).key(Key::unique("a")).await.unwrap();
    }
    let quiet = system.get::<Account>("quiet");
    quiet.deposit(1).key(Key::unique("a")).await.unwrap();
    let closed = gate.close();
    let mut floods = Vec::new();
    for number in 0..entities {
        let deposit = |_| {
            let repeat = hot(number).deposit(number).key(Key::unique("a"));
            tokio::spawn(async move {
                repeat.await.unwrap();
                DONE.set(DONE.get() + 1);
            })
        };
        floods.extend((0..each).map(deposit));
    }
    until("a read waits", || gate.has_waiting()).await;
    come_to_rest(&system).await;
    let repeat = quiet.deposit(1).key(Key::unique("a"));
    let late = tokio::spawn(async move { (repeat.await.unwrap(), done()) });
    come_to_rest(&system).await;
    drop(closed);
    let (balance, between) = soon(late).await.unwrap();
    // Those that had room, and one turn of each that had come before.
    assert!(balance == 1 && between <= 2 * REPEATS, "{between} repeats of others were answered before");
    for flood in floods {
        soon(flood).await.unwrap();
    }
    assert_eq!(done(), entities * each);
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn repeats_that_wait_for_room_end_with_the_system_or_with_their_entity() {
    let (journal, gate) = gated();
    let within = std::time::Duration::from_millis(50);
    let system = System::builder().shards(1).shutdown_within(within).start(journal).unwrap();
    let entities = REPEATS + 100;
    let hot = |number: u64| system.get::<Account>(format!("hot {number}"));
    for number in 0..entities {
        hot(number).deposit(number).key(Key::unique("a")).await.unwrap();
    }
    let closed = gate.close();
    let repeats: Vec<_> = (0..entities).map(|n| tokio::spawn(hot(n).deposit(n).key(Key::unique("a")))).collect();
    until("a read waits", || gate.has_waiting()).await;
    come_to_rest(&system).await;
    let error = soon(system.shutdown()).await.unwrap_err();
    drop(closed);
    let mut unanswered = 0;
    for (number, repeat) in (0..).zip(repeats) {
        match soon(repeat).await.unwrap() {
            Ok(reply) => assert_eq!(reply, number),
            Err(CallError::Stopped { .. } | CallError::Unknown { .. } | CallError::AnswerUnread { .. }) => {
                unanswered += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(unanswered > 100, "{unanswered} were given up: {error:?}");
}

/// So many effects are run before the task that runs them lets others go on, and a few such turns are between.
const EFFECTS_BETWEEN: u64 = 3 * 128;

#[tokio::test]
async fn effects_of_one_entity_that_wait_for_room_stop_no_other() {
    let (system, journal) = started(System::builder().shards(1));
    let (hot, quiet) = (system.get::<Counter>("hot"), system.get::<Counter>("quiet"));
    quiet.look(done()).await.unwrap();
    journal.faults().hold();
    let first = tokio::spawn(hot.count());
    until("it is with the journal", || journal.faults().held() == 1).await;
    let effects = 4_000;
    for _ in 0..effects {
        hot.ring().tell().await.unwrap();
    }
    until("all are handled", || system.stats().commands == effects + 2).await;
    // What they leave behind becomes due at once.
    DONE.set(0);
    journal.faults().release();
    until("some ran", || done() > 0).await;
    while done() + EFFECTS_BETWEEN < effects {
        let sent_at = done();
        quiet.look(sent_at).or_overloaded().await.unwrap();
    }
    let between = BETWEEN_MAX.get();
    assert!(between <= EFFECTS_BETWEEN, "{between} effects of another came between");
    first.await.unwrap().unwrap();
    until("all ran", || done() == effects).await;
    system.shutdown().await.unwrap();
}

/// Calls another entity over and over, while the flood goes on.
async fn probe(quiet: &CounterRef, goes_on: impl Fn() -> bool) -> u64 {
    let mut probes = 0;
    while goes_on() {
        // On this one thread nothing is done between this and the first poll of the call.
        quiet.look(done()).or_overloaded().await.unwrap();
        probes += 1;
    }
    probes
}

/// Two turns of the flooded entity, and what is left of one.
const HANDLED_BETWEEN: u64 = 3 * 64;

#[tokio::test]
async fn a_million_commands_to_one_entity_leave_the_others_their_service() {
    const COMMANDS: u64 = 1_000_000;
    const MAILBOX: u64 = 4_096;
    let (system, _) = started(System::builder().shards(1).mailbox_max(4_096));
    let (hot, quiet) = (system.get::<Counter>("hot"), system.get::<Counter>("quiet"));
    quiet.look(done()).await.unwrap();
    let sent = std::rc::Rc::new(Cell::new(0));
    let local = tokio::task::LocalSet::new();
    let mut floods = Vec::new();
    for _ in 0..64 {
        let (hot, sent) = (hot.clone(), sent.clone());
        floods.push(local.spawn_local(async move {
            let mut queued_max = 0;
            while sent.get() < COMMANDS {
                sent.set(sent.get() + 1);
                // Nine of ten store something.
                let told = if sent.get() % 10 == 0 { hot.poke().tell().await } else { hot.count().tell().await };
                told.unwrap();
                queued_max = sent.get().saturating_sub(done()).max(queued_max);
            }
            queued_max
        }));
    }
    let probes = local.run_until(probe(&quiet, || done() < COMMANDS)).await;
    let mut queued_max = 0;
    for flood in floods {
        queued_max = local.run_until(flood).await.unwrap().max(queued_max);
    }
    let between = BETWEEN_MAX.get();
    assert!(between <= HANDLED_BETWEEN, "{between} of the flooded entity's came between, in {probes} probes");
    assert!(probes > COMMANDS / 1_000, "only {probes} probes");
    // An eighth of the mailbox, and one in the hands of each who sends.
    assert!(queued_max <= MAILBOX / 8 + 64, "{queued_max} were sent and not handled");
    assert_eq!(soon(hot.counted()).await.unwrap(), COMMANDS / 10 * 9);
    assert_eq!(system.stats().residents, 2);
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_flood_at_an_entity_in_quarantine_makes_one_attempt_and_leaves_the_others_their_service() {
    const CALLERS: u64 = 600;
    let (system, journal) = started(System::builder().shards(1).clock(epoch()));
    let (hot, quiet) = (system.get::<Account>("hot"), system.get::<Counter>("quiet"));
    quiet.look(done()).await.unwrap();
    journal.faults().fail_reads(ReadError::Closed);
    hot.balance().await.unwrap_err();
    journal.faults().heal_reads();
    let floods: Vec<_> = (0..CALLERS)
        .map(|_| {
            let hot = hot.clone();
            tokio::spawn(async move {
                for _ in 0..500 {
                    let error = hot.deposit(1).await.unwrap_err();
                    assert!(matches!(error, CallError::Quarantined { .. }), "{error:?}");
                    DONE.set(DONE.get() + 1);
                }
            })
        })
        .collect();
    let probes = probe(&quiet, || done() < CALLERS * 500).await;
    for flood in floods {
        flood.await.unwrap();
    }
    let between = BETWEEN_MAX.get();
    assert!(between <= 2 * CALLERS, "each caller was answered more than twice between a call and its turn: {between}");
    assert!(probes > 100, "{probes}");
    let stats = system.stats();
    assert_eq!((stats.quarantines, stats.commands), (1, probes + 1), "nothing of it reached a handler or the journal");
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_flood_at_an_entity_that_is_being_loaded_fills_its_lane_and_leaves_the_others_their_service() {
    let (journal, gate) = gated();
    let builder = System::builder().shards(1).mailbox_max(800);
    let system = builder.start(journal.clone()).unwrap();
    let others: Vec<_> = (0..64).map(|other| system.get::<Account>(format!("other {other}"))).collect();
    for other in &others {
        other.deposit(1).await.unwrap();
    }
    let closed = gate.close();
    let hot = system.get::<Account>("hot");
    let mut calls = Vec::new();
    let refused = loop {
        // The reply tells in which order they were handled.
        let mut call = hot.deposit(1).or_overloaded();
        match polled_once(&mut call).await {
            Some(Err(error)) => break error,
            Some(Ok(balance)) => panic!("{balance} was told of what can't be read"),
            None => calls.push(call),
        }
    };
    let CallError::Overloaded { limit, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((limit, calls.len()), (100, 100));
    until("the read waits", || gate.has_waiting()).await;
    let mut without_room = 0;
    for other in &others {
        match soon(other.deposit(1).or_overloaded()).await {
            Ok(balance) => assert_eq!(balance, 2),
            Err(CallError::Overloaded { .. }) => without_room += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(without_room < 64 / 4, "{without_room} of 64 others have no room: those of one lane in eight");
    drop(closed);
    for (deposit, call) in (1..).zip(calls) {
        assert_eq!(soon(call).await.unwrap(), deposit);
    }
    system.shutdown().await.unwrap();
}

/// Polls a future once.
async fn polled_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|task| match std::pin::Pin::new(&mut *future).poll(task) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
