//! Folds that come to something else the second time, found before anybody relies on a snapshot.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals::testing::given;
use annals::{SeqNr, System};

use super::Shop;

/// Follows the order of a map once it has been asked to.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Ranks {
    points: HashMap<String, u64>,
    order: Vec<String>,
}

#[aggregate(snapshot(every = 5))]
impl Ranks {
    #[event]
    fn scored(&mut self, name: String) {
        *self.points.entry(name).or_default() += 1;
    }

    #[event]
    fn listed(&mut self) {
        self.order = self.points.keys().cloned().collect();
    }

    #[command]
    fn score(&self, name: String) -> Step {
        applying(RanksEvent::Scored { name })
    }

    #[command]
    fn list(&self) -> Step {
        applying(RanksEvent::Listed)
    }
}

/// Draws lots in the fold.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Lots {
    drawn: u64,
    winner: u64,
}

#[aggregate(snapshot(every = 5))]
impl Lots {
    #[event]
    fn drew(&mut self) {
        self.drawn += 1;
        if self.drawn >= 4 {
            self.winner = RandomState::new().build_hasher().finish();
        }
    }

    #[command]
    fn draw(&self) -> Step {
        applying(LotsEvent::Drew)
    }
}

/// Has an order nowhere.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Bag {
    things: HashSet<String>,
    by_letter: HashMap<char, HashSet<String>>,
}

#[aggregate(snapshot(every = 5), retain = since_snapshot)]
impl Bag {
    #[event]
    fn put(&mut self, thing: String) {
        if let Some(letter) = thing.chars().next() {
            self.by_letter.entry(letter).or_default().insert(thing.clone());
        }
        self.things.insert(thing);
    }

    #[command]
    fn add(&self, thing: String) -> Step {
        applying(BagEvent::Put { thing })
    }

    #[query]
    fn size(&self) -> usize {
        self.things.len()
    }
}

async fn quarantined<A: Aggregate>(
    journal: &MemoryJournal,
    look: impl AsyncFn(&System) -> CallError<annals::Never>,
) -> (SeqNr, String) {
    let system = System::builder().verify_snapshots(true).start(journal.reopen()).unwrap();
    let error = look(&system).await;
    let CallError::Quarantined { seq_nr, reason, .. } = error else { panic!("{}: {error:?}", A::NAME) };
    (seq_nr, reason.to_string())
}

#[tokio::test]
async fn a_fold_that_follows_the_order_of_a_map_is_found_with_its_record() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let ranks = system.get::<Ranks>("r");
    for name in ["ada", "bo", "cy", "di", "ed", "flo"] {
        ranks.score(name.to_owned()).await.unwrap();
    }
    ranks.list().await.unwrap();
    for name in ["gus", "hal", "ivo", "joe"] {
        ranks.score(name.to_owned()).await.unwrap();
    }
    system.shutdown().await.unwrap();
    let look = async |system: &System| system.get::<Ranks>("r").list().await.unwrap_err();
    let (seq_nr, reason) = quarantined::<Ranks>(&journal, look).await;
    assert_eq!(seq_nr, SeqNr(7));
    assert!(reason.contains("two folds of the same records differ on this one, event `listed` in `order`"), "{reason}");
    // Who doesn't look doesn't find it.
    let system = System::builder().start(journal.reopen()).unwrap();
    system.get::<Ranks>("r").list().await.unwrap();
}

#[tokio::test]
async fn a_fold_that_leaves_something_to_chance_is_found_with_its_record() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    for _ in 0..7 {
        system.get::<Lots>("l").draw().await.unwrap();
    }
    system.shutdown().await.unwrap();
    let (seq_nr, reason) =
        quarantined::<Lots>(&journal, async |system: &System| system.get::<Lots>("l").draw().await.unwrap_err()).await;
    assert_eq!(seq_nr, SeqNr(4));
    assert!(reason.contains("event `drew` in `winner`") && reason.contains("a random number"), "{reason}");
}

