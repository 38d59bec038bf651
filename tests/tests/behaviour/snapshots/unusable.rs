//! Snapshots that another version of the program has taken.

use annals::System;
use annals::journal::MemoryJournal;
/// The program that has taken the snapshots.
mod before {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
    pub struct Stock {
        count: u64,
    }

    #[aggregate(name = "stock", snapshot(every = 5))]
    impl Stock {
        #[event]
        fn added(&mut self) {
            self.count += 1;
        }

        #[command]
        fn add(&self) -> Step {
            applying(StockEvent::Added)
        }
    }

    #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
    pub struct Door {
        uses: u64,
    }

    #[fsm(name = "door", states(initial Shut, Open), snapshot(every = 2))]
    impl Door {
        #[on(Shut => Open)]
        fn open(&self) -> Step {
            goto(Open)
        }

        #[on(Open => Shut)]
        fn shut(&self) -> Step {
            goto(Shut)
        }
    }
}

/// A program of the stock with other data.
macro_rules! program {
    ($module:ident, { $($data:item)+ }, $count:expr) => {
        mod $module {
            use annals::prelude::*;

            $($data)+

            #[aggregate(name = "stock", snapshot(every = 5))]
            impl Stock {
                #[event]
                fn added(&mut self) {
                    self.count += 1;
                }

                #[command]
                fn add(&self) -> Step {
                    applying(StockEvent::Added)
                }

                #[query]
                fn count(&self) -> (u64, u64) {
                    let count: fn(&Stock) -> (u64, u64) = $count;
                    count(self)
                }
            }
        }
    };
}

program!(
    upcast,
    {
        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        #[snapshot(version = 2, upcast(1 => StockV1))]
        pub struct Stock {
            count: u64,
            from_snapshot: u64,
        }
        #[derive(Deserialize)]
        struct StockV1 {
            count: u64,
        }
        impl From<StockV1> for Stock {
            fn from(StockV1 { count }: StockV1) -> Self {
                Self { count, from_snapshot: count }
            }
        }
    },
    |stock| (stock.count, stock.from_snapshot)
);

program!(
    without_upcast,
    {
        #[derive(Debug, Default, Serialize, Deserialize)]
        pub struct Stock {
            count: u64,
        }
        // The derive insists on an upcast.
        impl Snapshot for Stock {
            const VERSION: u32 = 2;
            const FIELDS: &'static [annals::Field] = &[];
            fn upcast(version: u32, _: annals::Payload<'_>) -> Result<Self, annals::DecodeError> {
                Err(annals::DecodeError::NoSnapshotUpcast { version, known: 2 })
            }
        }
    },
    |stock| (stock.count, 0)
);

program!(
    other_fields,
    {
        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        pub struct Stock {
            count: u64,
            #[serde(default)]
            colour: Option<String>,
        }
    },
    |stock| (stock.count, u64::from(stock.colour.is_some()))
);

program!(
    panicking,
    {
        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        #[snapshot(version = 2, upcast(1 => StockV1))]
        pub struct Stock {
            count: u64,
        }
        #[derive(Deserialize)]
        struct StockV1 {}
        impl From<StockV1> for Stock {
            fn from(_: StockV1) -> Self {
                panic!("that was never tried");
            }
        }
    },
    |stock| (stock.count, 0)
);

program!(
    same_fields_other_shape,
    {
        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        pub struct Stock {
            #[serde(rename = "amount")]
            count: u64,
        }
    },
    |stock| (stock.count, 0)
);

async fn written_before() -> MemoryJournal {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    for _ in 0..7 {
        system.get::<before::Stock>("s").add().await.unwrap();
    }
    system.get::<before::Door>("d").open().await.unwrap();
    system.get::<before::Door>("d").shut().await.unwrap();
    system.get::<before::Door>("d").open().await.unwrap();
    system.get::<before::Door>("d").shut().await.unwrap();
    system.get::<before::Door>("d").open().await.unwrap();
    system.shutdown().await.unwrap();
    assert_eq!(system.stats().snapshots_saved, 3);
    journal.reopen()
}

