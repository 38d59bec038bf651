//! Given events, when a command, then events, a reply or a refusal: without a runtime, a journal or a clock.

mod machine;
mod then;
mod twin;

use std::any::Any;
use std::fmt::{Debug, Write as _};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;

pub use then::Then;
use twin::Twin;

use crate::aggregate::{Aggregate, Context};
use crate::call::{Call, CallError, Parcel, Port, Stopped, Unsent};
use crate::codec::{self, Payload};
use crate::effects::{Effects, Spawned};
use crate::entity_ref::EntityRef;
use crate::event::{Event as _, EventList, EventVariant, EventsOf};
use crate::execute::{Draft, Verdict, after, execute};
use crate::graph::Coverage;
use crate::id::{EntityId, PersistenceId, SeqNr};
use crate::journal::{StoredKey, len_u64};
use crate::key::Keys;
use crate::message::{Message, OutcomeKind};
use crate::snapshot::request::Asked;
use crate::snapshot::taken::{Moment, Origin, Taken, check};
use crate::state::State;
use crate::step::Effect;

/// Begins a test of an entity to which these events have happened: an array, a `Vec`, an `Option` or a single event.
///
/// Commands go through the generated ref and through the same encoding as in a system. Every event is checked to come
/// out of the codec as it went in. A state machine can be put into a state ([`Bench::in_state`]), let wait
/// ([`Bench::advance`]) and asked which of its edges it took ([`Bench::coverage`]).
///
/// ```
/// use annals::prelude::*;
/// use annals::testing::given;
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// pub struct Counter { count: u64 }
///
/// #[aggregate]
/// impl Counter {
///     #[event]
///     fn counted(&mut self, by: u64) { self.count += by }
///
///     #[command]
///     fn count(&self, by: u64) -> Step<u64> {
///         applying(CounterEvent::Counted { by }).replying_with(|counter: &Counter| counter.count)
///     }
/// }
///
/// given::<Counter>([CounterEvent::Counted { by: 2 }])
///     .when(|counter| counter.count(3))
///     .then_events([CounterEvent::Counted { by: 3 }])
///     .then_reply(5);
/// ```
///
/// # Panics
///
/// If an event changes when it is stored and read again.
#[track_caller]
pub fn given<A>(events: impl EventsOf<A>) -> Bench<A>
where
    A: Aggregate<Event: Clone + Debug + PartialEq>,
{
    let mut list = EventList::new();
    events.push_to(&mut list);
    let mut entity = Entity {
        data: A::default(),
        cx: Context::new("test".into()),
        events: Vec::new(),
        effects: Vec::new(),
        draft: Draft::default(),
        keys: Keys::default(),
        answers: Vec::new(),
        broken: false,
        coverage: Coverage::of(A::State::GRAPH),
        stayed: None,
        twin: Some(Twin::new()),
        wrong: None,
    };
    entity.compare_beginnings();
    let mut list = list.into_iter().peekable();
    while let Some(event) = list.next() {
        // One that is ignored by now changes nothing, as in a replay.
        let (_, read) = stored_and_read::<A>(&event);
        let changes = read.is_some();
        read.into_iter().for_each(|event| entity.data.apply(event));
        entity.cx.move_to(entity.cx.now(), entity.cx.seq_nr().next(), entity.cx.standing());
        if changes && entity.twin.is_some() {
            let (name, again) = stored_and_read::<A>(&event);
            let is_last = list.peek().is_none();
            again.into_iter().for_each(|event| entity.fold_given(name, event, is_last));
        }
        if let Some(wrong) = entity.wrong.take() {
            panic!("{wrong}");
        }
    }
    if let Some(wrong) = entity.wrong.take() {
        panic!("{wrong}");
    }
    // The first write of a machine begins the time in its initial state.
    if entity.cx.seq_nr() > SeqNr::ZERO && machine::limit::<A>(A::State::INITIAL).is_some() {
        entity.enter(A::State::INITIAL);
    }
    let services: Arc<dyn Any + Send + Sync> = Arc::new(());
    let services = services.downcast::<A::Services>().ok();
    Bench { port: Arc::new(BenchPort(Mutex::new(entity))), services }
}

