//! The macros of annals, which re-exports them: `#[aggregate]`, `#[fsm]`, `#[derive(Event)]` and `#[derive(Snapshot)]`.

mod aggregate;
mod arrow;
mod attr;
mod block;
mod case;
mod check;
mod crate_path;
mod ctxt;
mod diagram;
mod duration;
mod event;
mod expand;
#[cfg(test)]
mod expansions;
mod fields;
mod graph;
mod marker;
mod model;
mod near;
mod options;
mod retention;
mod snapshot;
mod spell;
mod states;
mod stored;
mod symbol;
mod types;
mod versions;
mod words;

use proc_macro::TokenStream;

/// Makes an aggregate of an impl block: data, the events that change it, the commands that decide on events.
///
/// The block is the one declaration. From it come, beside it, the enums of events and commands, the typed reference and
/// the impl of `annals::Aggregate`.
///
/// ```
/// use annals::prelude::*;
///
/// /// A bank account, in cents.
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct Account {
///     balance: u64,
/// }
///
/// pub struct Overdrawn {
///     pub missing: u64,
/// }
///
/// #[aggregate]
/// impl Account {
///     #[event]
///     fn deposited(&mut self, amount: u64) {
///         self.balance += amount;
///     }
///
///     #[event]
///     fn withdrawn(&mut self, amount: u64) {
///         self.balance -= amount;
///     }
///
///     /// Pays `amount` in; replies with the new balance.
///     #[command]
///     fn deposit(&self, amount: u64) -> Step<u64> {
///         applying(AccountEvent::Deposited { amount }).replying_with(Self::balance)
///     }
///
///     /// Takes `amount` out, or says how much is missing.
///     #[command]
///     fn withdraw(&self, amount: u64) -> Result<Step, Overdrawn> {
///         if amount > self.balance {
///             return Err(Overdrawn { missing: amount - self.balance });
///         }
///         Ok(applying(AccountEvent::Withdrawn { amount }))
///     }
///
///     #[query]
///     fn balance(&self) -> u64 {
///         self.balance
///     }
/// }
///
/// async fn pay_in(account: AccountRef) -> Option<u64> {
///     account.deposit(100).await.ok()
/// }
/// ```
///
/// The data is `Default`, which is how an entity begins, and has serde's `Serialize` and `Deserialize`, for snapshots.
///
/// # Methods
///
/// | marker | receiver | returns | what it is |
/// |---|---|---|---|
/// | `#[event]` | `&mut self` | nothing | a fact; the only thing that changes data |
/// | `#[command]` | `&self` | `Step<R>` or `Result<Step<R>, E>` | decides on events, or refuses |
/// | `#[query]` | `&self` | a value | reads the data |
///
/// Methods without a marker, and other items, stay as they are. All three are plain functions: neither `async` nor
/// generic. Their parameters are called by a name and own their data, for they become fields.
///
/// A command may take `cx: &Context<Self>` before its other parameters, to know the time, the entity's id and its
/// sequence number. The caller doesn't give it.
///
/// In a command the macro completes `Step<R>` in the return type, and calls of `applying` and `stay` in the body, with
/// the aggregate: `Step<R, Account>`, `applying::<Account>(..)`. They are written alone or as `annals::stay()`. In a
/// method without a marker write it out: `fn close(&self) -> Step<(), Self> { stay() }`.
///
/// An event takes the keys of [`Event`](derive@Event): `#[event(name = "paid", was("paid_in"), version = 2,
/// upcast(1 => PaidV1))]`. It is stored under its method's name, if nothing else is said.
///
/// An event that is to do nothing any more keeps its method, with an empty body: `#[event(ignored_since = "2.0")]`. What
/// is stored of it is then skipped, without being read. A handler that still applies it is warned by the compiler, for
/// its step would fail.
///
/// # Keys
///
/// | key | meaning | default |
/// |---|---|---|
/// | `name = "account"` | the stored name of the aggregate, 1 to 255 bytes; it must never change | the type's name |
/// | `event = BankEvent` | an event enum of your own; see below | generated |
/// | `codec = json` | how events and snapshots are written: `message_pack` or `json`; any can be read | `message_pack` |
/// | `services = Mailer` | what effects may use | `()` |
/// | `snapshot(every = 1000, keep = 2)` | after how many records a snapshot is taken, and how many are kept | none |
/// | `retain = since_snapshot` | which events are kept: `all`, `since_snapshot`, or for a time such as `90d` | `all` |
/// | `forgettable` | new streams are encrypted, so that `System::forget` can erase them | off |
/// | `vis = pub(crate)` | how far the generated items can be seen | `pub` |
/// | `derive(Eq, Hash)` | more derives for the generated enums; serde's are for the commands alone | none |
/// | `crate = path` | where annals is, if it isn't `::annals` | `::annals` |
///
/// What `vis` gives may not be narrower than the type itself, or the compiler says that a type is private.
///
/// # What is generated
///
/// - `AccountEvent`: a variant for each event, with the parameters as fields. It derives `Debug`, `Clone`, `PartialEq`,
///   serde's `Serialize` and `Deserialize`, and [`Event`](derive@Event).
/// - `AccountCommand`: a variant for each command, for a command that is given as data. It derives `Debug`, `Clone` and
///   `PartialEq`.
/// - `AccountRef`: a cheap handle with a method for each command and query, which returns a `Call`. It is documented
///   with the docs of the handlers. The names `id`, `send`, `clone`, `state`, `accepts` and `snapshot` are taken.
/// - The impls of `Aggregate`, `Command` and `EventsOf`, and of `Snapshotted` and `Forgettable` where that is asked for.
///
/// Docs and `#[cfg(..)]` of a method are also those of what is made of it. Attributes of a parameter, such as
/// `#[serde(default)]`, move to the field; lints stay.
///
/// # Snapshots
///
/// With `snapshot(..)` an entity is loaded from its newest snapshot and the events after it, not from its first event.
/// The data has [`Snapshot`](derive@Snapshot) for that.
///
/// - `snapshot(every = 1000)`: one is taken after so many records.
/// - `snapshot`, or `snapshot(keep = 3)`: only where a step says `.snapshot()`, or a caller `account.snapshot()`. Both
///   work with `every`, too.
/// - `keep`: how many are kept, at least one; 2 if nothing is said.
///
/// With `retain = ..` events are deleted that a kept snapshot stands for: all of them with `since_snapshot`, those that
/// are older than a time with `retain = 90d`, or with the path of a `Duration` constant. Nothing is deleted before there
/// are as many snapshots as `keep` says. What is deleted can't be replayed.
///
/// ```
/// use annals::prelude::*;
///
/// #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
/// pub struct Meter {
///     total: u64,
/// }
///
/// #[aggregate(snapshot(every = 1000), retain = 90d, forgettable)]
/// impl Meter {
///     #[event]
///     fn counted(&mut self, by: u64) {
///         self.total += by;
///     }
///
///     /// Nobody looks at it any more.
///     #[event(ignored_since = "2.0")]
///     fn greeted(&mut self, by: String) {}
///
///     #[command]
///     fn count(&self, by: u64) -> Step {
///         applying(MeterEvent::Counted { by })
///     }
///
///     /// Begins a new year.
///     #[command]
///     fn close(&self) -> Step<u64> {
///         stay().replying(self.total).snapshot()
///     }
/// }
///
/// async fn before_the_update(meter: MeterRef) -> bool {
///     meter.snapshot().await.is_ok()
/// }
///
/// assert_eq!(MeterEvent::VARIANTS[1].ignored_since, Some("2.0"));
/// # let _ = before_the_update;
/// ```
///
/// # Events of your own
///
/// With `event = BankEvent` the block has no `#[event]`, but one fold. The compiler's `match` sees to it that no event
/// is forgotten:
///
/// ```
/// use annals::prelude::*;
///
/// #[derive(Serialize, Deserialize, Event)]
/// pub enum BankEvent {
///     Opened,
///     Closed,
/// }
///
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct Bank {
///     open: bool,
/// }
///
/// #[aggregate(name = "bank", event = BankEvent)]
/// impl Bank {
///     fn apply(&mut self, event: BankEvent) {
///         self.open = match event {
///             BankEvent::Opened => true,
///             BankEvent::Closed => false,
///         };
///     }
///
///     #[command]
///     fn open(&self) -> Step {
///         if self.open { stay() } else { applying(BankEvent::Opened) }
///     }
/// }
/// # let _ = BankEvent::Closed;
/// ```
///
/// # Errors
///
/// All mistakes of a block are reported at once, each at the token to change. Beside them the block and stubs of the
/// generated items are still there, so that other code isn't told of names that are missing.
#[proc_macro_attribute]
pub fn aggregate(keys: TokenStream, block: TokenStream) -> TokenStream {
    aggregate::aggregate(keys.into(), &block.into()).into()
}

/// Makes a persistent state machine of an impl block: an [`aggregate`](macro@aggregate) with a declared graph of
/// states.
///
/// Each handler says in which states it is called, and where it may lead. The compiler holds it to that, so the diagram
/// that is drawn from it is true.
///
/// ```
/// use annals::prelude::*;
///
/// /// A lock with a code.
/// #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// pub struct Lock {
///     entered: Vec<u8>,
/// }
///
/// #[derive(Debug, PartialEq)]
/// pub enum Greeting {
///     Welcome,
///     GoAway,
/// }
///
/// #[fsm(states(initial Unlocked, Locked))]
/// impl Lock {
///     #[event]
///     fn digit_entered(&mut self, digit: u8) {
///         self.entered.push(digit);
///     }
///
///     #[event]
///     fn code_cleared(&mut self) {
///         self.entered.clear();
///     }
///
///     #[on(Unlocked => Locked)]
///     fn lock(&self) -> Step {
///         goto(Locked)
///     }
///
///     #[on(Locked => stay)]
///     fn enter_digit(&self, digit: u8) -> Step {
///         stay().applying(LockEvent::DigitEntered { digit })
///     }
///
///     /// Opens the lock if the digits are right.
///     #[on(Locked => Unlocked | stay)]
///     fn try_unlock(&self) -> Step<Greeting> {
///         if self.entered == [1, 2, 3, 4] {
///             goto(Unlocked).applying(LockEvent::CodeCleared).replying(Greeting::Welcome)
///         } else {
///             stay().applying(LockEvent::CodeCleared).replying(Greeting::GoAway)
///         }
///     }
///
///     /// Locks itself again when left open.
///     #[after(30s, Unlocked => Locked)]
///     fn relock(&self) -> Step {
///         goto(Locked)
///     }
/// }
///
/// async fn open(lock: LockRef) -> bool {
///     if lock.state().await == Ok(LockState::Unlocked) {
///         return true;
///     }
///     // In a state that doesn't accept it, a command is `CallError::NotAccepted`, and nothing is stored.
///     lock.try_unlock().await == Ok(Greeting::Welcome)
/// }
///
/// assert_eq!(Lock::GRAPH.states[0].name, "Unlocked");
/// # let _ = open;
/// ```
///
/// What holds for an aggregate's data, events, queries and commands holds here, too. In place of `#[command]` there is
/// `#[on(..)]`.
///
/// # States
///
/// `states(initial A, B, transient C, terminal D)` lists them, in the order of diagrams. Docs before a state are those
/// of its variant. The names are stored. A state that was called otherwise says so: `Shut was("Closed", "Ajar")` is found
/// where one of these names is stored.
///
/// | word | meaning |
/// |---|---|
/// | `initial` | where a machine begins; exactly one state is this |
/// | `transient` | a moment between two others: an entity isn't recovered to it, but to the last state that is not |
/// | `terminal` | the end: nothing leads out, there is no deadline; commands may still `stay` |
///
/// Something leads to each state, and out of each that isn't `terminal`.
///
/// A `transient` state is one that an effect of the same step leads out of, such as `Checking`, while somebody is
/// asked. The effect is gone when the process dies, so the entity is found in the state before, where it can be asked
/// again. What follows from that:
///
/// - The events of the step that enters it are stored, and kept, though the state isn't.
/// - Its own deadline is lost in a restart; that of the former state holds again.
/// - An entity that stands in one stays in memory.
///
/// # Methods
///
/// | marker | receiver | returns | what it is |
/// |---|---|---|---|
/// | `#[on(A \| B => C \| stay)]` | `&self` | `Step<R>` or `Result<Step<R>, E>` | decides on a command in A and in B |
/// | `#[on(A => B, command = buy)]` | `&self` | the same | decides on the command `buy`, which others do elsewhere |
/// | `#[after(60d, A => B \| stay)]` | `&self` | `Step` | decides what follows when A has lasted 60 days |
/// | `#[enter(A)]`, `#[exit(A)]` | `&self` or none | nothing | has effects when A was entered or left |
/// | `#[event]`, `#[query]` | as in an aggregate | | |
///
/// In place of states, `_` is every state that is not terminal. It says more beside an `#[on]`; see below.
///
/// ## Commands
///
/// A command is called like its method, or as `command = ..` says. Its handlers share out the states, and have the same
/// parameters and the same reply, for who calls doesn't know the state. In a state that no handler names, the command
/// is refused with `CallError::NotAccepted`. This can be said aloud, or changed, beside the `#[on]`:
///
/// - `#[reject(A | B)]`: it is refused there, as it would be anyway.
/// - `#[ignore(A | B)]`: it is accepted there and does nothing. It must be a command without a reply.
///
/// In these two, `_` is every state of which nothing else is said for this command, terminal ones too. With
/// `#[fsm(exhaustive)]` each state says what to do with each command.
///
/// A handler begins its step with one of these, written alone or as `annals::goto(..)`:
///
/// - `goto(S)` enters S, and is a transition even if the machine is in S: hooks run, and a deadline begins anew.
/// - `stay()` does neither; without events nothing is stored.
/// - `applying(..)` is `stay().applying(..)`.
///
/// What `goto` is given is the bare name of a state, not a value: the macro holds it against what is declared. A choice
/// stands around it: `if self.is_paid() { goto(Sent) } else { goto(Paying) }`.
///
/// What follows is the same for all three. `.replying_with(..)` is given the data as it is after the events, in place
/// of `self`. An effect in `.and_then(..)` runs later, so what it needs is cloned out of `self` first:
///
/// ```
/// # use annals::prelude::*;
/// # #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// # pub struct Order { customer: String, items: Vec<u64> }
/// # pub struct Mailer;
/// # impl Mailer { fn thank(&self, _: &str) {} }
/// # #[fsm(states(initial Shopping, terminal Bought), services = Mailer)]
/// # impl Order {
/// # #[event] fn added(&mut self, item: u64) { self.items.push(item) }
/// #[on(Shopping => Bought)]
/// fn buy(&self, last: u64) -> Step<usize> {
///     let customer = self.customer.clone();
///     goto(Bought)
///         .applying(OrderEvent::Added { item: last })
///         .replying_with(|order| order.items.len()) // with the last one
///         .and_then(move |fx| fx.services().thank(&customer))
/// }
/// # }
/// ```
///
/// Where a handler doesn't declare the state that it goes to, or `stay`, the macro says so, or else the compiler.
///
/// ## Deadlines
///
/// A duration is a number with `ms`, `s`, `min`, `h` or `d`, or the path of a constant: `#[after(Self::PATIENCE, ..)]`.
/// The time when it ends is stored with the transition, and survives restarts. `goto(S).for_max(duration)` gives this
/// visit another. The handler takes `&self`, and `cx: &Context<Self>` if it likes: nobody calls it, so nobody gives it
/// anything, gets a reply, or can be refused. If it stays, the state goes on without a deadline. The time of the
/// initial state begins with the first that is stored of an entity.
///
/// Before a command or a query is handled, a deadline of the entity that is over is handled. So no command is accepted
/// in a state whose time is over, however late the clock rings. Only where the deadline's handler fails it is.
///
/// A handler that panics, or whose write fails, is tried again after a pause, which grows from 1 s to 5 min. Each
/// failure is logged as a warning. The entity stays in its state until then, and accepts there what the state accepts.
///
/// ## Hooks
///
/// A hook takes `fx: &Effects<Self>`, and before it `&self` if it looks at the data as it is after the step; the data
/// then has `Clone`. It runs when the transition is durable: those of `#[exit]`, then the effects of the step, then
/// those of `#[enter]`, each in the order of the block; never on recovery.
///
/// ## Own methods
///
/// A method without a marker stays as it is. So if it makes a step, it names the handler for which it does, and the
/// state by its marker: `fn retry(&self) -> Step<(), lock_fsm::on::TryUnlock> { goto(lock_fsm::Unlocked) }`.
///
/// One for several handlers says what they must declare:
///
/// ```
/// use annals::prelude::*;
/// use annals::{Handler, Stays, TargetOf};
///
/// #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// pub struct Door {
///     knocks: u64,
/// }
///
/// #[fsm(states(initial Open, Closed))]
/// impl Door {
///     #[event]
///     fn knocked(&mut self) {
///         self.knocks += 1;
///     }
///
///     #[on(Open => Closed | stay)]
///     fn push(&self) -> Step {
///         self.shut()
///     }
///
///     #[after(1h, Open => Closed | stay)]
///     fn fall_shut(&self) -> Step {
///         self.shut()
///     }
///
///     fn shut<H>(&self) -> Step<(), H>
///     where
///         H: Handler<Aggregate = Self> + Stays,
///         door_fsm::Closed: TargetOf<H>,
///     {
///         if self.knocks < 3 { applying(DoorEvent::Knocked) } else { goto(door_fsm::Closed) }
///     }
///
///     #[on(Closed => Open)]
///     fn open(&self) -> Step {
///         goto(Open)
///     }
/// }
/// ```
///
/// # Reliable effects
///
/// An effect runs at most once: when the process dies before, it is lost. What must happen is therefore a state, with a
/// short deadline that enters it anew. The one that is asked gets the same key each time, so that it acts once:
///
/// ```
/// use annals::prelude::*;
/// # #[derive(Debug, Default, Serialize, Deserialize)]
/// # pub struct Till { total: u64 }
/// # #[aggregate]
/// # impl Till {
/// #     #[event] fn paid(&mut self, cents: u64) { self.total += cents }
/// #     #[command] fn pay(&self, cents: u64) -> Step<u64> {
/// #         applying(TillEvent::Paid { cents }).replying_with(|till| till.total)
/// #     }
/// # }
///
/// #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// pub struct Payment {
///     cents: u64,
/// }
///
/// #[fsm(states(initial Open, Asking, terminal Answered))]
/// impl Payment {
///     #[event]
///     fn asked_for(&mut self, cents: u64) {
///         self.cents = cents;
///     }
///
///     #[on(Open => Asking)]
///     #[ignore(_)]
///     fn pay(&self, cents: u64) -> Step {
///         goto(Asking).applying(PaymentEvent::AskedFor { cents })
///     }
///
///     /// Each time that the state is entered: at first, and when its deadline was over, which a restart doesn't change.
///     #[enter(Asking)]
///     fn ask(&self, fx: &Effects<Self>) {
///         let (till, this, cents) = (fx.get::<Till>("shop"), fx.this(), self.cents);
///         let key = Key::unique(this.id().as_str());
///         fx.spawn(async move {
///             if till.pay(cents).key(key).await.is_ok() {
///                 this.answered().await.ok();
///             }
///         });
///     }
///
///     #[after(10s, Asking => Asking)]
///     fn ask_again(&self) -> Step {
///         goto(Asking)
///     }
///
///     #[on(Asking => Answered)]
///     #[ignore(_)]
///     fn answered(&self) -> Step {
///         goto(Answered)
///     }
/// }
/// ```
///
/// A receiver forgets the oldest of many unique keys. Where it has one source, which sends in order, `Key::rising` is
/// remembered for ever.
///
/// # Changing a deployed machine
///
/// What is stored are the names of states, and the absolute times of deadlines.
///
/// - An entity that stands in a state that was removed or renamed is quarantined until the state is back, or until
///   another says that it `was(..)` that one.
/// - A changed duration holds for visits that begin later.
/// - When a state loses its `#[after]`, the stored deadline is kept, and doesn't fire until a version has a handler
///   again.
/// - When a state gains one, it has a deadline from the next visit on.
///
/// # Keys
///
/// | key | meaning | default |
/// |---|---|---|
/// | `states(..)` | the states | needed |
/// | `exhaustive` | each state must say what to do with each command | off |
/// | `mod = order_machine` | what the module of markers is called | the type's name in snake case, and `_fsm` |
///
/// And those of [`aggregate`](macro@aggregate#keys).
///
/// # What is generated
///
/// Beside what an aggregate gets:
///
/// - `LockState`: a variant for each state; its docs have a table of the transitions and a diagram. It derives `Debug`,
///   `Clone`, `Copy`, `PartialEq`, `Eq`, `Hash`, `PartialOrd` and `Ord`, and what `derive(..)` adds.
/// - `Lock::GRAPH`: the states and the ways between them, as data.
/// - `state()` and `accepts()` of `LockRef`: where the entity stands, and which commands it accepts there. The docs of
///   its commands say in which states they are accepted.
/// - `lock_fsm`: a private module with a type for each state and, in `on`, for each handler.
/// - The impls of `Machine`, `State`, `Handler`, `TargetOf`, `Stays` and `Limits`.
///
/// # Errors
///
/// As with [`aggregate`](macro@aggregate#errors), all mistakes are reported at once. Warnings tell of a state that a
/// handler declares and never goes to.
#[proc_macro_attribute]
pub fn fsm(keys: TokenStream, block: TokenStream) -> TokenStream {
    aggregate::fsm(keys.into(), &block.into()).into()
}

/// Marks an event in an [`aggregate`](macro@aggregate) or [`fsm`](macro@fsm) block. Elsewhere it is an error.
#[proc_macro_attribute]
pub fn event(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::EVENT, &item.into()).into()
}

/// Marks a command in an [`aggregate`](macro@aggregate) block. Elsewhere it is an error.
#[proc_macro_attribute]
pub fn command(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::COMMAND, &item.into()).into()
}

