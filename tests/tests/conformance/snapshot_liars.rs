//! Stores of snapshots that lie: each is caught by a case.

use std::panic::{AssertUnwindSafe, catch_unwind};

use annals::journal::{Durability, Fut};
use annals::snapshot::{Criteria, MemorySnapshots, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use annals::testing::conformance::block_on;
use annals::testing::conformance::snapshots::{CASES, SnapshotPlace};
use annals::{EntityId, PersistenceId, SeqNr};

/// What a store does otherwise than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Nothing.
    None,
    LosesAllWhenOpenedAgain,
    LosesTheLastInACrash,
    KeepsTheOldOne,
    ListsTheLowestFirst,
    ListsWhatWasDeleted,
    LoadsTheLowest,
    TakesNoNoticeOfTimes,
    CountsOneTooMany,
    DeletesOthersToo,
    ChangesAByte,
    CutsTheEnd,
    BeginsBeforeItIsPolled,
    MixesCases,
    TakesAnyId,
    TakesLessThanItSays,
    KeepsOtherTimes,
}

/// What each lie is caught by.
const CAUGHT: &[(Lie, &str)] = &[
    (Lie::LosesAllWhenOpenedAgain, "what_is_saved_is_loaded_also_after_reopening"),
    (Lie::LosesTheLastInACrash, "what_is_saved_survives_a_crash"),
    (Lie::KeepsTheOldOne, "a_snapshot_takes_the_place_of_one_with_its_number"),
    (Lie::ListsTheLowestFirst, "they_are_listed_the_highest_first"),
    (Lie::ListsWhatWasDeleted, "one_is_deleted_and_the_others_stay"),
    (Lie::LoadsTheLowest, "criteria_choose_the_highest_that_they_allow"),
    (Lie::TakesNoNoticeOfTimes, "criteria_choose_the_highest_that_they_allow"),
    (Lie::CountsOneTooMany, "those_that_match_are_deleted_and_counted"),
    (Lie::DeletesOthersToo, "those_that_match_are_deleted_and_counted"),
    (Lie::ChangesAByte, "what_is_saved_is_loaded_also_after_reopening"),
    (Lie::CutsTheEnd, "big_snapshots_survive"),
    (Lie::BeginsBeforeItIsPolled, "what_is_not_polled_does_nothing"),
    (Lie::MixesCases, "odd_ids_are_entities_of_their_own"),
    (Lie::TakesAnyId, "an_id_that_names_no_entity_is_refused"),
    (Lie::TakesLessThanItSays, "a_snapshot_at_the_limit_is_saved_and_a_longer_one_is_not"),
    (Lie::KeepsOtherTimes, "times_are_kept_in_whole_microseconds"),
];

/// A place whose stores lie.
struct Liars {
    store: MemorySnapshots,
    lie: Lie,
}

impl Liars {
    fn new(lie: Lie) -> Self {
        Self { store: MemorySnapshots::new(), lie }
    }
}

impl SnapshotPlace for Liars {
    fn open(&self) -> Box<dyn SnapshotStore> {
        let honest = if self.lie == Lie::LosesAllWhenOpenedAgain { MemorySnapshots::new() } else { self.store.clone() };
        Box::new(Liar { honest, lie: self.lie })
    }

    fn crash(&mut self, store: Box<dyn SnapshotStore>) {
        drop(store);
        if self.lie == Lie::LosesTheLastInACrash {
            let ann = PersistenceId::new("account", "ann");
            let last = block_on(self.store.load(&ann, Criteria::LATEST)).unwrap();
            if let Some(last) = last {
                block_on(self.store.delete(&ann, last.seq_nr)).unwrap();
            }
        }
    }

    fn bytes_max(&self) -> usize {
        annals::snapshot::SNAPSHOT_BYTES_MAX + usize::from(self.lie == Lie::TakesLessThanItSays)
    }
}

/// An honest store, and what is done to what it says.
struct Liar {
    honest: MemorySnapshots,
    lie: Lie,
}

