use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Gate;

#[fsm(states())]
impl Gate {
    #[on(Open => stay)]
    fn knock(&self) -> Step {
        stay()
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Window;

#[fsm(sates(initial Open))]
impl Window {
    #[on(Open => stay)]
    fn knock(&self) -> Step {
        stay()
    }
}

fn elsewhere() -> [DoorState; 0] {
    let _ = (Door::GRAPH, DoorRef::accepts);
    []
}

fn main() {}