mod changed {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
    pub struct Tally {
        total: u64,
    }

    #[aggregate(name = "tally", snapshot(every = 10))]
    impl Tally {
        #[event]
        fn counted(&mut self, by: u64) {
            self.total += 2 * by;
        }

        #[command]
        fn count(&self, by: u64) -> Step {
            applying(TallyEvent::Counted { by })
        }

        #[query]
        fn total(&self) -> u64 {
            self.total
        }
    }
}

#[tokio::test]
async fn a_fold_that_was_changed_since_the_snapshot_is_found_and_says_what_to_do() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    for _ in 0..4 {
        system.get::<kept::Tally>("a").count(1).await.unwrap();
    }
    system.shutdown().await.unwrap();
    let look = async |system: &System| system.get::<changed::Tally>("a").total().await.unwrap_err();
    let (seq_nr, reason) = quarantined::<changed::Tally>(&journal, look).await;
    assert_eq!(seq_nr, SeqNr(3));
    assert!(reason.contains("the snapshot at 3 differs from a fold of the records in `total`"), "{reason}");
    assert!(reason.contains("raise the `version` in `#[snapshot(..)]`"), "{reason}");
}

/// A clock that moves on between two systems only.
static HOURS: AtomicU64 = AtomicU64::new(1);

#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Stamp {
    hour: u64,
}

#[aggregate(snapshot(every = 2))]
impl Stamp {
    #[event]
    fn stamped(&mut self) {
        self.hour = HOURS.load(Ordering::SeqCst);
    }

    #[command]
    fn stamp(&self) -> Step {
        applying(StampEvent::Stamped)
    }
}

#[tokio::test]
async fn a_fold_that_reads_a_slow_clock_is_found_and_the_reason_says_that_it_may_be_one() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    for _ in 0..3 {
        system.get::<Stamp>("s").stamp().await.unwrap();
    }
    system.shutdown().await.unwrap();
    HOURS.store(2, Ordering::SeqCst);
    let look = async |system: &System| system.get::<Stamp>("s").stamp().await.unwrap_err();
    let (seq_nr, reason) = quarantined::<Stamp>(&journal, look).await;
    assert_eq!(seq_nr, SeqNr(2));
    assert!(reason.contains("the snapshot at 2 differs from a fold of the records in `hour`"), "{reason}");
    assert!(reason.contains("raise the `version`") && reason.contains("such as a clock"), "{reason}");
}

mod kept {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
    pub struct Tally {
        total: u64,
    }

    #[aggregate(name = "tally", snapshot(every = 3))]
    impl Tally {
        #[event]
        fn counted(&mut self, by: u64) {
            self.total += by;
        }

        #[command]
        fn count(&self, by: u64) -> Step {
            applying(TallyEvent::Counted { by })
        }
    }
}

#[tokio::test]
async fn sets_give_no_false_alarm_even_where_older_records_are_deleted() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    for entity in 0..20 {
        let bag = system.get::<Bag>(format!("bag {entity}"));
        for number in 0..12 {
            bag.add(format!("{}{number}", if number % 2 == 0 { "a" } else { "b" })).await.unwrap();
        }
    }
    system.shutdown().await.unwrap();
    assert!(system.stats().records_deleted > 0);
    let system = System::builder().verify_snapshots(true).start(journal.reopen()).unwrap();
    for entity in 0..20 {
        assert_eq!(system.get::<Bag>(format!("bag {entity}")).size().await.unwrap(), 12);
    }
    assert_eq!(system.stats().snapshots_unusable, 0);
}

#[tokio::test]
async fn what_is_right_is_loaded_as_without_a_look() {
    let shop = Shop::new();
    shop.count("a", 25).await;
    let shop = shop.restarted_with(|builder| builder.verify_snapshots(true)).await;
    assert_eq!(shop.tally("a").total().await.unwrap(), 25);
    assert_eq!((shop.system.stats().events_replayed, shop.system.stats().quarantines), (5, 0));
}

