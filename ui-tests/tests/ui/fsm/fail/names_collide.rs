use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial on, stay, Closed))]
impl Door {
    const GRAPH: u8 = 0;

    #[on(on => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => stay)]
    fn knock_twice(&self) -> Step {
        stay()
    }

    #[on(Closed => on)]
    fn knock__twice(&self) -> Step {
        goto(on)
    }

    #[after(1s, Closed => on)]
    fn knock_Twice(&self) -> Step {
        goto(on)
    }

    #[query]
    fn state(&self) -> u64 {
        self.knocks
    }
}

fn main() {}
