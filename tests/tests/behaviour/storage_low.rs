//! Too little space is free: what would be stored is refused, everything else goes on, and all of it when there is space.

use std::time::Duration;

use annals::journal::{Durability, FjallJournal, FjallOptions, Health, Journal, MemoryJournal, StoredRun, Why};
use annals::prelude::*;
use annals::snapshot::{SnapshotError, SnapshotStoreError};
use annals::{DeleteError, NotStored, Offset, PersistenceId, System};
use annals_tests::{Account, Lease, LeaseState};

use crate::keys::{Short, Till};
use crate::restarted;
use crate::world::{World, until_in, yield_often};

const ACCOUNTS: u64 = 8;
const COMMANDS: u64 = 1_000;
const SECOND: Duration = Duration::from_secs(1);

fn is_low<E>(error: &CallError<E>) -> bool {
    matches!(error, CallError::NotStored { why: NotStored::Journal(Why::StorageLow { .. }), .. })
}

async fn all_runs(journal: &MemoryJournal) -> Vec<StoredRun> {
    journal.read_all(Offset(0), usize::MAX).await.unwrap().runs
}

/// What became of a storm of deposits and of the queries among them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Storm {
    low: u64,
    /// Decided on data that a refused write had promised, or queued behind one.
    behind: u64,
    /// Queries that were told what is there.
    told: u64,
}

