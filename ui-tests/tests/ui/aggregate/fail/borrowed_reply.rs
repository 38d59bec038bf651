use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    owner: String,
}

#[aggregate]
impl Account {
    #[event]
    fn opened(&mut self, owner: String) {
        self.owner = owner;
    }

    #[command]
    fn open(&self, owner: String) -> Result<Step<&str>, &'static str> {
        if owner.is_empty() {
            return Err("an owner has a name");
        }
        Ok(applying(AccountEvent::Opened { owner }).replying(&self.owner))
    }
}

fn main() {}
