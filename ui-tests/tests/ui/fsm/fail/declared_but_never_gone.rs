#![deny(deprecated)]

use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Ajar, Closed))]
impl Door {
    #[on(Open => Closed | Ajar)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed | Ajar => Open | Ajar | stay)]
    fn open(&self) -> Step {
        if self.knocks == 0 { goto(Open) } else { goto(Ajar) }
    }

    // What another function makes isn't known.
    #[on(Open => Open | Closed | stay)]
    fn swing(&self) -> Step {
        if self.knocks == 0 { goto(Open) } else { self.swing_on() }
    }

    fn swing_on(&self) -> Step<(), door_fsm::on::Swing> {
        annals::goto(door_fsm::Closed)
    }
}

fn main() {}
