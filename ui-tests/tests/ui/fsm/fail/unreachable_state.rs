use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, Jammed, Oiled))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed | Oiled => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[on(Jammed => Oiled)]
    fn oil(&self) -> Step {
        goto(Oiled)
    }
}

fn main() {}
