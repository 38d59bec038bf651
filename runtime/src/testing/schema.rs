//! What of an aggregate is stored, compared with what was stored by the versions before.

mod check;
mod lock;
mod rules;
mod shape;
mod trace;

use std::collections::{BTreeMap, BTreeSet};

pub use check::assert_schema;
use lock::ORDINARY;
pub use lock::SchemaError;
pub use rules::SchemaChanges;
use shape::Shape;
pub(crate) use trace::samples;

use crate::aggregate::Aggregate;
use crate::codec::{self, Codec, Payload};
use crate::event::{Event, Field};
use crate::graph::StateKind;
use crate::snapshot::Retention;
use crate::state::State;

/// How many older versions are looked at.
const VERSIONS_MAX: u32 = 100;

/// What of an aggregate is stored: the names, versions and shapes of its events, its states, its snapshots.
///
/// As text it is what [`assert_schema`] keeps in a file. What two of them differ in, and what of it breaks stored data,
/// is said by [`Schema::changes_since`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    aggregate: String,
    codec: String,
    retain: String,
    /// Whether events may have been deleted, now or ever.
    deleted: bool,
    forgettable: bool,
    snapshots: Option<Stored>,
    events: BTreeMap<String, Stored>,
    /// Events that were removed although they are stored somewhere. Their names are not free.
    retired_events: BTreeMap<String, Stored>,
    states: BTreeMap<String, SchemaState>,
    retired_states: BTreeSet<String>,
    edges: BTreeSet<String>,
}

/// An event, or the snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stored {
    was: Vec<String>,
    version: u32,
    ignored_since: Option<String>,
    /// The fields, as they are called and typed in the code: those of an event by name, those of a snapshot in their
    /// order, which counts there.
    written: Vec<(String, String)>,
    /// What is read in each version.
    shapes: BTreeMap<u32, Shape>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SchemaState {
    was: Vec<String>,
    kind: String,
    deadline: Option<String>,
}

impl Default for SchemaState {
    fn default() -> Self {
        Self { was: Vec::new(), kind: ORDINARY.to_owned(), deadline: None }
    }
}

impl Schema {
    /// What the code of an aggregate says.
    ///
    /// The types of its fields are read from samples, to see what they ask serde for. Types that take none of the
    /// samples are `opaque`; fields that are flattened into a struct and may be missing aren't seen. Of an enum that looks
    /// first, as serde's tagged and untagged ones do, the fields of one variant are seen. Nor is it seen that single values
    /// are refused, such as zero.
    #[must_use]
    pub fn of<A: Aggregate>() -> Self {
        Self::in_codec::<A>(A::CODEC)
    }

    fn in_codec<A: Aggregate>(codec: Codec) -> Self {
        let graph = A::State::GRAPH;
        let states = graph.states.iter().map(|state| {
            let kind = match state.kind {
                StateKind::Initial => "initial",
                StateKind::Ordinary => ORDINARY,
                StateKind::Transient => "transient",
                StateKind::Terminal => "terminal",
            };
            let deadline = state.deadline.map(|time| crate::graph::spelled(time).to_string());
            (state.name.to_owned(), SchemaState { was: sorted(state.was), kind: kind.to_owned(), deadline })
        });
        Self {
            aggregate: A::NAME.to_owned(),
            codec: codec.to_string(),
            retain: match A::RETENTION {
                Retention::All => "all".to_owned(),
                Retention::SinceSnapshot => "since_snapshot".to_owned(),
                Retention::For(time) => crate::graph::spelled(time).to_string(),
            },
            deleted: A::RETENTION != Retention::All,
            forgettable: A::FORGETTABLE,
            snapshots: snapshots::<A>(codec),
            events: events::<A::Event>(codec),
            retired_events: BTreeMap::new(),
            states: states.collect(),
            retired_states: BTreeSet::new(),
            edges: graph.edges.iter().map(ToString::to_string).collect(),
        }
    }
}

fn events<E: Event>(codec: Codec) -> BTreeMap<String, Stored> {
    let events = E::VARIANTS.iter().enumerate().map(|(index, variant)| {
        let older = older_versions(variant.version).filter_map(|version| {
            Some((version, trace::shape_of(codec, |payload| E::upcast(index, version, payload))?))
        });
        let mut shapes: BTreeMap<u32, Shape> = older.collect();
        let current = trace::shape_of(codec, |payload| codec::decode_current::<E>(index, payload));
        // A variant without fields is stored as a map without entries.
        let current = current.map(Shape::with_fields);
        shapes.extend(current.map(|shape| (variant.version, shape)));
        let mut written = written(variant.fields);
        written.sort();
        let stored = Stored {
            was: sorted(variant.was),
            version: variant.version,
            ignored_since: variant.ignored_since.map(str::to_owned),
            written,
            shapes,
        };
        (variant.name.to_owned(), stored)
    });
    events.collect()
}

fn snapshots<A: Aggregate>(codec: Codec) -> Option<Stored> {
    let snapshots = A::SNAPSHOTS?;
    let older = older_versions(snapshots.version)
        .filter_map(|version| Some((version, trace::shape_of(codec, |payload| (snapshots.upcast)(version, payload))?)));
    let mut shapes: BTreeMap<u32, Shape> = older.collect();
    shapes.extend(trace::shape_of(codec, Payload::decode::<A>).map(|shape| (snapshots.version, shape)));
    let written = written(snapshots.fields);
    Some(Stored { was: Vec::new(), version: snapshots.version, ignored_since: None, written, shapes })
}

fn written(fields: &[Field]) -> Vec<(String, String)> {
    fields.iter().map(|field| (field.name.to_owned(), field.ty.to_owned())).collect()
}

/// The versions before one, the newest of them if there are many.
fn older_versions(version: u32) -> impl Iterator<Item = u32> {
    version.saturating_sub(VERSIONS_MAX).max(1)..version
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}
