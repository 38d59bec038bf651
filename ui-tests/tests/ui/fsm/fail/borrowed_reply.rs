use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    name: String,
}

type Read<R> = R;

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step<&str> {
        goto(Closed).replying(&self.name)
    }

    #[on(Closed => Open)]
    fn open(&self) -> Result<Step<Option<&[u8]>>, &str> {
        Ok(goto(Open).replying(Some(self.name.as_bytes())))
    }

    #[on(_ => stay)]
    fn sign(&self) -> Step<&'static str> {
        stay().replying("no entry")
    }

    #[on(_ => stay)]
    fn read(&self) -> Read<Step<std::borrow::Cow<'_, str>, door_fsm::on::Read>> {
        stay().replying(self.name.as_str().into())
    }
}

fn main() {}