/// Sends an event through the codec, as the journal does, and checks that it is the same afterwards: its stored name,
/// and the event, or `None` if it is ignored by now.
#[track_caller]
fn stored_and_read<A>(event: &A::Event) -> (&'static str, Option<A::Event>)
where
    A: Aggregate<Event: Debug + PartialEq>,
{
    let mut bytes = Vec::new();
    let read = codec::encode(A::CODEC, event, &mut bytes).map_err(|error| error.to_string()).and_then(|variant| {
        let payload = Payload { codec: A::CODEC, bytes: &bytes };
        let read = codec::decode_current::<A::Event>(variant, payload).map_err(|error| error.to_string())?;
        Ok((read, &A::Event::VARIANTS[variant]))
    });
    match read {
        Ok((_, EventVariant { name, ignored_since: Some(_), .. })) => (name, None),
        Ok((read, EventVariant { name, ignored_since: None, .. })) => {
            assert!(read == *event, "an event changes when it is stored:\n  before: {event:?}\n   after: {read:?}");
            (name, Some(read))
        }
        Err(error) => panic!("an event can't be stored and read again: {error}\n  event: {event:?}"),
    }
}

/// An entity under test; made by [`given`].
pub struct Bench<A: Aggregate> {
    port: Arc<BenchPort<A>>,
    services: Option<Arc<A::Services>>,
}

struct BenchPort<A: Aggregate>(Mutex<Entity<A>>);

struct Entity<A: Aggregate> {
    data: A,
    cx: Context<A>,
    /// The events of the last command, as the handler made them.
    events: Vec<A::Event>,
    effects: Vec<Effect<A>>,
    draft: Draft,
    keys: Keys,
    /// What the commands with keys were answered.
    answers: Vec<Answer>,
    /// Whether the data is only half changed.
    broken: bool,
    coverage: Coverage,
    /// The command that was just answered without a change; it stayed, if it wasn't refused.
    stayed: Option<&'static str>,
    /// Folds the same events again; `None` if the data can't be compared, or has differed.
    twin: Option<Twin<A>>,
    /// What is wrong with the data, and was not told yet.
    wrong: Option<String>,
}

/// What a command with a key was answered.
struct Answer {
    key: StoredKey,
    command: &'static str,
    kind: OutcomeKind,
    bytes: Vec<u8>,
}

impl<A: Aggregate> BenchPort<A> {
    fn lock(&self) -> MutexGuard<'_, Entity<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Bench<A>
where
    A: Aggregate<Event: Clone + Debug + PartialEq>,
{
    /// Gives the entity this id instead of `test`.
    #[must_use]
    pub fn with_id(self, id: impl Into<EntityId>) -> Self {
        let mut entity = self.port.lock();
        let mut cx = Context::new(id.into());
        cx.move_to(entity.cx.now(), entity.cx.seq_nr(), entity.cx.standing());
        entity.cx = cx;
        drop(entity);
        self
    }

    /// Lets handlers see this time instead of 1970-01-01T00:00:00Z.
    ///
    /// No time passes by this: a deadline is as far away as before. To let time pass there is [`Bench::advance`].
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        let mut entity = self.port.lock();
        let mut standing = entity.cx.standing();
        let left = |due: Timestamp| Duration::try_from(due.duration_since(entity.cx.now())).unwrap_or_default();
        standing.due = standing.due.get().map(|due| after(now, left(due))).into();
        let seq_nr = entity.cx.seq_nr();
        entity.cx.move_to(now, seq_nr, standing);
        drop(entity);
        self
    }

    /// Gives effects these services, fakes for the most part.
    #[must_use]
    pub fn with_services(mut self, services: impl Into<Arc<A::Services>>) -> Self {
        self.services = Some(services.into());
        self
    }

    /// Sends a command or query through the ref, runs it and its effects, and hands out what came of it. The bench
    /// goes on from there. It remembers every [`Key`](crate::Key): a repeated command is answered what the first was
    /// answered, and nothing comes of it.
    ///
    /// ```
    /// # use annals::prelude::*;
    /// # use annals::testing::given;
    /// # #[derive(Debug, Default, Serialize, Deserialize)]
    /// # pub struct Door { open: bool }
    /// # #[derive(Debug, PartialEq)] pub struct OpenAlready;
    /// # #[aggregate]
    /// # impl Door {
    /// #     #[event] fn opened(&mut self) { self.open = true }
    /// #     #[command] fn open(&self) -> Result<Step, OpenAlready> {
    /// #         if self.open { return Err(OpenAlready) }
    /// #         Ok(applying(DoorEvent::Opened))
    /// #     }
    /// # }
    /// let door = given::<Door>([]);
    /// door.when(|door| door.open()).then_events(DoorEvent::Opened).then_reply(());
    /// door.when(|door| door.open()).then_no_events().then_refusal(OpenAlready);
    /// ```
    ///
    /// # Panics
    ///
    /// If the handler, a fold or the reply panics, if an event changes when it is stored or can't be, or if there are
    /// effects and no services for them. [`Bench::attempt`] hands such failures out.
    #[track_caller]
    pub fn when<R: Debug, E: Debug>(&self, send: impl FnOnce(&A::Ref) -> Call<R, E>) -> Then<A, R, E> {
        let then = self.attempt(send);
        then.check_done();
        then
    }

    /// Does as [`Bench::when`], and hands out [`CallError::Panicked`] and [`CallError::NotStored`] like any result.
    ///
    /// # Panics
    ///
    /// If there are effects and no services for them.
    #[track_caller]
    pub fn attempt<R, E>(&self, send: impl FnOnce(&A::Ref) -> Call<R, E>) -> Then<A, R, E> {
        let call = pin!(send(&self.entity().into()));
        self.port.lock().begin();
        let Poll::Ready(result) = call.poll(&mut TaskContext::from_waker(Waker::noop())) else {
            panic!("the closure must return a call to the ref that it is given");
        };
        self.port.lock().end(result.is_ok());
        self.then(result)
    }

    /// Runs the effects of what was just run, and tells what came of it.
    #[track_caller]
    fn then<R, E>(&self, result: Result<R, CallError<E>>) -> Then<A, R, E> {
        let mut entity = self.port.lock();
        let (events, effects) = (std::mem::take(&mut entity.events), std::mem::take(&mut entity.effects));
        let state = entity.cx.standing().state;
        let wrong = entity.wrong.take();
        drop(entity);
        if let Some(wrong) = wrong {
            panic!("{wrong}");
        }
        let spawned = self.run_effects(effects);
        Then { events, result, spawned, state }
    }

    /// Looks at the data.
    pub fn inspect<T>(&self, look: impl FnOnce(&A) -> T) -> T {
        look(&self.port.lock().data)
    }

    fn entity(&self) -> EntityRef<A> {
        let id = self.port.lock().cx.id().clone();
        EntityRef::new(id, 0, self.port.clone())
    }

    #[track_caller]
    fn run_effects(&self, effects: Vec<Effect<A>>) -> Vec<Spawned> {
        if effects.is_empty() {
            return Vec::new();
        }
        let Some(services) = self.services.clone() else {
            let wanted = std::any::type_name::<A::Services>();
            panic!("the step has effects, and no services were given: call `.with_services(..)` with a `{wanted}`");
        };
        let mut panics = String::new();
        let spawned = Effects::new(services, self.entity(), None).run(effects, |panic| {
            let _ = writeln!(panics, "an effect panicked: {panic}");
        });
        assert!(panics.is_empty(), "{panics}");
        spawned
    }
}

impl<A: Aggregate> Debug for Bench<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bench({} \"{}\")", A::NAME, self.port.lock().cx.id())
    }
}