#[test]
#[should_panic(
    expected = "at sequence number 7, event `listed`, the data differs in `order` from a second fold of the same events"
)]
fn a_bench_finds_a_fold_that_follows_the_order_of_a_map() {
    let ranks = given::<Ranks>([]);
    for name in ["ada", "bo", "cy", "di", "ed", "flo"] {
        ranks.when(|ranks| ranks.score(name.to_owned())).then_ok();
    }
    ranks.when(|ranks| ranks.list()).then_ok();
}

#[test]
#[should_panic(expected = "at sequence number 4, event `drew`, the data differs in `winner`")]
fn a_bench_finds_it_in_what_was_given_too() {
    drop(given::<Lots>([LotsEvent::Drew, LotsEvent::Drew, LotsEvent::Drew, LotsEvent::Drew]));
}

/// Draws a lot, and does much else afterwards.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Busy {
    lot: u64,
    done: u64,
}

#[fsm(states(initial Idle, terminal Working))]
impl Busy {
    #[event]
    fn drew(&mut self) {
        self.lot = RandomState::new().build_hasher().finish();
    }

    #[event]
    fn worked(&mut self) {
        self.done += 1;
    }

    #[on(Idle => Working)]
    fn draw(&self) -> Step {
        goto(Working).applying(BusyEvent::Drew)
    }

    #[on(Idle => Working)]
    fn draw_late(&self) -> Step {
        goto(Working).applying([BusyEvent::Worked, BusyEvent::Drew, BusyEvent::Worked])
    }
}

#[test]
#[should_panic(expected = "at sequence number 1, event `drew`, the data differs in `lot`")]
fn a_bench_names_the_first_of_the_given_events_at_which_folds_differ() {
    let mut events = vec![BusyEvent::Drew];
    events.resize(30, BusyEvent::Worked);
    drop(given::<Busy>(events));
}

#[test]
#[should_panic(expected = "at sequence number 12, event `drew`, the data differs in `lot`")]
fn a_bench_names_the_event_of_a_step_and_not_where_the_step_leads() {
    let busy = given::<Busy>(vec![BusyEvent::Worked; 11]);
    busy.when(|busy| busy.draw()).then_ok();
}

#[test]
#[should_panic(expected = "at one of the sequence numbers 12 to 14 the data differs in `lot`")]
fn a_bench_says_between_which_events_of_a_step_folds_differ() {
    let busy = given::<Busy>(vec![BusyEvent::Worked; 11]);
    busy.when(|busy| busy.draw_late()).then_ok();
}

/// Forgets in a snapshot what the fold needs.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Forgetful {
    sum: u64,
    #[serde(skip)]
    #[snapshot(skip)]
    step: u64,
}

#[aggregate(snapshot)]
impl Forgetful {
    #[event]
    fn stepped(&mut self) {
        self.step += 1;
        self.sum += self.step;
    }

    #[command]
    fn step(&self) -> Step {
        applying(ForgetfulEvent::Stepped)
    }
}

#[test]
#[should_panic(expected = "at sequence number 2, event `stepped`, the data differs in `sum`")]
fn a_bench_finds_what_a_snapshot_does_not_hold() {
    let forgetful = given::<Forgetful>([]);
    forgetful.when(|forgetful| forgetful.step()).then_ok();
    forgetful.when(|forgetful| forgetful.step()).then_ok();
}

/// Has something in it that is lost when it is written.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, Snapshot)]
pub struct Leaky {
    seen: u64,
    answers: Vec<Answer>,
    ratio: f64,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    number: Option<Option<u8>>,
    #[serde(skip)]
    hint: u8,
}

#[aggregate(snapshot(every = 3, keep = 1))]
impl Leaky {
    #[event]
    fn answered(&mut self, number: u8) {
        self.seen += 1;
        let number = (number != 0).then_some((number != 1).then_some(number));
        self.answers.push(Answer { number, hint: 0 });
    }

