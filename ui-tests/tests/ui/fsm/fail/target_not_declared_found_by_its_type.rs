use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, terminal Jammed))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(door_fsm::Jammed)
    }

    #[on(Closed => Open | Jammed)]
    fn open(&self) -> Step {
        self.swing()
    }

    fn swing(&self) -> Step<(), door_fsm::on::Open> {
        if self.knocks > 5 { goto(door_fsm::Closed) } else { stay() }
    }
}

fn main() {}
