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
    fn close(&self) -> Step {
        let step = goto(Closed);
        step.for_max(SOON)
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }
}

fn main() {}
