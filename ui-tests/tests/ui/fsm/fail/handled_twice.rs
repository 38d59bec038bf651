use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Ajar, Closed))]
impl Door {
    #[on(Open | Ajar => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }

    #[on(Ajar | Closed => Closed, command = shut)]
    fn shut_firmly(&self) -> Step {
        goto(Closed)
    }

    #[on(_ => Open | Ajar)]
    fn open(&self) -> Step {
        if self.knocks == 1 { goto(Ajar) } else { goto(Open) }
    }

    #[on(Closed => Open, command = open)]
    fn open_quickly(&self) -> Step {
        goto(Open)
    }
}

fn main() {}
