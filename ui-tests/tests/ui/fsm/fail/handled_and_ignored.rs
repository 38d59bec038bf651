use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    #[ignore(Open | Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open)]
    #[reject(Open)]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[on(Open => stay, command = open)]
    fn open_wider(&self) -> Step {
        stay()
    }

    #[on(Open => stay)]
    #[ignore(_ | _)]
    fn push(&self) -> Step {
        stay()
    }

    #[on(Open => stay)]
    #[ignore(Closed)]
    #[reject(Closed)]
    fn knock(&self) -> Step<u64> {
        stay().replying(1)
    }
}

fn main() {}