/// Marks a query in an [`aggregate`](macro@aggregate) or [`fsm`](macro@fsm) block. Elsewhere it is an error.
#[proc_macro_attribute]
pub fn query(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::QUERY, &item.into()).into()
}

/// Marks a handler of a command in an [`fsm`](macro@fsm#commands) block: in which states it decides, and where it may
/// lead.
///
/// Before the `=>` stand states, or `_` for each that isn't terminal; behind it the states that the handler may go to,
/// and `stay` if it may leave the state as it is. With `command = ..` it decides on a command that another method has
/// in other states. Elsewhere it is an error.
///
/// ```
/// # use annals::prelude::*;
/// # #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// # pub struct Door { knocks: u64 }
/// # #[fsm(states(initial Open, Closed))]
/// # impl Door {
/// #[on(Open => Closed | stay)]
/// fn push(&self) -> Step {
///     if self.knocks == 0 { goto(Closed) } else { stay() }
/// }
///
/// #[on(Closed => Open, command = push)]
/// fn push_open(&self) -> Step {
///     goto(Open)
/// }
/// # }
/// ```
#[proc_macro_attribute]
pub fn on(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::ON, &item.into()).into()
}

/// Marks a handler of a deadline in an [`fsm`](macro@fsm#deadlines) block: what follows when a state has lasted so
/// long.
///
/// The duration is a number with `ms`, `s`, `min`, `h` or `d`, or the path of a `Duration` constant. The deadline is
/// stored and survives restarts. Elsewhere it is an error.
///
/// ```
/// # use annals::prelude::*;
/// # use std::time::Duration;
/// # #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// # pub struct Door;
/// const PATIENCE: Duration = Duration::from_secs(90);
///
/// # #[fsm(states(initial Open, Closed))]
/// # impl Door {
/// #[after(30s, Open => Closed)]
/// fn fall_shut(&self) -> Step {
///     goto(Closed)
/// }
///
/// #[after(PATIENCE, Closed => Open)]
/// fn spring_open(&self) -> Step {
///     goto(Open)
/// }
/// # }
/// ```
#[proc_macro_attribute]
pub fn after(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::AFTER, &item.into()).into()
}

