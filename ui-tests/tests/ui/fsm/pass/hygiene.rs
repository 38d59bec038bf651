//! Generated code depends on nothing that the user has in scope.

#![no_implicit_prelude]
#![allow(dead_code, non_camel_case_types)]

/// Without any prelude, and with the usual names taken; handlers and states are called like them, too.
mod bare {
    use ::annals::{Context, Effects, Step, applying, fsm, goto};
    use ::serde::{Deserialize, Serialize};

    struct Result;
    struct Vec;
    struct String;
    struct Duration;
    struct Graph;
    struct State;
    struct Machine;
    struct Handler;
    struct Never;
    struct Decision;
    struct Hooks;
    struct By;
    struct Edge;
    trait Default {}
    trait Clone {}
    trait Copy {}
    trait Debug {}
    trait Hash {}
    trait Ord {}
    mod core {}
    mod std {}
    mod serde {}
    mod annals {}

    const SOON: ::std::time::Duration = ::std::time::Duration::from_secs(1);
    const __ERR: u8 = 0;

    #[derive(::std::default::Default, ::std::clone::Clone, Serialize, Deserialize, ::annals::Snapshot)]
    pub struct Option {
        balance: u64,
    }

    #[fsm(
        states(initial None, Some was("Self"), Ok, Self_, ALL, terminal INITIAL),
        snapshot(every = 10),
        retain = SOON,
        forgettable
    )]
    impl Option {
        #[event]
        fn none(&mut self) {}

        #[on(None => Some | stay)]
        fn some(&self, cx: &Context<Self>, on: u64) -> Step<u64> {
            match cx.state() {
                OptionState::None if on > 1 => goto(Some).replying(on),
                _ => applying(OptionEvent::None).replying(on),
            }
        }

        #[on(Some => Ok)]
        #[ignore(_)]
        fn ok(&self) -> Step {
            goto(Ok).for_max(SOON)
        }

        #[on(Ok | Self_ | ALL => Self_ | INITIAL | ALL)]
        fn option(&self, handler: u8) -> ::std::result::Result<Step, ()> {
            ::std::result::Result::Ok(match handler {
                0 => goto(Self_),
                1 => goto(INITIAL),
                _ => goto(ALL),
            })
        }

        #[after(SOON, Ok => None)]
        fn err(&self) -> Step {
            goto(None)
        }

        #[enter(_)]
        fn entered(&self, fx: &Effects<Self>) {
            let _ = (self.balance, fx);
        }

        #[exit(_)]
        fn exited(_: &Effects<Self>) {}
    }
}

/// Primitive types can be shadowed, too.
mod shadowed_primitives {
    use ::annals::{Step, fsm, goto};
    use ::serde::{Deserialize, Serialize};

    struct usize;
    struct u32;
    struct bool;

    #[derive(::std::default::Default, Serialize, Deserialize)]
    pub struct Light;

    #[fsm(states(initial Dark, Bright))]
    impl Light {
        #[on(Dark => Bright)]
        fn switch(&self) -> Step {
            goto(Bright)
        }

        #[after(5min, Bright => Dark)]
        fn go_out(&self) -> Step {
            goto(Dark)
        }
    }
}

/// Two machines in one module that share the names of states and handlers; one is named through a path.
mod two {
    use ::annals::prelude::*;

    #[derive(Default, Serialize, Deserialize)]
    pub struct Order;

    mod inner {
        use ::annals::prelude::*;

        #[derive(Default, Serialize, Deserialize)]
        pub(super) struct Parcel;
    }

    #[fsm(states(initial Open, terminal Closed))]
    impl Order {
        #[on(Open => Closed)]
        fn close(&self) -> Step {
            goto(Closed)
        }
    }

    #[fsm(states(initial Open, terminal Closed), mod = boxes)]
    impl inner::Parcel {
        #[on(Open => Closed)]
        pub(super) fn close(&self) -> Step {
            goto(Closed)
        }