impl Liar {
    fn id(&self, id: &PersistenceId) -> PersistenceId {
        match self.lie {
            Lie::MixesCases => {
                PersistenceId::new(id.aggregate.to_lowercase(), EntityId::from(id.entity.as_str().to_lowercase()))
            }
            Lie::TakesAnyId => {
                let cut = |text: &str| format!("x{text}").chars().take(200).collect::<String>();
                PersistenceId::new(cut(&id.aggregate), EntityId::from(cut(id.entity.as_str())))
            }
            _ => id.clone(),
        }
    }

    fn criteria(&self, criteria: Criteria) -> Criteria {
        if self.lie != Lie::TakesNoNoticeOfTimes {
            return criteria;
        }
        // The highest number that it allows at any time.
        let allows = |seq_nr: &u64| {
            let snapshot = StoredSnapshot { seq_nr: SeqNr(*seq_nr), time: annals::Timestamp::MIN, bytes: vec![] };
            criteria.allows(&snapshot.meta())
        };
        (0..=100).rev().find(allows).map_or(criteria, |seq_nr| Criteria::LATEST.to_seq(SeqNr(seq_nr)))
    }
}

impl SnapshotStore for Liar {
    fn durability(&self) -> Durability {
        Durability::Os
    }

    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = self.id(id);
        if self.lie == Lie::BeginsBeforeItIsPolled {
            let saved = block_on(self.honest.save(&id, snapshot));
            return Box::pin(async move { saved });
        }
        Box::pin(async move {
            let mut snapshot = snapshot;
            match self.lie {
                Lie::KeepsTheOldOne => {
                    let same = Criteria::LATEST.to_seq(snapshot.seq_nr);
                    let there = self.honest.load(&id, same).await?;
                    if there.is_some_and(|there| there.seq_nr == snapshot.seq_nr) {
                        return Ok(());
                    }
                }
                Lie::ChangesAByte => {
                    if let Some(byte) = snapshot.bytes.last_mut() {
                        *byte ^= 1;
                    }
                }
                Lie::CutsTheEnd => snapshot.bytes.truncate(1_000_000),
                Lie::KeepsOtherTimes => {
                    snapshot.time = annals::Timestamp::from_second(snapshot.time.as_second()).unwrap();
                }
                _ => {}
            }
            self.honest.save(&id, snapshot).await
        })
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        let id = self.id(id);
        Box::pin(async move {
            let mut loaded = self.honest.load(&id, self.criteria(criteria)).await?;
            if self.lie == Lie::LoadsTheLowest {
                let listed = self.honest.list(&id).await?;
                if let Some(lowest) = listed.iter().rev().find(|meta| criteria.allows(meta)) {
                    loaded = self.honest.load(&id, Criteria::LATEST.to_seq(lowest.seq_nr)).await?;
                }
            }
            Ok(loaded)
        })
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        let id = self.id(id);
        Box::pin(async move {
            let mut listed = self.honest.list(&id).await?;
            if self.lie == Lie::ListsTheLowestFirst {
                listed.reverse();
            }
            Ok(listed)
        })
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = self.id(id);
        Box::pin(async move {
            if self.lie == Lie::ListsWhatWasDeleted {
                return Ok(());
            }
            self.honest.delete(&id, seq_nr).await
        })
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        let id = self.id(id);
        Box::pin(async move {
            if self.lie == Lie::DeletesOthersToo {
                self.honest.delete_matching(&PersistenceId::new("account", "bob"), criteria).await?;
            }
            let deleted = self.honest.delete_matching(&id, criteria).await?;
            Ok(deleted + usize::from(self.lie == Lie::CountsOneTooMany))
        })
    }
}

#[test]
fn an_honest_store_in_a_liars_clothes_passes_every_case() {
    for case in CASES {
        (case.run)(&mut Liars::new(Lie::None));
    }
}

#[test]
fn every_lie_is_caught_by_the_case_that_is_made_for_it() {
    for (lie, name) in CAUGHT {
        let case = CASES.iter().find(|case| case.name == *name).unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut Liars::new(*lie)))).err();
        let panic = panic.unwrap_or_else(|| panic!("{name} didn't catch a store that {lie:?}"));
        let failure = panic.downcast_ref::<String>().expect("a case panics with a message");
        for part in [name, "done:", "expected:", "found:", "rule: `"] {
            assert!(failure.contains(part), "{lie:?}: {part} isn't in\n{failure}");
        }
    }
}