/// Marks what is done when a state was entered, in an [`fsm`](macro@fsm#hooks) block.
///
/// It runs when the transition is durable, after the effects of the step, also where a machine enters the state that it
/// was in; never on recovery. With `&self` it sees the data as it is after the step. Elsewhere it is an error.
///
/// ```
/// # use annals::prelude::*;
/// # #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// # pub struct Door;
/// # pub struct Bell;
/// # impl Bell { fn ring(&self) {} }
/// # #[fsm(states(initial Open, Closed), services = Bell)]
/// # impl Door {
/// # #[on(Open => Closed)] fn shut(&self) -> Step { goto(Closed) }
/// # #[on(Closed => Open)] fn open(&self) -> Step { goto(Open) }
/// #[enter(Open)]
/// fn ring(fx: &Effects<Self>) {
///     fx.services().ring();
/// }
/// # }
/// ```
#[proc_macro_attribute]
pub fn enter(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::ENTER, &item.into()).into()
}

/// Marks what is done when a state was left, in an [`fsm`](macro@fsm#hooks) block.
///
/// It runs when the transition is durable, before the effects of the step; never on recovery. With `&self` it sees the
/// data as it is after the step. Elsewhere it is an error.
///
/// ```
/// # use annals::prelude::*;
/// # #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// # pub struct Door { guests: Vec<String> }
/// # pub struct Porter;
/// # impl Porter { fn greet(&self, _: &str) {} }
/// # #[fsm(states(initial Closed, Open), services = Porter)]
/// # impl Door {
/// # #[on(Open => Closed)] fn shut(&self) -> Step { goto(Closed) }
/// # #[on(Closed => Open)] fn open(&self) -> Step { goto(Open) }
/// #[exit(Closed)]
/// fn greet(&self, fx: &Effects<Self>) {
///     for guest in &self.guests {
///         fx.services().greet(guest);
///     }
/// }
/// # }
/// ```
#[proc_macro_attribute]
pub fn exit(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::EXIT, &item.into()).into()
}

