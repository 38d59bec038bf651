use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, terminal Broken))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed | Broken => Open | Broken)]
    fn open(&self) -> Step {
        if self.knocks > 5 { goto(Broken) } else { goto(Open) }
    }
}

fn main() {}
