use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(transient initial Open, Closed, terminal transient Broken))]
impl Door {
    #[on(Open => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open | Broken)]
    fn open(&self) -> Step {
        if self.knocks == 0 { goto(Open) } else { goto(Broken) }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Gate;

#[fsm(states(initial terminal Open))]
impl Gate {
    #[on(Open => stay)]
    fn knock(&self) -> Step {
        stay()
    }
}

fn main() {}
