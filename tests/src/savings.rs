//! An account of which only snapshots are left.

use annals::prelude::*;

/// Counts, in cents. What its one snapshot stands for is deleted.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, Snapshot)]
pub struct Savings {
    balance: u64,
}

#[aggregate(snapshot(every = 6, keep = 1), retain = since_snapshot)]
impl Savings {
    /// Money came in.
    #[event]
    fn saved(&mut self, amount: u64) {
        self.balance += amount;
    }

    /// Pays two cents in, one after the other; replies with the new balance.
    #[command]
    fn save(&self) -> Step<u64> {
        applying([SavingsEvent::Saved { amount: 1 }, SavingsEvent::Saved { amount: 1 }]).replying_with(Self::balance)
    }

    /// How much is there.
    #[query]
    pub fn balance(&self) -> u64 {
        self.balance
    }
}