    #[event]
    fn hinted(&mut self) {
        self.answers.push(Answer { number: None, hint: 7 });
    }

    #[event]
    fn measured(&mut self) {
        self.ratio = f64::NAN;
    }

    #[command]
    fn answer(&self, number: u8) -> Step {
        applying(LeakyEvent::Answered { number })
    }

    #[command]
    fn hint(&self) -> Step {
        applying(LeakyEvent::Hinted)
    }

    #[command]
    fn measure(&self) -> Step {
        applying(LeakyEvent::Measured)
    }

    #[query]
    fn answers(&self) -> Vec<Answer> {
        self.answers.clone()
    }
}

#[test]
#[should_panic(
    expected = "at sequence number 3, event `answered`, the data is other data once it was written into a snapshot"
)]
fn a_bench_finds_what_is_lost_within_data_that_can_be_compared() {
    let leaky = given::<Leaky>([]);
    leaky.when(|leaky| leaky.answer(0)).then_ok();
    leaky.when(|leaky| leaky.answer(2)).then_ok();
    leaky.when(|leaky| leaky.answer(1)).then_ok();
}

#[test]
#[should_panic(
    expected = "at sequence number 1, event `hinted`, the data is other data once it was written into a snapshot"
)]
fn a_bench_finds_a_skipped_field_within_a_type_of_the_data() {
    given::<Leaky>([]).when(|leaky| leaky.hint()).then_ok();
}

#[test]
fn what_is_not_equal_to_itself_raises_no_alarm() {
    let leaky = given::<Leaky>([]);
    leaky.when(|leaky| leaky.measure()).then_ok();
    leaky.when(|leaky| leaky.answer(2)).then_ok();
}

#[tokio::test]
async fn what_is_lost_within_data_that_can_be_compared_is_found_when_it_is_loaded() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    for number in [2, 1, 0] {
        system.get::<Leaky>("leaks").answer(number).await.unwrap();
        system.get::<Leaky>("holds").answer(2 * number).await.unwrap();
        system.get::<Leaky>("measures").measure().await.unwrap();
    }
    system.shutdown().await.unwrap();
    assert_eq!(system.stats().snapshots_saved, 3);
    let look = async |system: &System| {
        assert_eq!(system.get::<Leaky>("holds").answers().await.unwrap().len(), 3);
        assert!(system.get::<Leaky>("measures").answers().await.unwrap().is_empty());
        system.get::<Leaky>("leaks").answers().await.unwrap_err()
    };
    let (seq_nr, reason) = quarantined::<Leaky>(&journal, look).await;
    assert_eq!(seq_nr, SeqNr(3));
    assert!(reason.contains("the snapshot at 3 is read as other data than a fold of the records comes to"), "{reason}");
}

#[test]
fn a_bench_raises_no_false_alarm_about_sets() {
    for _ in 0..50 {
        let bag = given::<Bag>([]);
        for thing in ["a1", "a2", "b1"] {
            bag.when(|bag| bag.add(thing.to_owned())).then_ok();
        }
        assert_eq!(bag.when(|bag| bag.snapshot()).result().as_ref().unwrap().seq_nr, SeqNr(3));
    }
}

#[tokio::test]
async fn what_a_snapshot_does_not_hold_is_found_where_the_fold_needs_it() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let forgetful = system.get::<Forgetful>("f");
    for _ in 0..3 {
        forgetful.step().await.unwrap();
    }
    forgetful.snapshot().await.unwrap();
    forgetful.step().await.unwrap();
    system.shutdown().await.unwrap();
    let look = async |system: &System| system.get::<Forgetful>("f").step().await.unwrap_err();
    let (seq_nr, reason) = quarantined::<Forgetful>(&journal, look).await;
    assert_eq!(seq_nr, SeqNr(4));
    assert!(reason.contains("in `sum`") && reason.contains("snapshot at 3"), "{reason}");
}
