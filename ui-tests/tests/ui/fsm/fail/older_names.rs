use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Door;

#[fsm(states(
    initial Open was("Open"),
    Shut was("Locked", "Closed"),
    Ajar was("Wide", "Wide", "Closed", ""),
    Locked,
    terminal Gone,
))]
impl Door {
    #[on(_ => Open | Shut | Ajar | Locked | Gone)]
    fn push(&self) -> Step {
        goto(Open)
    }
}

/// As far as it can be read, but for the names.
#[derive(Default, Serialize, Deserialize)]
struct Gate;

#[fsm(states(initial Open was("Closed"), Shut was("Closed"), Ajar was("Wide", "Wide"), terminal Gone was("Shut")))]
impl Gate {
    #[on(_ => Open | Shut | Ajar | Gone)]
    fn push(&self) -> Step {
        if true {
            goto(Open)
        } else if true {
            goto(Shut)
        } else if true {
            goto(Ajar)
        } else {
            goto(Gone)
        }
    }
}

fn main() {}
