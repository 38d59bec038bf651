use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, Broken))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open | Broken)]
    fn open(&self) -> Step {
        if self.knocks > 5 { goto(Broken) } else { goto(Open) }
    }

    #[on(Broken => stay)]
    fn look(&self) -> Step<u64> {
        stay().replying(self.knocks)
    }
}

fn main() {}
