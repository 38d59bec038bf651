use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct A;

#[fsm(states(
    initial was("Closed") Open,
    was("Ajar"),
    Shut was = "Closed",
    Ajar was "Wide",
    Wide was,
    Broken was(),
    Gone was("Away") was("Left"),
    Left was(Away),
    Away aws("Left"),
    terminal Over was("Done") initial,
))]
impl A {
    #[on(Open => stay)]
    fn push(&self) -> Step {
        stay()
    }
}

fn main() {}