#[tokio::test]
async fn an_older_version_is_taken_further() {
    let system = System::builder().start(written_before().await).unwrap();
    assert_eq!(system.get::<upcast::Stock>("s").count().await.unwrap(), (7, 5));
    let stats = system.stats();
    assert_eq!((stats.events_replayed, stats.snapshots_unusable), (2, 0));
}

#[tokio::test]
async fn what_does_not_fit_the_program_is_set_aside() {
    let journal = written_before().await;
    let start = || System::builder().start(journal.reopen()).unwrap();
    let check = |system: &System, what: &str| {
        let stats = system.stats();
        assert_eq!((stats.events_replayed, stats.snapshots_unusable), (7, 1), "{what}");
    };
    let system = start();
    assert_eq!(system.get::<without_upcast::Stock>("s").count().await.unwrap(), (7, 0));
    check(&system, "without upcast");
    let system = start();
    assert_eq!(system.get::<other_fields::Stock>("s").count().await.unwrap(), (7, 0));
    check(&system, "other fields in the same version");
    let system = start();
    assert_eq!(system.get::<panicking::Stock>("s").count().await.unwrap(), (7, 0));
    check(&system, "an upcast that panics");
    let system = start();
    assert_eq!(system.get::<same_fields_other_shape::Stock>("s").count().await.unwrap(), (7, 0));
    check(&system, "a payload that can't be read");
}

#[tokio::test]
async fn a_newer_version_is_set_aside() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let stock = system.get::<newer::Stock>("s");
    for _ in 0..7 {
        stock.add().await.unwrap();
    }
    system.shutdown().await.unwrap();
    let system = System::builder().start(journal.reopen()).unwrap();
    assert_eq!(system.get::<other_fields::Stock>("s").count().await.unwrap(), (7, 0));
    let stats = system.stats();
    assert_eq!((stats.events_replayed, stats.snapshots_unusable), (7, 1));
}

mod newer {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Stock {
        count: u64,
    }

    impl Snapshot for Stock {
        const VERSION: u32 = 3;
        const FIELDS: &'static [annals::Field] = &[];

        fn upcast(version: u32, _: annals::Payload<'_>) -> Result<Self, annals::DecodeError> {
            Err(annals::DecodeError::NoSnapshotUpcast { version, known: 3 })
        }
    }

    #[aggregate(name = "stock", snapshot(every = 5))]
    impl Stock {
        #[event]
        fn added(&mut self) {
            self.count += 1;
        }

        #[command]
        fn add(&self) -> Step {
            applying(StockEvent::Added)
        }
    }
}

/// The door with another name for a state, and without one.
mod doors {
    pub mod renamed {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        pub struct Door {
            uses: u64,
        }

        #[fsm(name = "door", states(initial Closed was("Shut"), Open), snapshot(every = 2))]
        impl Door {
            #[on(Closed => Open)]
            fn open(&self) -> Step {
                goto(Open)
            }

            #[on(Open => Closed)]
            fn close(&self) -> Step {
                goto(Closed)
            }
        }
    }

    pub mod without {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        pub struct Door {
            uses: u64,
        }

        #[fsm(name = "door", states(initial Locked, Open), snapshot(every = 2))]
        impl Door {
            #[on(Locked => Open)]
            fn unlock(&self) -> Step {
                goto(Open)
            }

            #[on(Open => Locked)]
            fn lock(&self) -> Step {
                goto(Locked)
            }
        }
    }
}

#[tokio::test]
async fn a_state_is_found_under_its_older_name() {
    let system = System::builder().start(written_before().await).unwrap();
    let door = system.get::<doors::renamed::Door>("d");
    assert_eq!(door.state().await.unwrap(), doors::renamed::DoorState::Open);
    door.close().await.unwrap();
    let stats = system.stats();
    assert_eq!((stats.events_replayed, stats.snapshots_unusable), (1, 0), "the snapshot at 4 stands in `Shut`");
}

#[tokio::test]
async fn a_snapshot_in_a_state_that_is_gone_is_set_aside() {
    let system = System::builder().start(written_before().await).unwrap();
    let door = system.get::<doors::without::Door>("d");
    assert_eq!(door.state().await.unwrap(), doors::without::DoorState::Open);
    let stats = system.stats();
    assert_eq!((stats.events_replayed, stats.snapshots_unusable), (5, 2));
}
