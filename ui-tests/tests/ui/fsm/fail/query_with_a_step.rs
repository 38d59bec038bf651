use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[query]
    fn knocks(&self) -> Step<u64> {
        stay().replying(self.knocks)
    }
}

fn main() {}
