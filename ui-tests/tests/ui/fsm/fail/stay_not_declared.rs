use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed))]
impl Door {
    #[event]
    fn knocked(&mut self) {
        self.knocks += 1;
    }

    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        if self.knocks == 0 { goto(Closed) } else { stay() }
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step {
        if self.knocks == 0 { goto(Open) } else { applying(DoorEvent::Knocked) }
    }

    #[after(10s, Open => Closed)]
    fn fall_shut(&self) -> Step<()> {
        if self.knocks == 0 { goto(Closed) } else { annals::stay() }
    }
}

fn main() {}
