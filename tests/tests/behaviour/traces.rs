//! What an operator reads: where entities come from and go to, and never what is in them.

use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use annals::System;
use annals_tests::Account;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::until;

/// Everything that was traced by this process.
static TRACES: OnceLock<Mutex<String>> = OnceLock::new();

struct Recorder;

struct Line<'l>(&'l mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Recorder {
    fn line(metadata: &Metadata<'_>, record: impl FnOnce(&mut Line<'_>)) {
        let mut line = format!("{} {} {}", metadata.level(), metadata.target(), metadata.name());
        record(&mut Line(&mut line));
        let traces = TRACES.get_or_init(Mutex::default);
        writeln!(traces.lock().unwrap(), "{line}").unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("annals")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        Self::line(span.metadata(), |line| span.record(line));
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        Self::line(event.metadata(), |line| event.record(line));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn traces_with(text: &str) -> Vec<String> {
    let traces = TRACES.get_or_init(Mutex::default).lock().unwrap();
    traces.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

#[tokio::test]
async fn an_operator_sees_where_entities_are_and_not_what_is_in_them() {
    tracing::subscriber::set_global_default(Recorder).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let idle = Duration::from_millis(100);
    let system = System::builder().idle_after(idle).open(directory.path()).await.unwrap();
    let traced = system.get::<Account>("traced\nentity");
    traced.note("the secret of the traced entity".to_owned()).await.unwrap();
    until("it is passivated", || system.stats().residents == 0).await;
    assert!(traced.crash().await.is_err());
    system.shutdown().await.unwrap();

    let of_entity = traces_with(r#"Account "traced\nentity""#);
    for what in ["recovery", "passivated"] {
        assert!(of_entity.iter().any(|line| line.contains(what)), "nothing is told of its {what}: {of_entity:?}");
    }
    assert!(!traces_with("stored a group").is_empty(), "nothing is told of commits");
    assert!(!traces_with("closed the journal").is_empty(), "nothing is told of the journal");
    assert_eq!(traces_with("the secret"), Vec::<String>::new());
}
