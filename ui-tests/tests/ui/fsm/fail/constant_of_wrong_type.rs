use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

const SOON: u64 = 30;

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Closed => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[after(SOON, Open => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }
}

fn main() {}