/// Deposits to a few accounts, all at once, with a query behind each tenth.
async fn storm(system: &System) -> Storm {
    let account = |n: u64| system.get::<Account>(format!("account-{}", n % ACCOUNTS));
    let mut deposits = Vec::new();
    let mut queries = Vec::new();
    for n in 0..COMMANDS {
        deposits.push(tokio::spawn(account(n).deposit(1)));
        if n % 10 == 0 {
            queries.push(tokio::spawn(account(n).balance()));
        }
    }
    let mut storm = Storm::default();
    for deposit in deposits {
        match deposit.await.unwrap().unwrap_err() {
            error if is_low(&error) => storm.low += 1,
            CallError::NotStored { why: NotStored::EarlierWriteFailed, .. } => storm.behind += 1,
            error => panic!("{error:?}"),
        }
    }
    for query in queries {
        match query.await.unwrap() {
            Ok(balance) => {
                assert_eq!(balance, 100, "it was told what isn't stored");
                storm.told += 1;
            }
            Err(CallError::NotStored { why: NotStored::EarlierWriteFailed, .. }) => storm.behind += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    storm
}

#[tokio::test]
async fn a_storm_of_commands_is_refused_and_costs_each_entity_one_recovery_at_the_most() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(2).start(journal.clone()).unwrap();
    let accounts: Vec<_> = (0..ACCOUNTS).map(|n| system.get::<Account>(format!("account-{n}"))).collect();
    for account in &accounts {
        account.deposit(100).await.unwrap();
    }
    let (stored, recoveries) = (all_runs(&journal).await, system.stats().recoveries);
    journal.faults().fill_storage();

    // Nobody knows of it yet, so some are handled before the first is refused.
    let first = storm(&system).await;
    assert_eq!(first.low + first.behind + first.told, COMMANDS + COMMANDS / 10);
    assert!(first.low > 0);
    assert!(system.stats().recoveries <= recoveries + ACCOUNTS, "{:?}", system.stats());
    assert_eq!(system.health(), Health::StorageLow { free: 0, floor: 1 });

    // From now on each is told the reason, and the journal isn't even asked.
    for account in &accounts {
        assert!(is_low(&account.deposit(1).await.unwrap_err()));
    }
    let (loaded, asked) = (system.stats().recoveries, journal.faults().appended());
    assert_eq!(storm(&system).await, Storm { low: COMMANDS, behind: 0, told: COMMANDS / 10 });
    assert_eq!((system.stats().recoveries, journal.faults().appended()), (loaded, asked));
    assert!(loaded <= recoveries + ACCOUNTS, "{loaded} recoveries");
    assert_eq!(all_runs(&journal).await, stored, "something was stored");
    let error = accounts[0].withdraw(500).await.unwrap_err();
    assert!(matches!(error, CallError::Refused(_)), "what stores nothing is answered: {error:?}");
    let error = system.get::<Account>("new").deposit(1).await.unwrap_err();
    assert!(is_low(&error), "{error:?}");

    journal.faults().free_storage();
    assert_eq!(system.health(), Health::Good);
    let deposits: Vec<_> =
        (0..COMMANDS).map(|n| tokio::spawn(accounts[usize::try_from(n % ACCOUNTS).unwrap()].deposit(1))).collect();
    for deposit in deposits {
        deposit.await.unwrap().unwrap();
    }
    assert_eq!(system.stats().recoveries, loaded + 1, "the new one, and nobody else");
    system.shutdown().await.unwrap();
    let system = restarted(&journal);
    for n in 0..ACCOUNTS {
        let balance = system.get::<Account>(format!("account-{n}")).balance().await.unwrap();
        assert_eq!(balance, 100 + COMMANDS / ACCOUNTS);
    }
}

#[tokio::test]
async fn a_repeat_is_answered_without_space_and_a_new_key_is_not_used_up() {
    let (system, journal) = crate::system();
    let shop = system.get::<Till>("shop");
    let (known, new) = (Key::unique("known"), Key::unique("new"));
    assert_eq!(shop.pay(10).key(known).await.unwrap(), 10);
    assert_eq!(shop.pay(1).key(Key::rising(3)).await.unwrap(), 11);
    let stored = all_runs(&journal).await;
    journal.faults().fill_storage();
    for _ in 0..3 {
        assert_eq!(shop.pay(10).key(known).await.unwrap(), 10);
        assert_eq!(shop.pay(1).key(Key::rising(3)).await.unwrap(), 11);
        for key in [new, Key::rising(4)] {
            assert!(is_low(&shop.pay(100).key(key).await.unwrap_err()));
            assert!(is_low(&shop.take(500).key(key).await.unwrap_err()), "a refusal with a key is stored");
            assert!(is_low(&shop.total().key(key).await.unwrap_err()), "and so is a query");
        }
        let error = shop.take(500).await.unwrap_err();
        assert!(matches!(error, CallError::Refused(Short { .. })), "{error:?}");
        assert_eq!(shop.total().await.unwrap(), 11);
    }
    assert_eq!(all_runs(&journal).await, stored);
    journal.faults().free_storage();
    let mut system = system;
    for _ in 0..2 {
        let shop = system.get::<Till>("shop");
        assert_eq!(shop.pay(100).key(new).await.unwrap(), 111);
        assert_eq!(shop.pay(100).key(Key::rising(4)).await.unwrap(), 211);
        assert_eq!(shop.pay(10).key(known).await.unwrap(), 10);
        assert_eq!(shop.total().await.unwrap(), 211);
        system = restarted(&journal);
    }
}

#[tokio::test]
async fn a_deadline_that_is_due_waits_for_space_and_fires_then_once() {
    let world = World::new();
    let (car, bike) = (world.lease("car"), world.lease("bike"));
    car.take_for(SECOND).await.unwrap();
    bike.take_for(1_000 * SECOND).await.unwrap();
    world.journal.faults().fill_storage();
    world.clock.advance(SECOND);
    yield_often().await;
    // Who asks first may stand behind the write by which the shard learns of it.
    assert!(matches!(car.state().await, Err(CallError::NotStored { .. })));
    assert!(is_low(&car.state().await.unwrap_err()), "its time is over, and that can't be stored");
    assert_eq!(bike.state().await.unwrap(), LeaseState::Held, "the time of this one isn't");
    // Each time the alarm is rung again it finds no space.
    for _ in 0..5 {
        world.clock.advance(10 * SECOND);
        yield_often().await;
        assert!(is_low(&car.note("still here".to_owned()).await.unwrap_err()));
    }
    assert_eq!(world.stored("car").await.len(), 1);
    world.journal.faults().free_storage();
    // The pause is as long as it has failed already.
    world.clock.advance(100 * SECOND);
    world.until_stored("car", 2).await;
    until_in(&car, LeaseState::Warned).await;
    world.quiet().await;
    assert_eq!(world.stored("car").await.len(), 2);
    assert_eq!(bike.state().await.unwrap(), LeaseState::Held);
    let world = world.restarted().await;
    until_in(&world.lease("car"), LeaseState::Warned).await;
}

#[tokio::test]
async fn who_may_hold_back_one_answer_only_is_told_of_too_little_space_as_well() {
    let world = World::new();
    world.lease("car").take_for(SECOND).await.unwrap();
    world.system.shutdown().await.unwrap();
    let journal = world.journal.reopen();
    let builder = crate::world::builder(&world.clock, &world.diary).shards(1).run_ahead_max(1);
    let system = builder.start(journal.clone()).unwrap();
    let (car, bike) = (system.get::<Lease>("car"), system.get::<Lease>("bike"));
    assert_eq!(car.state().await.unwrap(), LeaseState::Held);
    journal.faults().fill_storage();
    assert!(is_low(&bike.note("the shard learns of it by a write".to_owned()).await.unwrap_err()));
    world.clock.advance(SECOND);
    assert!(is_low(&car.state().await.unwrap_err()));
    journal.faults().free_storage();
    world.clock.advance(100 * SECOND);
    until_in(&car, LeaseState::Warned).await;
    system.shutdown().await.unwrap();
}

/// Lets go of what its snapshot stands for.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Heap {
    grains: u64,
}

