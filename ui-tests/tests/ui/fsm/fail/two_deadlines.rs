use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, terminal Broken))]
impl Door {
    #[after(10s, Open | Broken => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[after(20s, _ => Broken)]
    fn rot(&self) -> Step {
        goto(Broken)
    }
}

fn main() {}
