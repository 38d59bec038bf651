//! The twins of the mistakes with methods: `event_*`, `command_with_mut_self`, `handler_*`, `reply_*`,
//! `event_of_another_aggregate`, `declared_twice`, `borrowed_parameter`, `pattern_as_parameter`, `context_misplaced`,
//! `name_of_a_ref_method`, `step_dropped`, `marker_in_the_wrong_place`, `marker_without_block`, `not_send`,
//! `odd_shapes`, `many_mistakes`.

use std::borrow::Cow;
use std::fmt;

use annals::prelude::*;
use annals::{Call, EntityRef, Refused};

/// Twin of `field_not_serializable`, `data_without_serde`, `data_not_send` and `nothing_happens`.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Account {
    balance: u64,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coins(u64);

#[derive(Debug, PartialEq)]
pub struct Overdrawn {
    pub missing: u64,
}

type Decision = Step<u64, Account>;
type Judgement<R> = Result<Step<R, Account>, Overdrawn>;
type Maybe<T> = Result<T, Overdrawn>;

#[aggregate]
impl Account {
    /// How much an account may hold.
    pub const LIMIT: u64 = 1_000_000;

    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event]
    fn coins_deposited(self: &mut Self, coins: Coins) -> () {
        self.balance += coins.0;
    }

    #[event]
    fn withdrawn(&mut self, mut amount: u64, #[serde(default)] fee: u64) {
        amount += fee;
        self.balance -= amount;
    }

    #[event]
    fn renamed(&mut self, name: String, note: Cow<'static, str>, r#type: Option<u8>) {
        let _ = (note, r#type);
        self.name = name;
    }

    #[event]
    fn closed(&mut self) {}

    #[event]
    fn r#move(&mut self, to: Box<Self>) {
        *self = *to;
    }

    /// Pays `amount` in; replies with the new balance.
    #[command]
    fn deposit(&self, amount: u64) -> Step<u64> {
        applying(AccountEvent::Deposited { amount }).replying_with(Self::balance)
    }

    #[command]
    fn deposit_coins(&self, coins: Coins) -> Step {
        let Coins(_) = coins;
        stay().applying([AccountEvent::CoinsDeposited { coins }, AccountEvent::Deposited { amount: 0 }])
    }

    /// Takes `amount` out, or says how much is missing.
    #[command]
    fn withdraw(&self, cx: &Context<Self>, amount: u64) -> Result<Step<u64>, Overdrawn> {
        if amount > self.balance {
            return Err(Overdrawn { missing: amount - self.balance });
        }
        let steps = vec![annals::applying(AccountEvent::Withdrawn { amount, fee: cx.now().as_second().unsigned_abs() })];
        let step = steps.into_iter().next().unwrap_or_else(|| stay());
        Ok(step.replying_with(Self::balance))
    }

    #[command]
    fn rename(&self, name: String, note: &'static str) -> annals::Step<()> {
        if matches!(stay(), Step { .. }) {
            ::annals::applying(AccountEvent::Renamed { name, note: note.into(), r#type: None })
        } else {
            stay()
        }
    }

    #[command]
    fn close(&self) -> Step {
        applying(Some(AccountEvent::Closed)).applying(vec![AccountEvent::Closed]).and_then(|fx| drop(fx.this()))
    }

    #[command]
    fn r#type(&self, r#type: u8) -> Decision {
        let _ = r#type;
        stay().replying(1)
    }

    #[command]
    fn judge(&self, data: u64, cx: u64, event: u64) -> Judgement<u64> {
        Ok(stay().replying(data + cx + event))
    }

    #[command]
    fn perhaps(&self, callback: fn(&str) -> bool) -> Maybe<Step<bool>> {
        Ok(stay().replying(callback("")))
    }

    #[command]
    fn swap(&self, with: Box<Self>) -> Result<Step<Self>, Self> {
        if with.balance > [0; Self::LIMIT as usize].len() as u64 { Err(*with) } else { Ok(self.swapped(*with)) }
    }

    fn swapped(&self, with: Self) -> Step<Self, Self> {
        applying::<Self>(AccountEvent::Move { to: Box::new(with) }).replying(self.clone())
    }

    /// The balance.
    #[query]
    fn balance(&self) -> u64 {
        self.balance
    }

    #[query]
    fn at_least(&self, amount: u64, unit: &'static str) -> Option<&'static str> {
        (self.balance >= amount).then_some(unit)
    }

    #[query]
    fn copy(&self) -> Self {
        self.clone()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.balance)
    }
}

/// The types of the reference's methods.
pub fn calls(account: EntityRef<Account>) {
    let account = AccountRef::from(account).clone();
    let _: Call<u64, annals::Never> = account.deposit(1);
    let _: Call<u64, Overdrawn> = account.withdraw(1);
    let _: Call<(), annals::Never> = account.rename(String::new(), "");
    let _: Call<u64, annals::Never> = account.r#type(1);
    let _: Call<u64, Overdrawn> = account.judge(1, 2, 3);
    let _: Call<bool, Overdrawn> = account.perhaps(str::is_empty);
    let _: Call<Account, Account> = account.swap(Box::default());
    let _: Call<u64, annals::Never> = account.balance();
    let _: Call<Option<&'static str>, annals::Never> = account.at_least(1, "cent");
    let _: Call<Account, annals::Never> = account.copy();
    let _: Call<(), Refused> = account.send(AccountCommand::Close);
    let _: &EntityId = account.id();
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.balance == other.balance
    }
}

fn main() {
    let names: Vec<_> = AccountEvent::VARIANTS.iter().map(|variant| variant.name).collect();
    assert_eq!(names, ["deposited", "coins_deposited", "withdrawn", "renamed", "closed", "move"]);
    assert_eq!(Account::NAME, "Account");
    let mut account = Account::default();
    Aggregate::apply(&mut account, AccountEvent::Deposited { amount: 3 });
    Aggregate::apply(&mut account, AccountEvent::Withdrawn { amount: 1, fee: 1 });
    assert_eq!(account.balance(), 1);
}
