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
    fn close(&self) -> Step {
        self.shut()
    }

    #[after(1h, Open => Closed | stay)]
    fn fall_shut(&self) -> Step {
        if self.knocks == 0 { self.wait() } else { self.fall() }
    }

    #[on(Closed => Open | stay)]
    fn open(&self, force: u64) -> Result<Step<u64>, String> {
        if force == 0 { Ok(self.wait().replying(0)) } else { self.swing(force) }
    }

    fn shut(&self) -> Step {
        goto(Closed)
    }

    fn fall(&self) -> Step {
        goto(door_fsm::Closed)
    }

    fn swing(&self, force: u64) -> Result<Step<u64>, String> {
        Ok(goto(Open).applying(DoorEvent::Knocked).replying(force))
    }

    fn wait(&self) -> annals::Step {
        stay()
    }
}

fn main() {}
