use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, terminal Broken), exhaustive)]
impl Door {
    #[on(Open => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open)]
    #[ignore(Open)]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[on(Closed => Broken)]
    #[reject(Broken)]
    fn kick(&self) -> Step {
        goto(Broken)
    }
}

fn main() {}