/// Says beside `#[on]` where a command is refused, in an [`fsm`](macro@fsm#commands) block.
///
/// A command is refused with `CallError::NotAccepted` wherever no handler of it stands, so this only says it aloud, for
/// readers and for `#[fsm(exhaustive)]`. `_` is every state of which nothing else is said for the command. Its twin,
/// `#[ignore(..)]`, accepts a command without a reply and does nothing. Elsewhere it is an error.
///
/// ```
/// # use annals::prelude::*;
/// # #[derive(Debug, Default, Clone, Serialize, Deserialize)]
/// # pub struct Door;
/// # #[fsm(states(initial Open, Closed, terminal Broken), exhaustive)]
/// # impl Door {
/// #[on(Open => Closed)]
/// #[ignore(Closed)]
/// #[reject(_)]
/// fn shut(&self) -> Step {
///     goto(Closed)
/// }
/// # #[on(_ => Broken)] #[reject(_)] fn kick(&self) -> Step { goto(Broken) }
/// # }
/// ```
#[proc_macro_attribute]
pub fn reject(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::REJECT, &item.into()).into()
}

/// Implements `annals::Event` for an enum: under which names and versions its variants are stored.
///
/// The enum also derives serde's `Serialize` and `Deserialize`. The one that [`aggregate`](macro@aggregate) generates
/// uses this derive, too, with the keys that are given to its methods.
///
/// ```
/// use annals::prelude::*;
///
/// #[derive(Serialize, Deserialize, Event)]
/// enum AccountEvent {
///     #[event(was("paid_in"))]
///     Deposited { amount: u64 },
///     #[event(name = "taken_out", version = 3, upcast(1 => WithdrawnV1, 2 => WithdrawnV2))]
///     Withdrawn { amount: u64, fee: u64 },
/// }
///
/// /// Version 1 had the amount alone.
/// #[derive(Deserialize)]
/// struct WithdrawnV1(u64);
///
/// /// Version 2 had another name for it.
/// #[derive(Deserialize)]
/// struct WithdrawnV2 {
///     cents: u64,
/// }
///
/// impl From<WithdrawnV1> for WithdrawnV2 {
///     fn from(WithdrawnV1(cents): WithdrawnV1) -> Self {
///         Self { cents }
///     }
/// }
///
/// impl From<WithdrawnV2> for AccountEvent {
///     fn from(WithdrawnV2 { cents }: WithdrawnV2) -> Self {
///         Self::Withdrawn { amount: cents, fee: 0 }
///     }
/// }
///
/// assert_eq!(AccountEvent::VARIANTS[0].name, "deposited");
/// assert_eq!(AccountEvent::VARIANTS[1].version, 3);
/// # let _ = [AccountEvent::Deposited { amount: 1 }, AccountEvent::Withdrawn { amount: 1, fee: 0 }];
/// ```
///
/// # Keys of a variant
///
/// | key | meaning | default |
/// |---|---|---|
/// | `name = "paid"` | the stored name, 1 to 255 bytes | the variant's name in snake case |
/// | `was("paid_in", "credited")` | older names under which it may be stored | none |
/// | `version = 2` | the version that is written, from 1 | 1 |
/// | `upcast(1 => PaidV1)` | the shape that an older version had | none |
/// | `ignored_since = "2.0"` | since when it is skipped where it is stored, and can't be applied | never |
///
/// A stored name belongs to one variant. Each version below the current one has its upcast. A payload of version 1 is
/// read as the shape of version 1, which becomes that of version 2 by `From`, and so on; the newest of the shapes
/// becomes the enum. A new field with `#[serde(default)]` needs no version.
///
/// What is ignored isn't read, so it keeps its names and needs no upcasts.
///
/// On the enum, `#[event(crate = path)]` says where annals is, if it isn't `::annals`.
///
/// # Errors
///
/// annals keeps a variant's name beside the payload. So serde's `tag`, `content`, `untagged`, `from`, `try_from`,
/// `into` and `remote` are refused on the enum, and `skip`, `other` and `untagged` on a variant. Fields may use all of
/// serde.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(item: TokenStream) -> TokenStream {
    event::event(item.into()).into()
}

