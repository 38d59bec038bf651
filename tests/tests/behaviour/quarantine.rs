//! A stream that can't be read stops its own entity, and says where.

use std::sync::Arc;
use std::time::Duration;

use annals::journal::{MemoryJournal, ReadError};
use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{DecodeError, ReplayError, SeqNr, Timestamp};

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
    assert!(pauses[..8].is_sorted() && pauses[0] <= 1 && (225..=300).contains(&pauses[11]), "{pauses:?}");
    journal.faults().heal_reads();
    clock.advance(Duration::ZERO);
    assert_eq!(hall.count().await.unwrap(), 0);
}

/// The program that has stored events in older versions.
mod yesterday {
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
        fn faded(&mut self, percent: String) {
            let _ = percent;
        }

        #[event]
        fn warmed(&mut self, kelvin: u32) {
            let _ = kelvin;
        }

        #[event]
        fn blinked(&mut self) {}

        #[event]
        fn dusted(&mut self, by: String) {
            drop(by);
        }

        #[command]
        fn fade(&self) -> Step {
            applying([LampEvent::Switched, LampEvent::Faded { percent: "half".to_owned() }])
        }

        #[command]
        fn warm(&self) -> Step {
            applying([LampEvent::Switched, LampEvent::Warmed { kelvin: 2_700 }])
        }

        #[command]
        fn blink(&self) -> Step {
            applying([LampEvent::Switched, LampEvent::Blinked])
        }

        #[command]
        fn dust(&self) -> Step {
            applying([LampEvent::Switched, LampEvent::Dusted { by: "a broom".to_owned() }, LampEvent::Switched])
        }
    }
}

/// The program of today, which doesn't get along with all of them.
mod today {
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
        fn faded(&mut self, percent: u8) {
            let _ = percent;
        }

        #[event(version = 3, upcast(1 => WarmedV1, 2 => WarmedV2))]
        fn warmed(&mut self, kelvin: u32) {
            let _ = kelvin;
        }

        #[event]
        fn blinked(&mut self) {
            panic!("blinking is over");
        }

        // What is stored of it can't be read any more, and isn't.
        #[event(ignored_since = "2.0")]
        fn dusted(&mut self, percent: u8) {}

        #[command]
        #[expect(deprecated, reason = "it is ignored, and the test shows what comes of it")]
        fn dust(&self) -> Step {
            applying([LampEvent::Switched, LampEvent::Dusted { percent: 100 }])
        }

        #[query]
        fn count(&self) -> u64 {
            self.switched
        }
    }

    #[derive(Deserialize)]
    pub struct WarmedV1 {
        kelvin: u32,
    }

    #[derive(Deserialize)]
    pub struct WarmedV2 {
        kelvin: u32,
    }

    impl From<WarmedV1> for WarmedV2 {
        fn from(WarmedV1 { kelvin }: WarmedV1) -> Self {
            assert!(kelvin > 3_000, "too warm for this upcast");
            Self { kelvin }
        }
    }

    impl From<WarmedV2> for LampEvent {
        fn from(WarmedV2 { kelvin }: WarmedV2) -> Self {
            LampEvent::Warmed { kelvin }
        }
    }
}

/// A program with events by hand, which doesn't read all of the versions that it once wrote.
mod by_hand {
    use annals::prelude::*;
    use annals::{DecodeError, EventVariant, Payload};

    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
    pub enum LampEvent {
        Switched,
        Warmed { kelvin: u32 },
    }

    impl Event for LampEvent {
        const VARIANTS: &'static [EventVariant] = &[
            EventVariant { name: "switched", was: &[], version: 1, ignored_since: None, fields: &[] },
            EventVariant { name: "warmed", was: &[], version: 2, ignored_since: None, fields: &[] },
        ];

        fn upcast(variant: usize, version: u32, _: Payload<'_>) -> Result<Self, DecodeError> {
            Err(DecodeError::NoUpcast { name: Self::VARIANTS[variant].name.to_owned(), version })
        }
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Lamp {
        switched: u64,
    }

