use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

use std::time::Duration;

const SOON: Duration = Duration::from_secs(1);

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    fn close(&self) -> Step<u64> {
        goto(Closed).replying(1).for_max(SOON)
    }

    #[on(Closed => Open | stay)]
    fn open(&self) -> Step {
        if self.knocks == 0 { goto(Open).for_max(SOON) } else { stay().for_max(SOON) }
    }

    #[after(10s, Open => Closed)]
    fn fall_shut(&self) -> Step {
        let step = goto(Closed);
        step.for_max(SOON)
    }
}

fn main() {}
