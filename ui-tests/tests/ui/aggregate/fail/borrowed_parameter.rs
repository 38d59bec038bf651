use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    name: String,
}

#[aggregate]
impl Account {
    #[event]
    fn renamed(&mut self, name: &str) {
        self.name = name.to_owned();
    }

    #[event]
    fn noted(&mut self, notes: &'static [u8], note: std::borrow::Cow<'_, str>) {
        let _ = (notes, note);
    }

    #[command]
    fn rename(&self, name: Option<&str>) -> Step {
        applying(AccountEvent::Renamed { name: name.unwrap_or_default() })
    }

    #[query]
    fn starts_with(&self, start: &String) -> bool {
        self.name.starts_with(start)
    }

    #[query]
    fn name(&self) -> &str {
        &self.name
    }
}

fn main() {}
