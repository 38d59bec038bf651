use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    #[on(Closed => stay)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[command]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[ignore(Open)]
    fn ignored(&self) {}

    #[on(Closed => Open)]
    const KNOCKS: u8 = 1;

    #[after(1s, Closed => Open)]
    #[enter(Closed)]
    fn both(&self) -> Step {
        goto(Open)
    }
}

#[on(Open => Closed)]
fn alone() {}

#[after(1s, Open => Closed)]
fn later() {}

#[enter(Open)]
fn entered() {}

#[exit(Open)]
fn left() {}

#[reject(Open)]
fn rejected() {}

fn main() {}
