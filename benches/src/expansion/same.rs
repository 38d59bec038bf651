//! What is compared does the same.

use std::time::Duration;

use annals::testing::given;
use annals::{Event as _, State as _};

use super::{by_hand, with_macros};

/// All that the parcel of a module says of itself, and does with each command in each state.
macro_rules! told {
    ($of:ident) => {{
        use $of::{Parcel, ParcelCommand, ParcelEvent, ParcelState};

        let text = |text: &str| text.to_owned();
        let commands = [
            ParcelCommand::Weigh { grams: 500 },
            ParcelCommand::Address { address: text("moon") },
            ParcelCommand::Stamp { cents: 10 },
            ParcelCommand::Stamp { cents: 1_000 },
            ParcelCommand::PickUp { by: text("ship") },
            ParcelCommand::Arrive { place: text("sea") },
            ParcelCommand::Redirect { address: text("mars"), reason: Some(text("war")) },
            ParcelCommand::Ring,
            ParcelCommand::HandOver { to: text("nobody") },
            ParcelCommand::HandOver { to: text("sun") },
            ParcelCommand::Damage,
            ParcelCommand::GiveUp { reason: text("sunk") },
        ];
        let mut told = vec![format!("{:?}", Parcel::GRAPH), format!("{:?}", ParcelEvent::VARIANTS)];
        let weighed = ParcelEvent::Weighed { grams: 30 };
        let addressed = ParcelEvent::Addressed { address: text("sun") };
        for before in [vec![], vec![weighed, addressed]] {
            for state in ParcelState::ALL {
                let parcel = || given::<Parcel>(before.clone()).in_state(*state);
                for command in &commands {
                    let bench = parcel();
                    let then = bench.attempt(|it| it.send(command.clone()));
                    let data = bench.inspect(|data| format!("{data:?}"));
                    let (result, events, state) = (then.result(), then.events(), then.state());
                    told.push(format!("{command:?}: {result:?} {events:?} {state:?} {data} {:?}", bench.deadline()));
                }
                macro_rules! ask {
                    ($call:expr) => {
                        told.push(format!("{:?}", parcel().attempt($call).result()))
                    };
                }
                ask!(|it| it.weigh(1));
                ask!(|it| it.address(text("here")));
                ask!(|it| it.stamp(10));
                ask!(|it| it.stamp(1_000));
                ask!(|it| it.pick_up(text("me")));
                ask!(|it| it.arrive(text("there")));
                ask!(|it| it.redirect(text("there"), None));
                ask!(|it| it.ring());
                ask!(|it| it.hand_over(text("sun")));
                ask!(|it| it.hand_over(text("moon")));
                ask!(|it| it.damage());
                ask!(|it| it.give_up(text("lost")));
                ask!(|it| it.stops());
                ask!(|it| it.state());
                ask!(|it| it.accepts());
                let bench = parcel();
                told.push(format!("{:?}", bench.attempt(|it| it.ring()).result()));
                let then = bench.advance(Duration::from_secs(3 * 24 * 60 * 60));
                told.push(format!("{:?} {:?}", then.events(), then.state()));
            }
        }
        told
    }};
}

#[test]
fn a_parcel_by_hand_does_what_one_with_macros_does() {
    let (with_macros, by_hand) = (told!(with_macros), told!(by_hand));
    for (with_macros, by_hand) in with_macros.iter().zip(&by_hand) {
        assert_eq!(with_macros, by_hand);
    }
    assert_eq!(with_macros.len(), by_hand.len());
    // So that it isn't the same nothing.
    assert!(with_macros.iter().filter(|line| line.contains("Ok(")).count() > 50, "{with_macros:#?}");
}
