//! Generated code depends on nothing that the user has in scope.

#![no_implicit_prelude]
#![allow(dead_code, non_camel_case_types)]

/// Without any prelude, and with the usual names taken.
mod bare {
    use ::annals::{Context, Step, aggregate, applying, stay};
    use ::serde::{Deserialize, Serialize};

    struct Result;
    struct Option;
    struct Vec;
    struct String;
    struct Box;
    struct Some;
    struct None;
    struct Ok;
    struct Err;
    struct Never;
    struct Call;
    struct Event;
    struct Aggregate;
    struct Command;
    struct Snapshot;
    struct Snapshots;
    struct Snapshotted;
    struct Forgettable;
    struct Retention;
    struct Duration;
    struct Field;
    struct Payload;
    struct AccountV1;
    trait Default {}
    trait From {}
    trait Into {}
    trait Clone {}
    trait Debug {}
    trait PartialEq {}
    trait Send {}
    mod core {}
    mod std {}
    mod serde {}
    mod annals {}
    mod snapshot {}

    #[derive(::std::default::Default, Serialize, Deserialize, ::annals::Snapshot)]
    #[snapshot(version = 2, upcast(1 => older::AccountV1))]
    pub struct Account {
        balance: u64,
    }

    pub(crate) mod older {
        #[derive(::serde::Deserialize)]
        pub(crate) struct AccountV1;
    }

    impl ::std::convert::From<older::AccountV1> for Account {
        fn from(_: older::AccountV1) -> Self {
            Self { balance: 0 }
        }
    }

    #[derive(Deserialize)]
    pub struct DepositedV1;

    impl ::std::convert::From<DepositedV1> for AccountEvent {
        fn from(_: DepositedV1) -> Self {
            Self::Deposited { amount: 0 }
        }
    }

    #[aggregate(snapshot(every = 10, keep = 1), retain = 90d, forgettable)]
    impl Account {
        #[event(ignored_since = "2.0")]
        fn greeted(&mut self, by: u64) {}

        #[event(version = 2, upcast(1 => DepositedV1))]
        fn deposited(&mut self, amount: u64) {
            self.balance += amount;
        }

        #[command]
        fn deposit(&self, cx: &Context<Self>, amount: u64) -> Step<u64> {
            let _ = cx;
            applying(AccountEvent::Deposited { amount }).replying_with(Self::balance)
        }

        #[command]
        fn refuse(&self) -> ::std::result::Result<Step, ()> {
            ::std::result::Result::Ok(stay())
        }

        #[query]
        fn balance(&self) -> u64 {
            self.balance
        }
    }
}

/// Primitive types can be shadowed, too; `str` can't, since serde's derives name it.
mod shadowed_primitives {
    use ::annals::{Step, aggregate, applying};
    use ::serde::{Deserialize, Serialize};

    struct usize;
    struct u32;
    struct bool;

    #[derive(::std::default::Default, Serialize, Deserialize, ::annals::Snapshot)]
    pub struct Light;

    #[aggregate(snapshot(every = 10, keep = 1), forgettable)]
    impl Light {
        #[event]
        fn switched(&mut self) {}

        #[command]
        fn switch(&self) -> Step {
            applying(LightEvent::Switched)
        }
    }
}

/// Two aggregates in one module, with methods of the same names; one is named through a path.
mod two {
    use ::annals::prelude::*;

    #[derive(Default, Serialize, Deserialize)]
    pub struct Order;

    mod inner {
        use ::annals::prelude::*;

        #[derive(Default, Serialize, Deserialize)]
        pub struct Parcel;
    }

    #[aggregate]
    impl Order {
        #[event]
        fn sent(&mut self) {}

        #[command]
        fn send_off(&self) -> Step {
            applying(OrderEvent::Sent)
        }
    }

    #[aggregate]
    impl inner::Parcel {
        #[event]
        fn sent(&mut self) {}

        #[command]
        fn send_off(&self) -> Step {
            applying(ParcelEvent::Sent)
        }
    }
}

