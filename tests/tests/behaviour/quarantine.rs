//! A stream that can't be read stops its own entity, and says where.

use std::sync::Arc;
use std::time::Duration;

use annals::journal::{MemoryJournal, ReadError};
use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{SeqNr, Timestamp};

/// The program of tomorrow, which writes an event that today's doesn't know.
mod tomorrow {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Lamp {
        switched: u64,
    }

    #[aggregate]
    impl Lamp {
        #[event]
        fn switched(&mut self) {
            self.switched += 1;
        }

        #[event]
        fn dimmed(&mut self, percent: u8) {
            let _ = percent;
        }

        #[event(version = 2, upcast(1 => ColourV1))]
        fn coloured(&mut self, red: u8) {
            let _ = red;
        }

        #[command]
        fn switch(&self) -> Step {
            applying(LampEvent::Switched)
        }

        #[command]
        fn dim(&self, percent: u8) -> Step {
            applying(LampEvent::Dimmed { percent })
        }

        #[command]
        fn colour(&self, red: u8) -> Step {
            applying(LampEvent::Coloured { red })
        }
    }

    #[derive(Deserialize)]
    pub struct ColourV1 {}

    impl From<ColourV1> for LampEvent {
        fn from(_: ColourV1) -> Self {
            LampEvent::Coloured { red: 0 }
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lamp {
    pub(crate) switched: u64,
}

#[aggregate]
impl Lamp {
    #[event]
    fn switched(&mut self) {
        self.switched += 1;
    }

    #[event]
    fn coloured(&mut self) {}

    #[command]
    fn switch(&self) -> Step {
        applying(LampEvent::Switched)
    }

    #[query]
    fn count(&self) -> u64 {
        self.switched
    }
}

/// A hall that was dimmed, an attic in colour and a cellar as today's program knows them.
pub(crate) async fn written_tomorrow() -> MemoryJournal {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let hall = system.get::<tomorrow::Lamp>("hall");
    hall.switch().await.unwrap();
    hall.dim(30).await.unwrap();
    system.get::<tomorrow::Lamp>("attic").colour(255).await.unwrap();
    system.get::<tomorrow::Lamp>("cellar").switch().await.unwrap();
    system.shutdown().await.unwrap();
    journal.reopen()
}

#[tokio::test]
async fn an_unknown_event_quarantines_its_entity_with_the_position() {
    let system = System::builder().start(written_tomorrow().await).unwrap();
    let error = system.get::<Lamp>("hall").count().await.unwrap_err();
    let CallError::Quarantined { seq_nr, reason, .. } = error else { panic!("{error:?}") };
    assert_eq!(seq_nr, SeqNr(2));
    assert!(reason.contains("no event is stored as `dimmed`"), "{reason}");
    assert_eq!(system.get::<Lamp>("cellar").count().await.unwrap(), 1, "others go on");
}

#[tokio::test]
async fn a_newer_version_quarantines_its_entity() {
    let system = System::builder().start(written_tomorrow().await).unwrap();
    let error = system.get::<Lamp>("attic").switch().await.unwrap_err();
    let CallError::Quarantined { seq_nr, reason, .. } = error else { panic!("{error:?}") };
    assert_eq!(seq_nr, SeqNr(1));
    assert!(
        reason.contains("`coloured` is stored in version 2, and this program knows it up to version 1"),
        "{reason}"
    );
}

#[tokio::test]
async fn attempts_to_load_back_off_and_succeed_when_the_cause_is_gone() {
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let journal = MemoryJournal::new();
    let system = System::builder().clock(clock.clone()).start(journal.clone()).unwrap();
    let broken = ReadError::Engine { what: "a row".to_owned(), error: Arc::from("the disk is gone") };
    journal.faults().fail_reads(broken);
    let hall = system.get::<Lamp>("hall");
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let error = hall.count().await.unwrap_err();
        let CallError::Quarantined { retry_at, reason, .. } = error else { panic!("{error:?}") };
        assert!(reason.contains("the disk is gone"), "{reason}");
        let again = hall.count().await.unwrap_err();
        assert!(matches!(again, CallError::Quarantined { retry_at: at, .. } if at == retry_at), "{again:?}");
        pauses.push(retry_at.duration_since(annals::Clock::now(&clock)).as_secs());
        clock.set(retry_at);
    }
    assert_eq!(system.stats().quarantines, 12, "only calls after the pause make an attempt");
    assert!(pauses.is_sorted() && pauses[0] < 2 && (300..=375).contains(&pauses[11]), "{pauses:?}");
    journal.faults().heal_reads();
    clock.advance(Duration::ZERO);
    assert_eq!(hall.count().await.unwrap(), 0);
}