        #[after(Self::DAY, Open => stay)]
        fn note(&self) -> Step {
            stay()
        }

        const DAY: ::std::time::Duration = ::std::time::Duration::from_secs(86_400);
    }
}

/// A machine that is called like what is generated.
mod own_name {
    use ::annals::prelude::*;

    #[derive(Default, Serialize, Deserialize)]
    struct lock_fsm;

    #[fsm(states(initial on_, off), mod = lock)]
    impl lock_fsm {
        #[on(_ => off | on_)]
        fn on(&self) -> Step {
            if true { goto(off) } else { goto(on_) }
        }
    }
}

/// A renamed dependency, reached through a path.
mod renamed {
    pub(crate) mod reexport {
        pub(crate) use ::annals as journal;
    }

    use ::serde::{Deserialize, Serialize};
    use reexport::journal::{Snapshot, Step, fsm};

    #[derive(::std::default::Default, Serialize, Deserialize, Snapshot)]
    #[snapshot(crate = crate::renamed::reexport::journal)]
    pub struct Order;

    #[fsm(
        states(initial Open, Sent was("Shipped")),
        crate = crate::renamed::reexport::journal,
        snapshot,
        retain = since_snapshot,
        forgettable
    )]
    impl Order {
        #[on(Open => Sent)]
        fn send_off(&self) -> reexport::journal::Step {
            reexport::journal::goto(Sent)
        }

        #[reexport::journal::on(Sent => Open | stay)]
        fn take_back(&self) -> Step {
            if true { crate::renamed::reexport::journal::goto(Open) } else { reexport::journal::stay() }
        }
    }
}

/// Made by a macro of the user's.
mod made {
    use ::annals::prelude::*;

    macro_rules! switch {
        ($name:ident, $off:ident, $on:ident, $press:ident, $by:ident: $ty:ty, $time:literal) => {
            #[derive(Default, Serialize, Deserialize)]
            pub struct $name($ty);

            #[fsm(states(initial $off, $on))]
            impl $name {
                #[on($off => $on)]
                fn $press(&self, $by: $ty, other: u8) -> Step<$ty> {
                    let _ = other;
                    goto($on).replying($by)
                }

                #[after($time, $on => $off)]
                fn go_out(&self) -> Step {
                    goto($off)
                }
            }
        };
    }

    switch!(Lamp, Dark, Bright, press, by: u64, 5min);
}

/// A user's event enum, shared by two machines.
mod own_events {
    use ::annals::prelude::*;

    #[derive(Serialize, Deserialize, Event)]
    pub enum DoorEvent {
        Knocked,
    }

    macro_rules! door {
        ($name:ident) => {
            #[derive(Default, Serialize, Deserialize)]
            pub struct $name(u64);

            #[fsm(states(initial Open), event = DoorEvent)]
            impl $name {
                fn apply(&mut self, event: DoorEvent) {
                    match event {
                        DoorEvent::Knocked => self.0 += 1,
                    }
                }

                #[on(_ => stay)]
                fn knock(&self) -> Step {
                    applying([DoorEvent::Knocked, DoorEvent::Knocked])
                }
            }
        };
    }

    door!(Door);
    door!(Gate);
}

/// In a function, and in one with parameters.
fn local<T>(_: T) {
    use ::annals::prelude::*;

    #[derive(Default, Serialize, Deserialize)]
    struct Door;

    #[fsm(states(initial Open, Closed))]
    impl Door {
        #[event]
        fn knocked(&mut self) {}

        #[on(Open => Closed)]
        pub fn close(&self) -> Step {
            goto(Closed).applying(DoorEvent::Knocked)
        }

        #[on(Closed => Open)]
        fn open(&self) -> Step {
            goto(Open)
        }
    }
    ::std::assert_eq!(Door::GRAPH.machine, "Door");
}

fn main() {
    local(1);
}