/// A renamed dependency, reached through a path.
mod renamed {
    pub(crate) mod reexport {
        pub(crate) use ::annals as journal;
    }

    use reexport::journal::{Snapshot, Step, aggregate};
    use ::serde::{Deserialize, Serialize};

    #[derive(::std::default::Default, Serialize, Deserialize, Snapshot)]
    #[snapshot(crate = crate::renamed::reexport::journal)]
    pub struct Order;

    #[aggregate(crate = crate::renamed::reexport::journal, snapshot, retain = since_snapshot, forgettable)]
    impl Order {
        #[event]
        fn sent(&mut self) {}

        #[command]
        fn send_off(&self) -> reexport::journal::Step {
            reexport::journal::applying(OrderEvent::Sent)
        }

        #[command]
        fn stay(&self) -> Step {
            crate::renamed::reexport::journal::stay()
        }
    }
}

/// `Step` is a word of the user's.
mod another_step {
    use ::annals::prelude::*;

    #[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
    pub struct Step(u64);

    #[derive(Default, Serialize, Deserialize)]
    pub struct Dance {
        next: Step,
    }

    #[aggregate]
    impl Dance {
        #[event]
        fn stepped(&mut self, step: Step) {
            self.next = Step(step.0 + 1);
        }

        #[command]
        fn go_on(&self) -> ::annals::Step<u64> {
            applying(DanceEvent::Stepped { step: self.later() }).replying_with(|dance| dance.next.0)
        }

        #[query]
        fn next(&self) -> Step {
            self.next
        }

        fn later(&self) -> Step {
            self.next()
        }
    }
}

/// Made by a macro of the user's.
mod made {
    use ::annals::prelude::*;

    macro_rules! counter {
        ($name:ident, $event:ident, $counted:ident, $variant:ident, $by:ident: $ty:ty, $version:literal, $every:literal, $retained:literal) => {
            #[derive(Default, Serialize, Deserialize, Snapshot)]
            #[snapshot(version = $version)]
            pub struct $name($ty);

            #[aggregate(snapshot(every = $every), retain = $retained)]
            impl $name {
                #[event]
                fn $counted(&mut self, $by: $ty) {
                    self.0 += $by;
                }

                #[command]
                fn count(&self, $by: $ty, other: u8) -> Step<$ty> {
                    let _ = other;
                    applying($event::$variant { $by }).replying_with(|data| data.0)
                }

                #[query]
                fn counted_so_far(&self, or_more: $ty) -> $ty {
                    self.0 + or_more
                }
            }
        };
    }

    counter!(Counter, CounterEvent, counted, Counted, by: u64, 1, 10, 90d);
}

/// Other macros may be called like the markers, as `tracing::event` is.
mod other_macros {
    mod taken {
        macro_rules! event {
            () => {};
        }
        macro_rules! command {
            () => {};
        }
        pub(crate) use {command, event};
    }

    use ::annals::prelude::*;
    use taken::{command, event};

    event!();
    command!();

    #[derive(Serialize, Deserialize, Event)]
    #[event(crate = ::annals)]
    pub enum DoorEvent {
        #[event(was("unlocked"))]
        Opened,
    }

    #[derive(Default, Serialize, Deserialize)]
    pub struct Door;

    #[aggregate(event = DoorEvent)]
    impl Door {
        fn apply(&mut self, event: DoorEvent) {
            event!();
            match event {
                DoorEvent::Opened => {}
            }
        }

        #[command]
        fn open(&self) -> Step {
            command!();
            applying(DoorEvent::Opened)
        }
    }
}

/// In a function, and in one with parameters.
fn local<T>(_: T) {
    use ::annals::prelude::*;

    #[derive(Default, Serialize, Deserialize, Snapshot)]
    struct Door;

    #[aggregate(snapshot(every = 2), retain = since_snapshot)]
    impl Door {
        #[event]
        fn opened(&mut self) {}

        #[command]
        fn open(&self) -> Step {
            applying(DoorEvent::Opened)
        }
    }
    ::std::assert_eq!(<Door as Aggregate>::NAME, "Door");
}

fn main() {
    local(1);
}
