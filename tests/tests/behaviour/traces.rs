//! What an operator reads: where entities come from and go to, and never what is in them.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::journal::{Journal as _, RunError, RunView};
use annals::{Offset, System};
use annals_tests::{Account, Mood};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::until;
use crate::world::World;

/// Keeps a line for everything that is traced where it is the subscriber.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<String>>);

struct Line<'l>(&'l mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Recorder {
    fn line(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Line<'_>)) {
        let mut line = format!("{} {} {}", metadata.level(), metadata.target(), metadata.name());
        record(&mut Line(&mut line));
        writeln!(self.0.lock().unwrap(), "{line}").unwrap();
    }

    fn with(&self, text: &str) -> Vec<String> {
        self.0.lock().unwrap().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("annals")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.line(span.metadata(), |line| span.record(line));
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        self.line(event.metadata(), |line| event.record(line));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn an_operator_sees_where_entities_are_and_not_what_is_in_them() {
    let traces = Recorder::default();
    tracing::subscriber::set_global_default(traces.clone()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let idle = Duration::from_millis(100);
    let system = System::builder().idle_after(idle).open(directory.path()).await.unwrap();
    let traced = system.get::<Account>("traced\nentity");
    traced.note("the secret of the traced entity".to_owned()).await.unwrap();
    until("it is passivated", || system.stats().residents == 0).await;
    assert!(traced.crash().await.is_err());
    system.shutdown().await.unwrap();

    let of_entity = traces.with(r#"Account "traced\nentity""#);
    for what in ["recovery", "passivated"] {
        assert!(of_entity.iter().any(|line| line.contains(what)), "nothing is told of its {what}: {of_entity:?}");
    }
    assert!(!traces.with("stored a group").is_empty(), "nothing is told of commits");
    assert!(!traces.with("closed the journal").is_empty(), "nothing is told of the journal");
    assert_eq!(traces.with("the secret"), Vec::<String>::new());
}

#[tokio::test]
async fn an_operator_sees_whose_hook_panicked_and_it_harms_nothing_else() {
    let traces = Recorder::default();
    let _recording = tracing::subscriber::set_default(traces.clone());
    let world = World::new();
    let creaky = world.lease("creaky");
    creaky.take().await.unwrap();
    world.diary.full(2).await;
    assert_eq!(world.diary.lines(), ["took creaky", "entered Held, renewed 0 times"]);
    creaky.renew().await.unwrap();
    world.system.shutdown().await.unwrap();
    let told = traces.with(r#"Lease "creaky""#);
    let panics: Vec<_> = told.iter().filter(|line| line.contains("the hinge broke")).collect();
    assert_eq!(panics.len(), 1, "{told:?}");
    assert!(panics[0].starts_with("ERROR"), "{panics:?}");
}

#[tokio::test]
async fn an_operator_sees_which_deadline_fails_and_why() {
    let traces = Recorder::default();
    let _recording = tracing::subscriber::set_default(traces.clone());
    let world = World::new();
    let lease = world.lease("furious");
    lease.take_for(Duration::from_secs(1)).await.unwrap();
    lease.feel(Mood::Furious).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    world.quiet().await;
    let told = traces.with(r#"Lease "furious""#);
    assert!(told.iter().any(|line| line.starts_with("WARN") && line.contains("panicked: furious")), "{told:?}");
}

#[tokio::test]
async fn an_operator_sees_once_that_deadlines_wait_for_their_machine() {
    let traces = Recorder::default();
    let _recording = tracing::subscriber::set_default(traces.clone());
    let world = World::new();
    for number in 0..5 {
        world.lease(format!("waits {number}")).take_for(Duration::from_secs(1)).await.unwrap();
    }
    world.system.shutdown().await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let system = crate::world::builder(&world.clock, &world.diary).start(world.journal.reopen()).unwrap();
    until("it is told", || !traces.with("waits until its machine is known").is_empty()).await;
    system.get::<annals_tests::Lease>("waits 0");
    until("they fire", || world.diary.lines().iter().filter(|line| line.ends_with("ran out")).count() == 5).await;
    assert_eq!(traces.with("waits until its machine is known").len(), 1);
}

#[tokio::test]
async fn nothing_that_is_printed_shows_what_is_stored() {
    const SECRET: &str = "the secret of the printed entity";
    // As text, and as the bytes of a vector.
    let bytes = format!("{:?}", SECRET.as_bytes());
    let hidden = [SECRET, bytes.trim_matches(['[', ']'])];
    let (system, journal) = crate::system();
    let printed = system.get::<Account>("printed");
    let call = printed.note(SECRET.to_owned());
    let mut told = format!("{call:?}{printed:?}");
    call.await.unwrap();
    let page = journal.read_all(Offset(0), 1 << 20).await.unwrap();
    write!(told, "{page:?}{journal:?}{system:?}").unwrap();
    for run in &page.runs {
        let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
        write!(told, "{view:?}").unwrap();
        view.for_each(|_, write, record| {
            write!(told, "{write:?}{record:?}").unwrap();
            Ok::<(), RunError>(())
        })
        .unwrap();
    }
    write!(told, "{:?}", system.replay::<Account>("printed").await.unwrap()).unwrap();
    let mut steps = system.replay::<Account>("printed").steps();
    while let Some(step) = steps.next().await.unwrap() {
        write!(told, "{step:?}").unwrap();
    }
    assert!(told.contains("StoredRun") && told.contains("noted"), "{told}");
    assert!(!hidden.iter().any(|hidden| told.contains(hidden)), "{told}");
}