#[aggregate(snapshot(keep = 1), retain = since_snapshot)]
impl Heap {
    #[event]
    fn grew(&mut self) {
        self.grains += 1;
    }

    #[command]
    fn grow(&self) -> Step<u64> {
        applying(HeapEvent::Grew).replying_with(Self::grains)
    }

    #[query]
    fn grains(&self) -> u64 {
        self.grains
    }
}

#[tokio::test]
async fn what_gives_space_back_is_done_without_space() {
    let (system, journal) = crate::system();
    let (kept, gone) = (system.get::<Heap>("kept"), system.get::<Heap>("gone"));
    for _ in 0..3 {
        kept.grow().await.unwrap();
        gone.grow().await.unwrap();
    }
    journal.faults().fill_storage();
    assert!(is_low(&kept.grow().await.unwrap_err()));
    // The snapshots of this journal are elsewhere.
    kept.snapshot().await.unwrap();
    system.delete::<Heap>("gone").await.unwrap();
    let error = gone.grains().await.unwrap_err();
    assert!(matches!(error, CallError::Deleted { .. }), "{error:?}");
    crate::until("its records are deleted", || system.stats().records_deleted == 3).await;
    assert_eq!(kept.grains().await.unwrap(), 3);
    journal.faults().free_storage();
    assert_eq!(kept.grow().await.unwrap(), 4);
    system.shutdown().await.unwrap();
    let system = restarted(&journal);
    assert_eq!(system.get::<Heap>("kept").grains().await.unwrap(), 4);
    assert!(matches!(system.get::<Heap>("gone").grains().await, Err(CallError::Deleted { .. })));
}

/// A journal on a disk where twice as much is to stay free as is.
#[tokio::test]
async fn on_a_disk_a_snapshot_is_skipped_and_a_deletion_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let open = |floor| {
        let options = FjallOptions::new().durability(Durability::Os).free_bytes_min(floor);
        FjallJournal::open(dir.path(), options).unwrap()
    };
    let system = System::builder().shards(1).start(open(0)).unwrap();
    for heap in ["kept", "gone"] {
        assert_eq!(system.get::<Heap>(heap).grow().await.unwrap(), 1);
    }
    system.shutdown().await.unwrap();
    drop(system);

    let system = System::builder().shards(1).start(open(u64::MAX)).unwrap();
    let error = system.get::<Heap>("kept").grow().await.unwrap_err();
    let CallError::NotStored { why: NotStored::Journal(Why::StorageLow { free, .. }), .. } = error else {
        panic!("{error:?}")
    };
    assert!(matches!(system.health(), Health::StorageLow { .. }));
    system.shutdown().await.unwrap();
    drop(system);
    let system = System::builder().shards(1).start(open(free.saturating_mul(2))).unwrap();
    let kept = system.get::<Heap>("kept");
    for _ in 0..3 {
        assert!(is_low(&kept.grow().await.unwrap_err()));
        let refused = kept.snapshot().await.unwrap_err();
        let CallError::Refused(SnapshotError::Store(error)) = refused else { panic!("{refused:?}") };
        assert!(matches!(error, SnapshotStoreError::StorageLow { .. }), "{error:?}");
    }
    assert_eq!((system.stats().snapshots_skipped, system.stats().snapshots_failed), (3, 0));
    assert_eq!(kept.grains().await.unwrap(), 1);
    system.delete::<Heap>("gone").await.unwrap();
    let error = system.delete::<Heap>("never").await.unwrap_err();
    assert!(matches!(error, DeleteError::NotFound { .. }), "{error:?}");
    system.shutdown().await.unwrap();
    drop(system);

    let system = System::builder().shards(1).start(open(0)).unwrap();
    assert_eq!(system.get::<Heap>("kept").grow().await.unwrap(), 2);
    let deleted = system.get::<Heap>("gone").grains().await.unwrap_err();
    assert!(matches!(&deleted, CallError::Deleted { id, .. } if *id == PersistenceId::new(Heap::NAME, "gone")));
    system.shutdown().await.unwrap();
}
