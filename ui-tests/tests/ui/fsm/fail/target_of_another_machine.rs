use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Lamp;

#[fsm(states(initial Dark, Bright))]
impl Lamp {
    #[on(Dark => Bright)]
    fn light(&self) -> Step {
        goto(Bright)
    }

    #[on(Bright => Dark)]
    fn quench(&self) -> Step {
        goto(Dark)
    }
}

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(lamp_fsm::Dark)
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }
}

fn main() {}