impl<A> Port for BenchPort<A>
where
    A: Aggregate<Event: Clone + Debug + PartialEq>,
{
    fn aggregate(&self) -> &'static str {
        A::NAME
    }

    fn try_send(&self, _: u64, parcel: Box<dyn Parcel>) -> Result<(), Unsent> {
        let mut message: Option<Box<dyn Message<A>>> = None;
        parcel.unpack(&mut message);
        if let Some(message) = message {
            self.lock().run(message);
        }
        Ok(())
    }

    fn send(self: Arc<Self>, _: u64, _: Box<dyn Parcel>) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>> {
        unreachable!("a bench always has room")
    }
}

impl<A> Entity<A>
where
    A: Aggregate<Event: Clone + Debug + PartialEq>,
{
    /// Forgets what came of the message before.
    fn begin(&mut self) {
        self.events.clear();
        self.stayed = None;
    }

    /// Counts a command that changed nothing and was `answered`.
    fn end(&mut self, answered: bool) {
        if let Some(command) = self.stayed.take().filter(|_| answered) {
            self.count_stay(command);
        }
    }

    fn run(&mut self, mut message: Box<dyn Message<A>>) {
        assert!(!self.broken, "the entity can't go on: a fold or a reply panicked in the step before");
        if let Some(key) = message.key()
            && let Some(seq_nr) = self.keys.seen(key)
        {
            let command = message.command();
            let first = self.answers.iter().find(|answer| answer.key == key && answer.command == command);
            message.repeat(first.map(|first| first.kind.stored(A::CODEC, &first.bytes)), seq_nr);
            return;
        }
        let events = &mut self.events;
        let note = |made: &EventList<A::Event>| events.extend_from_slice(made.as_slice());
        match execute(&mut *message, &mut self.data, &self.cx, &mut self.draft, note) {
            Verdict::Answered => {
                self.stayed = Some(message.command());
                self.give_snapshot(message.asked());
                self.effects.extend(message.release());
            }
            Verdict::Changed(standing) => {
                self.count_change();
                let records = len_u64(self.draft.records::<A>().len());
                self.cx.move_to(self.cx.now(), SeqNr(self.cx.seq_nr().0 + records), standing);
                self.fold_again();
                if let (Some(key), Some((kind, bytes))) = (self.draft.key(), self.draft.answer()) {
                    self.keys.insert(key, self.cx.seq_nr(), usize::MAX);
                    let (command, bytes) = (message.command(), bytes.to_vec());
                    self.answers.push(Answer { key, command, kind, bytes });
                }
                self.effects.extend(message.release());
            }
            Verdict::Failed(failure) => {
                self.events.clear();
                message.fail(failure);
            }
            Verdict::Broken(failure) => {
                self.events.clear();
                self.broken = true;
                message.fail(failure);
            }
        }
    }

    /// Takes the snapshot that was asked for. It goes nowhere.
    fn give_snapshot(&mut self, asked: Option<&mut Asked>) {
        let Some(asked) = asked else { return };
        let id = PersistenceId::new(A::NAME, self.cx.id());
        let (seq_nr, time, standing) = (self.cx.seq_nr(), self.cx.now(), self.cx.standing());
        let at = Moment { seq_nr, time, standing, unheard: None, keys: &self.keys };
        let taken = Taken::of(id.clone(), &self.data, at, usize::MAX).and_then(|taken| {
            let snapshot = taken.encode(0, None);
            check::<A>(&snapshot, Origin { id: &id, store: 0, cipher: None, keys_max: usize::MAX })?;
            Ok(snapshot.meta())
        });
        match taken {
            Ok(saved) => {
                asked.asker.take().into_iter().for_each(|asker| asker.answer(Ok(saved)));
            }
            Err(error) => asked.refused = Some(error),
        }
    }
}
