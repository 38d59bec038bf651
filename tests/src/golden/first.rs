//! What an older program wrote: the first version of an event, and one under its older name.

use std::path::Path;

use annals::prelude::*;
use annals::testing::ManualClock;

use super::{Outcome, builder};

/// The purse as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Purse {
    coins: u32,
}

#[aggregate(vis = pub(super))]
impl Purse {
    #[event]
    fn filled(&mut self, coins: u32) {
        self.coins += coins;
    }

    #[event]
    fn spent(&mut self, coins: u32) {
        self.coins -= coins;
    }

    #[command]
    fn fill(&self, coins: u32) -> Step {
        applying(PurseEvent::Filled { coins })
    }

    #[command]
    fn spend(&self, coins: u32) -> Step {
        applying(PurseEvent::Spent { coins })
    }
}

pub(super) async fn write(store: &Path, clock: &ManualClock) -> Outcome<()> {
    let system = builder(clock).open(store).await?;
    let purse = system.get::<Purse>("with coins");
    purse.fill(20).await?;
    purse.spend(2).await?;
    system.shutdown().await?;
    Ok(())
}