    #[aggregate(event = LampEvent)]
    impl Lamp {
        fn apply(&mut self, event: LampEvent) {
            match event {
                LampEvent::Switched => self.switched += 1,
                LampEvent::Warmed { kelvin } => self.switched += u64::from(kelvin),
            }
        }

        #[command]
        fn switch(&self) -> Step {
            applying([LampEvent::Switched, LampEvent::Warmed { kelvin: 0 }])
        }

        #[query]
        fn count(&self) -> u64 {
            self.switched
        }
    }
}

#[tokio::test]
async fn a_version_without_an_upcast_quarantines_its_entity() {
    let system = System::builder().start(written_yesterday().await).unwrap();
    let error = system.get::<by_hand::Lamp>("warmed").count().await.unwrap_err();
    let CallError::Quarantined { seq_nr, reason, .. } = error else { panic!("{error:?}") };
    assert_eq!(seq_nr, SeqNr(2));
    assert!(reason.contains("`warmed` is stored in version 1, from which there is no upcast"), "{reason}");
    let error = system.replay::<by_hand::Lamp>("warmed").await.unwrap_err();
    let ReplayError::Undecodable { error: DecodeError::NoUpcast { name, version }, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((name.as_str(), *version), ("warmed", 1));
    let other = system.get::<by_hand::Lamp>("other");
    other.switch().await.unwrap();
    assert_eq!(other.count().await.unwrap(), 1);
}

async fn written_yesterday() -> MemoryJournal {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let lamp = |id: &str| system.get::<yesterday::Lamp>(id);
    lamp("faded").fade().await.unwrap();
    lamp("warmed").warm().await.unwrap();
    lamp("blinked").blink().await.unwrap();
    lamp("dusted").dust().await.unwrap();
    system.shutdown().await.unwrap();
    journal.reopen()
}

#[tokio::test]
async fn the_reason_names_the_stored_event_its_version_and_its_number() {
    let system = System::builder().start(written_yesterday().await).unwrap();
    for (id, parts) in [
        ("faded", ["event `faded` in version 1", "a MessagePack payload of 14 bytes can't be read"]),
        ("warmed", ["event `warmed` in version 1", "made the replay panic: too warm for this upcast"]),
        ("blinked", ["event `blinked` in version 1", "made the replay panic: blinking is over"]),
    ] {
        let error = system.get::<today::Lamp>(id).count().await.unwrap_err();
        let CallError::Quarantined { seq_nr, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*seq_nr, SeqNr(2), "{id}");
        let told = error.to_string();
        assert!(
            told.contains("quarantined at sequence number 2") && parts.iter().all(|part| told.contains(part)),
            "{told}"
        );
    }
    let system = System::builder().start(written_tomorrow().await).unwrap();
    for (id, parts) in [
        ("hall", ["event `dimmed` in version 1", "quarantined at sequence number 2"]),
        ("attic", ["event `coloured` in version 2", "quarantined at sequence number 1"]),
    ] {
        let told = system.get::<Lamp>(id).count().await.unwrap_err().to_string();
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
}

#[tokio::test]
async fn an_event_that_is_ignored_by_now_is_skipped_where_it_is_stored_and_refused_where_it_is_new() {
    let system = System::builder().start(written_yesterday().await).unwrap();
    let lamp = system.get::<today::Lamp>("dusted");
    assert_eq!(lamp.count().await.unwrap(), 2);
    let error = lamp.dust().await.unwrap_err();
    let CallError::NotStored { why: annals::NotStored::Event { event, error: why }, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*event, why), ("dusted", &annals::EncodeError::Ignored { since: "2.0" }));
    assert!(error.to_string().contains("event `dusted` was refused: it is ignored since 2.0"), "{error}");
    assert_eq!(lamp.count().await.unwrap(), 2, "nothing of the step was stored");

    #[expect(deprecated, reason = "it is ignored, and the test shows what comes of it")]
    let dusted = today::LampEvent::Dusted { percent: 100 };
    let bench = annals::testing::given::<today::Lamp>([today::LampEvent::Switched, dusted]);
    let then = bench.attempt(|lamp| lamp.dust());
    assert!(matches!(then.result(), Err(CallError::NotStored { .. })));
    bench.when(|lamp| lamp.count()).then_reply(1);
}
