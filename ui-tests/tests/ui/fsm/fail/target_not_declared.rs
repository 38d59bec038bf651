use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, terminal Jammed))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open | stay)]
    fn open(&self) -> Step {
        match self.knocks {
            0 => stay(),
            1 => goto(Jammed),
            _ => goto(Open),
        }
    }

    #[on(Closed => Jammed)]
    fn kick(&self) -> Step {
        goto(Jammed)
    }
}

fn main() {}
