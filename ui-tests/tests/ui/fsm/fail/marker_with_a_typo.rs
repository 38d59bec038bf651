use annals::{Step, fsm, goto};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Door;

#[fsm(states(initial Open, Closed), name = "door")]
impl Door {
    #[onn(Open => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }
}

fn main() {}
