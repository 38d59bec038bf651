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
        applying(DoorEvent::Knocked).goto(Closed)
    }

    #[on(Closed => Open | stay)]
    fn open(&self) -> Step<u64> {
        stay().applying(DoorEvent::Knocked).goto(Open).replying(1)
    }

    #[after(10s, Closed => Open | Closed)]
    fn swing(&self) -> Step {
        goto(Open).goto(Closed)
    }
}

fn main() {}