/// Implements `annals::Snapshot` for the data of an aggregate: in which version its snapshots are written, and how older
/// ones are read.
///
/// The data is a struct or an enum without parameters, and also derives serde's `Serialize` and `Deserialize`. The keys
/// [`snapshot(..)`](macro@aggregate#snapshots) of the aggregate say when snapshots are taken.
///
/// ```
/// use annals::prelude::*;
///
/// #[derive(Debug, Default, PartialEq, Serialize, Deserialize, Snapshot)]
/// #[snapshot(version = 2, upcast(1 => AccountV1))]
/// struct Account {
///     cents: u64,
/// }
///
/// /// Version 1 had whole euros.
/// #[derive(Deserialize)]
/// struct AccountV1 {
///     euros: u64,
/// }
///
/// impl From<AccountV1> for Account {
///     fn from(AccountV1 { euros }: AccountV1) -> Self {
///         Self { cents: euros * 100 }
///     }
/// }
///
/// assert_eq!(Account::VERSION, 2);
/// assert_eq!((Account::FIELDS[0].name, Account::FIELDS[0].ty), ("cents", "u64"));
/// ```
///
/// # Keys
///
/// | key | meaning | default |
/// |---|---|---|
/// | `version = 2` | the version that is written, from 1 | 1 |
/// | `upcast(1 => AccountV1)` | the shape that an older version had | none |
/// | `crate = path` | where annals is, if it isn't `::annals` | `::annals` |
///
/// On a field, `#[snapshot(skip)]` beside `#[serde(skip)]` says that it may be lost: in an entity that is loaded from a
/// snapshot it is its default.
///
/// Each version below the current one has its upcast. As with [`Event`](derive@Event), a snapshot of version 1 is read
/// as the shape of version 1, which becomes that of version 2 by `From`, and so on to the type itself.
///
/// A snapshot is used only by a program whose fields, as they are written, are those with which it was taken. So where
/// fields change and the version doesn't, older snapshots are set aside, and entities are loaded from their events. With
/// `retain = ..` these may be gone: then raise the version. Raise it also where something changes within the types of
/// fields, which isn't seen here.
///
/// # Errors
///
/// A snapshot stands for events that may be deleted, so nothing of the data may get lost in it. Refused on a field are:
///
/// - serde's `skip`, `skip_serializing` and `skip_deserializing` without `#[snapshot(skip)]`.
/// - serde's `skip_serializing_if`, unless the field is an `Option` or has a `default`: it couldn't be read again.
/// - `Option<Option<..>>` and `Option<()>`, also within another type: serde reads `Some(None)` and `Some(())` as `None`.
///   Use an enum of your own, or serde's `with`.
///
/// What is lost deeper, in the types of fields, isn't seen here.
#[proc_macro_derive(Snapshot, attributes(snapshot))]
pub fn derive_snapshot(item: TokenStream) -> TokenStream {
    snapshot::snapshot(item.into()).into()
}
