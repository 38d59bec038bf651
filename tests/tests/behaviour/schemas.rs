//! What is stored of an aggregate, as its code says it and as a file says it.

use std::panic::catch_unwind;
use std::path::Path;

use annals::testing::{Schema, assert_schema};
use annals_tests::{Account, Lease, Lock, golden};

#[test]
fn what_the_test_aggregates_store_is_as_the_files_say() {
    assert_schema::<Account>("schemas/account.schema");
    assert_schema::<Lock>("schemas/lock.schema");
    assert_schema::<Lease>("schemas/lease.schema");
}

#[test]
fn what_the_fixtures_hold_is_as_the_files_say() {
    assert_schema::<golden::Purse>("schemas/golden-purse.schema");
    assert_schema::<golden::Oven>("schemas/golden-oven.schema");
    assert_schema::<golden::Meter>("schemas/golden-meter.schema");
    assert_schema::<golden::Patient>("schemas/golden-patient.schema");
}

/// The door of the first version.
mod first {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize, annals::Snapshot)]
    pub struct Door {
        opened: u32,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub enum Way {
        Key { number: u16 },
        Force,
    }

    #[fsm(states(initial Shut, terminal Open), snapshot, retain = since_snapshot)]
    impl Door {
        #[event]
        fn was_opened(&mut self, way: Way, by: Vec<String>) {
            let _ = (way, by);
            self.opened += 1;
        }

        #[event]
        fn painted(&mut self, colour: String) {
            let _ = colour;
        }

        #[event]
        fn knocked(&mut self) {}

        #[on(Shut => Open)]
        fn open(&self, by: String) -> Step {
            goto(Open).applying(DoorEvent::WasOpened { way: Way::Force, by: vec![by] })
        }
    }
}

/// The door of the second version, which reads all that the first stored.
mod second {
    use annals::prelude::*;

    use super::first;

    #[derive(Debug, Default, Serialize, Deserialize, annals::Snapshot)]
    #[snapshot(version = 2, upcast(1 => DoorV1))]
    pub struct Door {
        opened: u64,
        open: bool,
    }

    #[derive(Debug, Deserialize)]
    pub struct DoorV1 {
        opened: u32,
    }

    impl From<DoorV1> for Door {
        fn from(DoorV1 { opened }: DoorV1) -> Self {
            Self { opened: opened.into(), open: false }
        }
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct PaintedV1 {
        colour: String,
    }

    impl From<PaintedV1> for DoorEvent {
        fn from(PaintedV1 { colour }: PaintedV1) -> Self {
            Self::Painted { red: 0, colour: Some(colour) }
        }
    }

    #[fsm(states(initial Closed was("Shut"), Open, terminal Bricked), snapshot, retain = since_snapshot, forgettable)]
    impl Door {
        #[event(was("was_opened"))]
        fn unlocked(&mut self, way: first::Way, by: Vec<String>, #[serde(default)] at: u64) {
            let _ = (way, by, at);
            (self.opened, self.open) = (self.opened + 1, true);
        }

        #[event(version = 2, upcast(1 => PaintedV1))]
        fn painted(&mut self, red: u8, colour: Option<String>) {
            let _ = (red, colour);
        }

        #[event(ignored_since = "2.0")]
        fn knocked(&mut self) {}

        #[on(Closed => Open)]
        fn open(&self, by: String) -> Step {
            goto(Open).applying(DoorEvent::Unlocked { way: first::Way::Force, by: vec![by], at: 0 })
        }

        #[on(Closed => Bricked)]
        fn brick_up(&self) -> Step {
            goto(Bricked)
        }

        #[after(30s, Open => Closed)]
        fn fall_shut(&self) -> Step {
            goto(Closed)
        }
    }
}

/// The door of somebody who didn't think of what is stored.
mod careless {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize, annals::Snapshot)]
    pub struct Door {
        opened: u64,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub enum Way {
        Key { number: u8 },
    }

    #[fsm(states(initial Closed, terminal Open), snapshot)]
    impl Door {
        #[event]
        fn was_opened(&mut self, way: Way, by: Vec<String>, at: u64) {
            let _ = (way, by, at);
            self.opened += 1;
        }

        #[event]
        fn coloured(&mut self, colour: String) {
            let _ = colour;
        }

        #[on(Closed => Open)]
        fn open(&self, by: String) -> Step {
            goto(Open).applying(DoorEvent::WasOpened { way: Way::Key { number: 1 }, by: vec![by], at: 0 })
        }
    }
}

/// What is told is kept in a folder of its own: the other one holds tests.
fn reviewed(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("schemas");
    settings.bind(check);
}

#[test]
fn everything_that_is_stored_is_told() {
    reviewed(|| insta::assert_snapshot!(Schema::of::<second::Door>()));
}

#[test]
fn what_reads_all_that_was_stored_breaks_nothing() {
    let changes = Schema::of::<second::Door>().changes_since(&Schema::of::<first::Door>());
    assert_eq!(changes.breaking(), [""; 0]);
    reviewed(|| insta::assert_snapshot!(changes));
}

#[test]
fn everything_that_breaks_is_told_at_once() {
    let changes = Schema::of::<careless::Door>().changes_since(&Schema::of::<first::Door>());
    reviewed(|| insta::assert_snapshot!(changes));
}

#[test]
fn a_schema_is_read_as_it_is_written() {
    for schema in [Schema::of::<second::Door>(), Schema::of::<golden::Oven>(), Schema::of::<Lease>()] {
        let text = schema.to_string();
        assert_eq!(text.parse::<Schema>().unwrap(), schema, "{text}");
        assert_eq!(schema.changes_since(&schema).to_string(), "");
    }
}

#[test]
fn what_is_not_as_the_file_says_fails_the_test() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("door.schema");
    std::fs::write(&path, Schema::of::<first::Door>().to_string()).unwrap();
    assert_schema::<first::Door>(&path);
    let message = |assert: fn(&Path)| {
        let panic = catch_unwind(|| assert(&path)).unwrap_err();
        panic.downcast_ref::<String>().unwrap().clone()
    };
    // Whatever the environment asks for, this isn't written.
    let other = message(|path| assert_schema::<Account>(path.with_file_name("no/such.schema")));
    assert!(other.contains("such.schema"), "{other}");
    if std::env::var_os("ANNALS_SCHEMA").is_none() {
        let broken = message(|path| assert_schema::<careless::Door>(path));
        assert!(broken.contains("This breaks what is stored:\n- "), "{broken}");
        let different = message(|path| assert_schema::<second::Door>(path));
        assert!(different.contains("This is different, and breaks nothing:\n- "), "{different}");
        assert_schema::<first::Door>(&path);
    }
}
