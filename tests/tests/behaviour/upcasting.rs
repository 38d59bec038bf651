//! Events of the first version, read by the program of the third: each step is taken once for each event.

use std::sync::atomic::{AtomicU64, Ordering};

use annals::System;
use annals::journal::MemoryJournal;

const EVENTS: u64 = 3_000;

static FIRST_STEPS: AtomicU64 = AtomicU64::new(0);
static SECOND_STEPS: AtomicU64 = AtomicU64::new(0);
static FOLDS: AtomicU64 = AtomicU64::new(0);

mod first {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Basket {
        pub items: u64,
    }

    #[aggregate]
    impl Basket {
        #[event]
        fn added(&mut self, count: u64) {
            self.items += count;
        }

        #[command]
        fn add(&self, count: u64) -> Step {
            applying(BasketEvent::Added { count })
        }
    }
}

mod third {
    use std::sync::atomic::Ordering;

    use annals::prelude::*;

    use super::{FIRST_STEPS, FOLDS, SECOND_STEPS};

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Basket {
        pub grams: u64,
    }

    #[derive(Deserialize)]
    pub struct AddedV1 {
        count: u64,
    }

    #[derive(Deserialize)]
    pub struct AddedV2 {
        kilograms: u64,
    }

    impl From<AddedV1> for AddedV2 {
        fn from(old: AddedV1) -> Self {
            FIRST_STEPS.fetch_add(1, Ordering::Relaxed);
            AddedV2 { kilograms: old.count }
        }
    }

    impl From<AddedV2> for BasketEvent {
        fn from(old: AddedV2) -> Self {
            SECOND_STEPS.fetch_add(1, Ordering::Relaxed);
            BasketEvent::Added { grams: old.kilograms * 1_000 }
        }
    }

    #[aggregate]
    impl Basket {
        #[event(version = 3, upcast(1 => AddedV1, 2 => AddedV2))]
        fn added(&mut self, grams: u64) {
            FOLDS.fetch_add(1, Ordering::Relaxed);
            self.grams += grams;
        }

        #[command]
        fn add(&self, grams: u64) -> Step {
            applying(BasketEvent::Added { grams })
        }

        #[query]
        fn grams(&self) -> u64 {
            self.grams
        }
    }
}

#[tokio::test]
async fn each_old_event_is_brought_up_to_date_once_for_each_load() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let basket = system.get::<first::Basket>("b");
    for _ in 0..EVENTS {
        basket.add(1).tell().await.unwrap();
    }
    system.shutdown().await.unwrap();
    for load in 1..=2 {
        let system = System::builder().start(journal.reopen()).unwrap();
        assert_eq!(system.get::<third::Basket>("b").grams().await.unwrap(), EVENTS * 1_000);
        for steps in [&FIRST_STEPS, &SECOND_STEPS, &FOLDS] {
            assert_eq!(steps.load(Ordering::Relaxed), load * EVENTS);
        }
        system.shutdown().await.unwrap();
    }
}
