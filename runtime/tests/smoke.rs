//! The code that `#[aggregate]` is to generate for the account, written by hand.

use annals::{Context, Step, applying, stay};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Account {
    balance: u64,
}

#[derive(Debug, PartialEq)]
pub struct Overdrawn {
    pub missing: u64,
}

// The user's impl block again, with `Step` and the three words completed.
impl Account {
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }
    fn withdrawn(&mut self, amount: u64) {
        self.balance -= amount;
    }
    /// Pays `amount` in; replies with the new balance.
    fn deposit(&self, amount: u64) -> Step<u64, Account> {
        applying::<Account>(AccountEvent::Deposited { amount }).replying_with(Self::balance)
    }
    /// Takes `amount` out, or says how much is missing.
    fn withdraw(&self, amount: u64) -> Result<Step<u64, Account>, Overdrawn> {
        if amount > self.balance {
            return Err(Overdrawn { missing: amount - self.balance });
        }
        Ok(applying::<Account>(AccountEvent::Withdrawn { amount }).replying_with(Self::balance))
    }
    fn touch(&self, _cx: &Context<Self>) -> Step<(), Account> {
        stay::<Account>()
    }
    fn balance(&self) -> u64 {
        self.balance
    }
}

/// What happened to an [`Account`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)] // and ::annals::Event, which makes the impl below
pub enum AccountEvent {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}

#[automatically_derived]
impl ::annals::Event for AccountEvent {
    const VARIANTS: &'static [::annals::EventVariant] = &[
        ::annals::EventVariant { name: "deposited", was: &["paid_in"], version: 1 },
        ::annals::EventVariant { name: "withdrawn", was: &[], version: 1 },
    ];

    fn upcast(
        variant: ::annals::__rt::usize,
        version: ::annals::__rt::u32,
        _payload: ::annals::Payload<'_>,
    ) -> ::annals::__rt::Result<Self, ::annals::DecodeError> {
        ::annals::__rt::Err(::annals::DecodeError::NoUpcast {
            name: <::std::string::String as ::std::convert::From<_>>::from(Self::VARIANTS[variant].name),
            version,
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum AccountCommand {
    Deposit { amount: u64 },
    Withdraw { amount: u64 },
    Touch,
}

#[automatically_derived]
impl ::annals::Handler for Account {
    type Aggregate = Account;
}

#[automatically_derived]
impl ::annals::Aggregate for Account {
    const NAME: &'static str = "Account";
    const CODEC: ::annals::Codec = ::annals::Codec::MessagePack;
    type Event = AccountEvent;
    type Command = AccountCommand;
    type Ref = AccountRef;
    type Services = ();

    fn apply(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::Deposited { amount } => self.deposited(amount),
            AccountEvent::Withdrawn { amount } => self.withdrawn(amount),
        }
    }
}

#[automatically_derived]
impl ::annals::EventsOf<Account> for AccountEvent {
    fn push_to(self, events: &mut ::annals::EventList<AccountEvent>) {
        events.push(self);
    }
}

#[automatically_derived]
impl ::annals::Command<Account> for AccountCommand {
    fn name(&self) -> &'static ::annals::__rt::str {
        match self {
            Self::Deposit { .. } => "deposit",
            Self::Withdraw { .. } => "withdraw",
            Self::Touch => "touch",
        }
    }

    fn handle(
        self,
        data: &Account,
        cx: &::annals::Context<Account>,
    ) -> ::annals::__rt::Result<::annals::Step<(), Account>, ::annals::Refused> {
        match self {
            Self::Deposit { amount } => ::annals::__rt::unnamed(Account::deposit(data, amount)),
            Self::Withdraw { amount } => ::annals::__rt::unnamed(Account::withdraw(data, amount)),
            Self::Touch => ::annals::__rt::unnamed(Account::touch(data, cx)),
        }
    }
}

#[derive(Debug, Clone)]
pub struct AccountRef(::annals::EntityRef<Account>);

#[automatically_derived]
impl ::std::convert::From<::annals::EntityRef<Account>> for AccountRef {
    fn from(entity: ::annals::EntityRef<Account>) -> Self {
        Self(entity)
    }
}

impl AccountRef {
    pub fn id(&self) -> &::annals::EntityId {
        self.0.id()
    }
    pub fn send(&self, command: AccountCommand) -> ::annals::Call<(), ::annals::Refused> {
        self.0.send(command)
    }
    /// Pays `amount` in; replies with the new balance.
    pub fn deposit(&self, amount: u64) -> ::annals::Call<u64, ::annals::__rt::Infallible> {
        ::annals::__rt::call(&self.0, "deposit", move |data, _| Account::deposit(data, amount))
    }
    /// Takes `amount` out, or says how much is missing.
    pub fn withdraw(&self, amount: u64) -> ::annals::Call<u64, Overdrawn> {
        ::annals::__rt::call(&self.0, "withdraw", move |data, _| Account::withdraw(data, amount))
    }
    pub fn touch(&self) -> ::annals::Call<(), ::annals::__rt::Infallible> {
        ::annals::__rt::call(&self.0, "touch", move |data, cx| Account::touch(data, cx))
    }
    pub fn balance(&self) -> ::annals::Call<u64, ::annals::__rt::Infallible> {
        ::annals::__rt::query(&self.0, "balance", move |data| Account::balance(data))
    }
}

use annals::journal::MemoryJournal;
use annals::{CallError, System};

#[test]
fn bench_works() {
    let b = annals::testing::given::<Account>([AccountEvent::Deposited { amount: 100 }]);
    b.when(|a| a.withdraw(500)).then_no_events().then_refusal(Overdrawn { missing: 400 });
    b.when(|a| a.deposit(5)).then_events(AccountEvent::Deposited { amount: 5 }).then_reply(105_u64);
    b.when(|a| a.balance()).then_no_events().then_reply(105_u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_works() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    assert_eq!(alice.deposit(100).await.unwrap(), 100);
    assert_eq!(alice.withdraw(500).await.unwrap_err(), CallError::Refused(Overdrawn { missing: 400 }));
    assert_eq!(alice.balance().await.unwrap(), 100);
    let mut tasks = Vec::new();
    let t = std::time::Instant::now();
    for i in 0..1000 {
        let r = system.get::<Account>(format!("e{}", i % 100));
        tasks.push(tokio::spawn(async move {
            for _ in 0..1000 {
                r.deposit(1).await.unwrap();
            }
        }));
    }
    for t in tasks {
        t.await.unwrap();
    }
    println!("1M commands: {:?} {:?}", t.elapsed(), system.stats());
    assert_eq!(system.get::<Account>("e7").balance().await.unwrap(), 10_000);
    system.shutdown().await.unwrap();
    let system = System::builder().start(journal.reopen()).unwrap();
    assert_eq!(system.get::<Account>("e7").balance().await.unwrap(), 10_000);
    assert_eq!(system.get::<Account>("alice").deposit(1).await.unwrap(), 101);
    println!("{:?}", system.stats());
    system.shutdown().await.unwrap();
}
