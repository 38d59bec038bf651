//! The account as the first version of this program had it, so that there are stores to go on with.

use annals::prelude::*;

/// A bank account, in cents.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    balance: u64,
}

#[aggregate(vis = pub(crate))]
impl Account {
    /// Money came in.
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    /// Pays `amount` in; replies with the new balance.
    #[command]
    fn deposit(&self, amount: u64) -> Step<u64> {
        applying(AccountEvent::Deposited { amount }).replying_with(|account: &Self| account.balance)
    }
}
