//! The machines of the model: the same one with each retention, and one that is encrypted and can be forgotten.

use annals::snapshot::{SnapshotError, SnapshotMeta, Snapshotted};
use annals::{Call, CallError, Machine, Never, System};

use super::expected::Told;

/// A machine that remembers the operations that were done to it, in order, and 0 for each deadline.
pub trait Book: Machine + Snapshotted {
    /// Whether none of its events is ever deleted.
    const KEEPS_ALL: bool;

    fn write(book: &Self::Ref, op: u64, snapshot: bool) -> Call<Told, Never>;
    fn peek(book: &Self::Ref) -> Call<Told, Never>;
    fn lend(book: &Self::Ref, op: u64, millis: Option<u64>) -> Call<Told, Never>;
    fn check(book: &Self::Ref, op: u64) -> Call<Told, Never>;
    fn pass(book: &Self::Ref, op: u64) -> Call<Told, Never>;
    fn snapshot(book: &Self::Ref) -> Call<SnapshotMeta, SnapshotError>;
    fn look(book: &Self::Ref) -> impl Future<Output = Result<Told, CallError<Never>>> + Send;
    fn delete(system: &System, id: &str) -> impl Future<Output = Result<u64, String>> + Send;
}

macro_rules! book {
    ($module:ident, keeps all: $keeps_all:literal, $end:ident, $($options:tt)*) => {
        pub mod $module {
            use std::time::Duration;

            use annals::prelude::*;
            use annals::Never;
            use annals::snapshot::{SnapshotError, SnapshotMeta};

            use crate::snapshots::expected::Told;

            #[derive(Debug, Default, Clone, Serialize, Deserialize, Snapshot)]
            pub struct Book {
                entries: Vec<u64>,
            }

            /// Tells what is known before, and then the data.
            fn told(cx: &Context<Book>) -> impl FnOnce(&Book) -> Told + Send + use<> {
                let (seq_nr, state) = (cx.seq_nr().0, format!("{:?}", cx.state()));
                move |book| Told { seq_nr, state, entries: book.entries.clone() }
            }

            #[fsm(states(initial Open, Lent, transient Checked), $($options)*)]
            impl Book {
                #[event]
                fn wrote(&mut self, op: u64) {
                    self.entries.push(op);
                }

                #[event]
                fn ticked(&mut self) {
                    self.entries.push(0);
                }

                #[on(_ => stay)]
                fn write(&self, cx: &Context<Self>, op: u64, snapshot: bool) -> Step<Told> {
                    let step = applying(BookEvent::Wrote { op });
                    let step = if snapshot { step.snapshot() } else { step };
                    step.replying_with(told(cx))
                }

                #[on(_ => stay)]
                fn peek(&self, cx: &Context<Self>) -> Step<Told> {
                    stay().replying_with(told(cx))
                }

                #[on(Open | Lent => Lent)]
                fn lend(&self, cx: &Context<Self>, op: u64, millis: Option<u64>) -> Step<Told> {
                    let step = goto(Lent).applying(BookEvent::Wrote { op });
                    let step = match millis {
                        Some(millis) => step.for_max(Duration::from_millis(millis)),
                        None => step,
                    };
                    step.replying_with(told(cx))
                }

                #[on(Open | Lent => Checked)]
                fn check(&self, cx: &Context<Self>, op: u64) -> Step<Told> {
                    goto(Checked).applying(BookEvent::Wrote { op }).replying_with(told(cx))
                }

                #[on(Checked => Open)]
                fn pass(&self, cx: &Context<Self>, op: u64) -> Step<Told> {
                    goto(Open).applying(BookEvent::Wrote { op }).replying_with(told(cx))
                }

                #[after(1s, Lent => Open)]
                fn lent(&self) -> Step {
                    goto(Open).applying(BookEvent::Ticked)
                }

                #[after(100ms, Checked => Open)]
                fn checked(&self) -> Step {
                    goto(Open).applying(BookEvent::Ticked)
                }
            }

            impl crate::snapshots::book::Book for Book {
                const KEEPS_ALL: bool = $keeps_all;

                fn write(book: &BookRef, op: u64, snapshot: bool) -> Call<Told, Never> {
                    book.write(op, snapshot)
                }

                fn peek(book: &BookRef) -> Call<Told, Never> {
                    book.peek()
                }

                fn lend(book: &BookRef, op: u64, millis: Option<u64>) -> Call<Told, Never> {
                    book.lend(op, millis)
                }

                fn check(book: &BookRef, op: u64) -> Call<Told, Never> {
                    book.check(op)
                }

                fn pass(book: &BookRef, op: u64) -> Call<Told, Never> {
                    book.pass(op)
                }

                fn snapshot(book: &BookRef) -> Call<SnapshotMeta, SnapshotError> {
                    book.snapshot()
                }

                async fn look(book: &BookRef) -> Result<Told, CallError<Never>> {
                    book.peek().await
                }

                async fn delete(system: &System, id: &str) -> Result<u64, String> {
                    let ended = system.$end::<Book>(id).await;
                    ended.map(|ended| ended.seq_nr.0).map_err(|error| error.to_string())
                }
            }
        }
    };
}

book!(all, keeps all: true, delete, snapshot(every = 3, keep = 2));
book!(since, keeps all: false, delete, snapshot(every = 3, keep = 2), retain = since_snapshot);
book!(young, keeps all: false, delete, snapshot(every = 2, keep = 1), retain = 5s);
book!(asked, keeps all: false, delete, snapshot, retain = since_snapshot);
book!(secret, keeps all: false, forget, snapshot(every = 4, keep = 3), retain = since_snapshot, forgettable);
