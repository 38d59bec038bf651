use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Gate;

#[fsm(states(initial Open, Closed))]
impl Gate {
    #[on(Open => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[enter(Closed)]
    fn squeak(&self, fx: &Effects<Self>) {
        let _ = fx;
    }

    #[exit(Closed)]
    fn tell(_fx: &Effects<Door>) {}
}

#[aggregate]
impl Door {
    #[event]
    fn opened(&mut self) {}

    #[command]
    fn open(&self) -> Step {
        applying(DoorEvent::Opened)
    }
}

fn main() {}
