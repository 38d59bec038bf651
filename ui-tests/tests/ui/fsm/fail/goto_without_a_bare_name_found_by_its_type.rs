use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, terminal Broken))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        let to = Closed;
        goto(to)
    }

    #[on(Closed => Open | Broken)]
    fn open(&self) -> Step {
        goto(self.next())
    }

    fn next(&self) -> DoorState {
        if self.knocks == 0 { DoorState::Open } else { DoorState::Broken }
    }
}

fn main() {}
