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

    #[derive(::std::default::Default, Serialize, Deserialize)]
    pub struct Account {
        balance: u64,
    }

    #[derive(Deserialize)]
    pub struct DepositedV1;

    impl ::std::convert::From<DepositedV1> for AccountEvent {
        fn from(_: DepositedV1) -> Self {
            Self::Deposited { amount: 0 }
        }
    }

    #[aggregate]
    impl Account {
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

    #[derive(::std::default::Default, Serialize, Deserialize)]
    pub struct Light;

    #[aggregate]
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

    use reexport::journal::{Step, aggregate};
    use ::serde::{Deserialize, Serialize};

    #[derive(::std::default::Default, Serialize, Deserialize)]
    pub struct Order;

    #[aggregate(crate = crate::renamed::reexport::journal)]
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
        ($name:ident, $event:ident, $counted:ident, $variant:ident, $by:ident: $ty:ty) => {
            #[derive(Default, Serialize, Deserialize)]
            pub struct $name($ty);

            #[aggregate]
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

    counter!(Counter, CounterEvent, counted, Counted, by: u64);
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

    #[derive(Default, Serialize, Deserialize)]
    struct Door;

    #[aggregate]
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
