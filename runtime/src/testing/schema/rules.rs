//! What may change, and what breaks stored data: one rule for each difference.

use std::fmt;

use super::shape::Name;
use super::{Schema, Stored};

mod merge;
mod places;

pub(super) use merge::merged;

/// What a [`Schema`] differs in from an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChanges {
    breaking: Vec<String>,
    harmless: Vec<String>,
}

impl SchemaChanges {
    /// What makes that something stored can't be read any more, or is read as something else; and what to do.
    #[must_use]
    pub fn breaking(&self) -> &[String] {
        &self.breaking
    }

    /// What else is different.
    #[must_use]
    pub fn harmless(&self) -> &[String] {
        &self.harmless
    }
}

impl fmt::Display for SchemaChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("This breaks what is stored:", &self.breaking),
            ("This is different, and breaks nothing:", &self.harmless),
        ];
        for (title, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            writeln!(f, "{title}")?;
            list.iter().try_for_each(|change| writeln!(f, "- {change}"))?;
        }
        Ok(())
    }
}

impl Schema {
    /// Says what changed since an older schema was written down.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> SchemaChanges {
        let rules = compared(old, self);
        let (breaking, harmless): (Vec<_>, Vec<_>) = rules.into_iter().partition(Change::breaks);
        let sentences = |changes: Vec<Change>| changes.iter().map(ToString::to_string).collect();
        SchemaChanges { breaking: sentences(breaking), harmless: sentences(harmless) }
    }
}

/// What is stored in versions.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Event(String),
    Snapshots,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(name) => write!(f, "event `{name}`"),
            Self::Snapshots => f.write_str("the snapshot"),
        }
    }
}

/// How to change the shape of something in a version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remedy {
    subject: Subject,
    /// The version whose shape changed.
    version: u32,
    /// The version that is written now.
    current: u32,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, version, current } = self;
        if version < current {
            return write!(f, "the type in `upcast({version} => ..)` must read what version {version} stored");
        }
        let (attribute, next) =
            (if *subject == Subject::Snapshots { "snapshot" } else { "event" }, current.saturating_add(1));
        write!(
            f,
            "keep the old shape and raise the version: `#[{attribute}(version = {next}, upcast({current} => ..))]`"
        )
    }
}

/// A difference, and the rule for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Change {
    #[error(
        "the aggregate was stored as `{old}` and is `{new}` now: nothing that is stored is found; write `name = \"{old}\"` into its attribute"
    )]
    AggregateRenamed { old: String, new: String },
    #[error(
        "`forgettable` was `{old}` and is `{new}` now: it counts for streams that begin from now on, and those that are there stay as they are"
    )]
    Forgettable { old: String, new: String },
    #[error("{what} was `{old}` and is `{new}` now")]
    Setting { what: &'static str, old: String, new: String },

    #[error(
        "event `{name}` is gone, and stored ones can't be read: keep it, with `#[event(ignored_since = \"..\")]` if it is to change nothing any more"
    )]
    EventRemoved { name: String },
    #[error(
        "event `{old}` is gone, and stored ones can't be read: if it is `{new}` now, write `#[event(was(\"{old}\"))]` there, or keep the stored name with `#[event(name = \"{old}\")]`"
    )]
    EventRenamed { old: String, new: String },
    #[error("event `{old}` is stored as `{new}` now; older ones are still read")]
    EventRenamedWithAlias { old: String, new: String },
    #[error("event `{name}` is new")]
    EventAdded { name: String },
    #[error("event `{name}` lost its older name `{alias}`, under which some may be stored: add it to `was(..)` again")]
    AliasRemoved { name: String, alias: String },
    #[error(
        "what is stored as `{alias}` was read as event `{name}` and would be read as `{other}` now: give `{other}` another name"
    )]
    AliasMoved { name: String, alias: String, other: String },
    #[error("event `{name}` is also read as `{alias}`")]
    AliasAdded { name: String, alias: String },
    #[error("`{name}` was the name of an event that is stored in another shape: give this one another name")]
    RetiredReused { name: String },
    #[error("event `{name}` is there again")]
    EventRestored { name: String },
    #[error("event `{name}` is read, and changes nothing any more, since {since}")]
    EventIgnored { name: String, since: String },
    #[error("event `{name}` is applied again")]
    EventApplied { name: String },

    #[error(
        "{subject} has version {new} now and had {old}: what is stored in version {old} can't be read; raise it again"
    )]
    VersionLowered { subject: Subject, old: u32, new: u32 },
    #[error("{subject} has version {new} now; what is stored in older ones is still read")]
    VersionRaised { subject: Subject, new: u32 },
    #[error("{subject} has no upcast from version {version} any more, and some may be stored in it: add it again")]
    UpcastRemoved { subject: Subject, version: u32 },

    #[error("{subject}, version {}: {place} was `{old}` and is `{new}` now, which doesn't read the old; {remedy}", remedy.version)]
    TypeChanged { subject: Subject, place: Place, old: String, new: String, remedy: Remedy },
    #[error("{subject}, version {version}: {place} was `{old}` and is `{new}` now, which reads the old too")]
    TypeWidened { subject: Subject, version: u32, place: Place, old: String, new: String },
    #[error("{subject}, version {}: {place} is new, and stored ones have none; give it `#[serde(default)]`{hint}, or {remedy}", remedy.version)]
    FieldAdded { subject: Subject, place: Place, hint: String, remedy: Remedy },
    #[error("{subject}, version {version}: {place} is new, and may be missing")]
    FieldAddedWithDefault { subject: Subject, version: u32, place: Place },
    #[error("{subject}, version {}: {place} may not be missing any more, and stored ones may have none; give it `#[serde(default)]` again, or {remedy}", remedy.version)]
    DefaultRemoved { subject: Subject, place: Place, remedy: Remedy },
    #[error("{subject}, version {version}: {place} may be missing now")]
    DefaultAdded { subject: Subject, version: u32, place: Place },
    #[error("{subject}, version {version}: {place} is gone; where it is stored it is passed over")]
    FieldRemoved { subject: Subject, version: u32, place: Place },
    #[error("{subject}, version {}: {place} is gone, and stored ones have it, which `deny_unknown_fields` refuses; {remedy}", remedy.version)]
    FieldRefused { subject: Subject, place: Place, remedy: Remedy },
    #[error("{subject}, version {}: {place} is there again, and older ones have a `{old}` there, which `{new}` doesn't read; give it another name, or {remedy}", remedy.version)]
    FieldReused { subject: Subject, place: Place, old: String, new: String, remedy: Remedy },
    #[error("{subject}, version {version}: {place} is there again")]
    FieldRestored { subject: Subject, version: u32, place: Place },
    #[error("{subject}, version {version}: {old} is called {new} now; the old name is still read")]
    FieldRenamed { subject: Subject, version: u32, old: Place, new: Place },
    #[error(
        "{subject}, version {version}: {place} lost its alias `{alias}`, under which it may be stored; give it `#[serde(alias = \"{alias}\")]` again"
    )]
    FieldAliasRemoved { subject: Subject, version: u32, place: Place, alias: String },
    #[error("{subject}, version {version}: {place} is also read as `{alias}`")]
    FieldAliasAdded { subject: Subject, version: u32, place: Place, alias: String },
    #[error("{subject}, version {}: {place} is gone, and stored ones may have it; keep it, or {remedy}", remedy.version)]
    VariantRemoved { subject: Subject, place: Place, remedy: Remedy },
    #[error("{subject}, version {version}: {place} is new")]
    VariantAdded { subject: Subject, version: u32, place: Place },
    #[error(
        "{subject}: the type of `{name}` was written `{old}` and is `{new}` now, and nobody can tell from samples whether it reads the old; {remedy}"
    )]
    OpaqueRewritten { subject: Subject, name: String, old: String, new: String, remedy: Remedy },
    #[error("{subject}: `{name}` is written as `{new}`")]
    Rewritten { subject: Subject, name: String, new: String },
    #[error("{subject}: `{name}` isn't written any more")]
    Unwritten { subject: Subject, name: String },

    #[error(
        "the snapshot has other fields in the same version, so that older ones are not used, and they stand for events that are deleted: {remedy}"
    )]
    SnapshotChanged { remedy: Remedy },
    #[error("there are no snapshots any more, and older ones stand for events that are deleted: keep `snapshot(..)`")]
    SnapshotsRemoved,
    #[error("older snapshots are not used any more; entities are read from their events ({because})")]
    SnapshotsUnused { because: String },
    #[error("snapshots are taken")]
    SnapshotsAdded,

    #[error(
        "state `{name}` is gone, and entities may stand there: keep it, or name it in `was(..)` of the state that it is now, as in `states(.., Other was(\"{name}\"))`"
    )]
    StateRemoved { name: String },
    #[error("state `{name}` lost its older name `{alias}`, and entities may stand there: add it to `was(..)` again")]
    StateAliasRemoved { name: String, alias: String },
    #[error("entities that stand in `{old}` are read as `{new}` now")]
    StateRenamed { old: String, new: String },
    #[error(
        "entities that stand in `{alias}` stood in `{name}` and stand in `{other}` now: give `{other}` another name"
    )]
    StateAliasMoved { name: String, alias: String, other: String },
    #[error("entities that stand in `{alias}` are read as `{name}`")]
    StateAliasAdded { name: String, alias: String },
    #[error("state `{name}` is new")]
    StateAdded { name: String },
    #[error("`{name}` was the name of a state that was removed: entities may stand there; give this one another name")]
    RetiredStateReused { name: String },
    #[error(
        "machines begin in `{new}` now and began in `{old}`: entities with events that never went anywhere stand in `{old}`, and would stand in `{new}`; keep `initial {old}`"
    )]
    InitialMoved { old: String, new: String },
    #[error("state `{name}` is {new} now and was {old}")]
    StateKind { name: String, old: String, new: String },
    #[error("state `{name}` {}", deadlines(old.as_deref(), new.as_deref()))]
    StateDeadline { name: String, old: Option<String>, new: Option<String> },
    #[error("the way {edge} is new")]
    EdgeAdded { edge: String },
    #[error("the way {edge} is gone")]
    EdgeRemoved { edge: String },
}

impl Change {
    /// Whether something that is stored can't be read any more, or is read as something else.
    fn breaks(&self) -> bool {
        match self {
            Self::AggregateRenamed { .. }
            | Self::EventRemoved { .. }
            | Self::EventRenamed { .. }
            | Self::AliasRemoved { .. }
            | Self::AliasMoved { .. }
            | Self::RetiredReused { .. }
            | Self::VersionLowered { .. }
            | Self::UpcastRemoved { .. }
            | Self::TypeChanged { .. }
            | Self::FieldAdded { .. }
            | Self::DefaultRemoved { .. }
            | Self::FieldRefused { .. }
            | Self::FieldReused { .. }
            | Self::FieldAliasRemoved { .. }
            | Self::VariantRemoved { .. }
            | Self::OpaqueRewritten { .. }
            | Self::SnapshotChanged { .. }
            | Self::SnapshotsRemoved
            | Self::StateRemoved { .. }
            | Self::StateAliasRemoved { .. }
            | Self::StateAliasMoved { .. }
            | Self::RetiredStateReused { .. }
            | Self::InitialMoved { .. } => true,
            Self::Setting { .. }
            | Self::Forgettable { .. }
            | Self::EventRenamedWithAlias { .. }
            | Self::EventAdded { .. }
            | Self::AliasAdded { .. }
            | Self::EventRestored { .. }
            | Self::EventIgnored { .. }
            | Self::EventApplied { .. }
            | Self::VersionRaised { .. }
            | Self::TypeWidened { .. }
            | Self::FieldAddedWithDefault { .. }
            | Self::DefaultAdded { .. }
            | Self::FieldRemoved { .. }
            | Self::FieldRestored { .. }
            | Self::FieldRenamed { .. }
            | Self::FieldAliasAdded { .. }
            | Self::VariantAdded { .. }
            | Self::Rewritten { .. }
            | Self::Unwritten { .. }
            | Self::SnapshotsUnused { .. }
            | Self::SnapshotsAdded
            | Self::StateRenamed { .. }
            | Self::StateAliasAdded { .. }
            | Self::StateAdded { .. }
            | Self::StateKind { .. }
            | Self::StateDeadline { .. }
            | Self::EdgeAdded { .. }
            | Self::EdgeRemoved { .. } => false,
        }
    }
}

fn deadlines(old: Option<&str>, new: Option<&str>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!("lasts {new} and lasted {old}; deadlines that run stay as they are stored"),
        (None, Some(new)) => format!("lasts {new}, for those that enter it from now on"),
        (_, None) => "has no deadline any more".to_owned(),
    }
}

/// A path as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place(String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => f.write_str("the whole"),
            path => write!(f, "`{}`", path.strip_prefix('.').unwrap_or(path)),
        }
    }
}

/// All differences, in the order of the file.
fn compared(old: &Schema, new: &Schema) -> Vec<Change> {
    let mut changes = Vec::new();
    if old.aggregate != new.aggregate {
        changes.push(Change::AggregateRenamed { old: old.aggregate.clone(), new: new.aggregate.clone() });
    }
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let settings =
        [("the codec", old.codec.clone(), new.codec.clone()), ("`retain`", old.retain.clone(), new.retain.clone())];
    let settings = settings.into_iter().filter(|(_, old, new)| old != new);
    changes.extend(settings.map(|(what, old, new)| Change::Setting { what, old, new }));
    if old.forgettable != new.forgettable {
        changes.push(Change::Forgettable { old: yes_no(old.forgettable), new: yes_no(new.forgettable) });
    }
    snapshots(&mut changes, old, new);
    events(&mut changes, old, new);
    states(&mut changes, old, new);
    let edges = new.edges.difference(&old.edges).map(|edge| Change::EdgeAdded { edge: edge.clone() });
    changes.extend(edges);
    changes.extend(old.edges.difference(&new.edges).map(|edge| Change::EdgeRemoved { edge: edge.clone() }));
    changes
}

fn snapshots(changes: &mut Vec<Change>, old: &Schema, new: &Schema) {
    let found = match (&old.snapshots, &new.snapshots) {
        (None, None) => return,
        (None, Some(_)) => vec![Change::SnapshotsAdded],
        (Some(_), None) => vec![Change::SnapshotsRemoved],
        (Some(old), Some(new)) => {
            let mut found = Vec::new();
            let (version, current) = (old.version, new.version);
            if version == current && old.written != new.written {
                // The runtime takes a snapshot only if the fields of its version are written as they were; nothing
                // that is in them counts then.
                let remedy = Remedy { subject: Subject::Snapshots, version, current };
                found.push(Change::SnapshotChanged { remedy });
                let mut old = old.clone();
                old.shapes.remove(&version);
                old.written.clone_from(&new.written);
                stored(&mut found, &Subject::Snapshots, &old, new);
            } else {
                stored(&mut found, &Subject::Snapshots, old, new);
            }
            found
        }
    };
    // Snapshots that can't be used are set aside: that costs nothing but time, as long as the events are there.
    changes.extend(found.into_iter().map(|change| match change {
        Change::SnapshotsRemoved if !old.deleted => Change::SnapshotsUnused { because: "no more are taken".to_owned() },
        Change::SnapshotChanged { .. } if !old.deleted => {
            Change::SnapshotsUnused { because: "their fields are written in another way".to_owned() }
        }
        change if change.breaks() && !old.deleted => Change::SnapshotsUnused { because: change.to_string() },
        change => change,
    }));
}

fn events(changes: &mut Vec<Change>, old: &Schema, new: &Schema) {
    for (name, event) in &old.events {
        let Some((found, now)) = new.event(name) else {
            let added = new.events.iter().filter(|(added, _)| old.event(added).is_none());
            let alike = added.clone().find(|(_, added)| same_fields(event, added));
            changes.push(match alike {
                Some((new, _)) => Change::EventRenamed { old: name.clone(), new: new.clone() },
                None => Change::EventRemoved { name: name.clone() },
            });
            continue;
        };
        if found != name {
            changes.push(Change::EventRenamedWithAlias { old: name.clone(), new: found.clone() });
        }
        for alias in &event.was {
            match new.event(alias) {
                None => changes.push(Change::AliasRemoved { name: found.clone(), alias: alias.clone() }),
                Some((other, _)) if other != found => {
                    let (name, alias, other) = (found.clone(), alias.clone(), other.clone());
                    changes.push(Change::AliasMoved { name, alias, other });
                }
                Some(_) => {}
            }
        }
        let added = now.was.iter().filter(|alias| old.event(alias).is_none() && *alias != name);
        changes.extend(added.map(|alias| Change::AliasAdded { name: found.clone(), alias: alias.clone() }));
        match (&event.ignored_since, &now.ignored_since) {
            (old, Some(since)) if old.as_ref() != Some(since) => {
                changes.push(Change::EventIgnored { name: found.clone(), since: since.clone() });
            }
            (Some(_), None) => changes.push(Change::EventApplied { name: found.clone() }),
            _ => {}
        }
        // What is ignored is passed over unread.
        if now.ignored_since.is_none() {
            stored(changes, &Subject::Event(found.clone()), event, now);
        }
    }
    for (name, event) in &new.events {
        let is_new = std::iter::once(name).chain(&event.was).all(|name| old.event(name).is_none());
        let retired =
            std::iter::once(name).chain(&event.was).find_map(|name| Some((name, old.retired_events.get(name)?)));
        let change = match retired {
            Some((name, retired)) => {
                let mut differences = Vec::new();
                stored(&mut differences, &Subject::Event(name.clone()), retired, event);
                match differences.iter().any(Change::breaks) {
                    true => Change::RetiredReused { name: name.clone() },
                    false => Change::EventRestored { name: name.clone() },
                }
            }
            None if is_new => Change::EventAdded { name: name.clone() },
            None => continue,
        };
        changes.push(change);
    }
}

/// Whether two events have the same fields in their current versions, and have some.
fn same_fields(old: &Stored, new: &Stored) -> bool {
    let shape = |stored: &Stored| stored.shapes.get(&stored.version).cloned();
    shape(old).is_some_and(|old| !old.0.is_empty() && Some(old) == shape(new))
}

/// Versions and shapes of an event, or of the snapshots.
fn stored(changes: &mut Vec<Change>, subject: &Subject, old: &Stored, new: &Stored) {
    let current = new.version;
    if current < old.version {
        changes.push(Change::VersionLowered { subject: subject.clone(), old: old.version, new: current });
    }
    if current > old.version {
        changes.push(Change::VersionRaised { subject: subject.clone(), new: current });
    }
    for (&version, old) in old.shapes.range(..=current) {
        let remedy = Remedy { subject: subject.clone(), version, current };
        match new.shapes.get(&version) {
            None => changes.push(Change::UpcastRemoved { subject: subject.clone(), version }),
            Some(new) => places::compare(changes, &remedy, old, new),
        }
    }
    if current == old.version {
        places::compare_written(changes, &Remedy { subject: subject.clone(), version: current, current }, old, new);
    }
}

fn states(changes: &mut Vec<Change>, old: &Schema, new: &Schema) {
    for (name, state) in &old.states {
        let Some((found, now)) = new.state(name) else {
            changes.push(Change::StateRemoved { name: name.clone() });
            continue;
        };
        if found != name {
            changes.push(Change::StateRenamed { old: name.clone(), new: found.clone() });
        }
        for alias in &state.was {
            match new.state(alias) {
                None => changes.push(Change::StateAliasRemoved { name: found.clone(), alias: alias.clone() }),
                Some((other, _)) if other != found => {
                    let (name, alias, other) = (found.clone(), alias.clone(), other.clone());
                    changes.push(Change::StateAliasMoved { name, alias, other });
                }
                Some(_) => {}
            }
        }
        let added = now.was.iter().filter(|alias| old.state(alias).is_none() && *alias != name);
        changes.extend(added.map(|alias| Change::StateAliasAdded { name: found.clone(), alias: alias.clone() }));
        if state.kind != now.kind && state.kind != INITIAL && now.kind != INITIAL {
            let (old, new) = (state.kind.clone(), now.kind.clone());
            changes.push(Change::StateKind { name: found.clone(), old, new });
        }
        if state.deadline != now.deadline {
            let (old, new) = (state.deadline.clone(), now.deadline.clone());
            changes.push(Change::StateDeadline { name: found.clone(), old, new });
        }
    }
    if let (Some(began), Some(begins)) = (old.initial(), new.initial())
        && new.state(began).is_some_and(|(found, _)| found != begins)
    {
        changes.push(Change::InitialMoved { old: began.clone(), new: begins.clone() });
    }
    for (name, state) in &new.states {
        let mut names = std::iter::once(name).chain(&state.was);
        if let Some(name) = names.clone().find(|name| old.retired_states.contains(*name)) {
            changes.push(Change::RetiredStateReused { name: name.clone() });
        } else if names.all(|name| old.state(name).is_none()) {
            changes.push(Change::StateAdded { name: name.clone() });
        }
    }
}

const INITIAL: &str = "initial";

impl Schema {
    /// The event that is stored under this name, today's or an older one.
    fn event(&self, name: &str) -> Option<(&String, &Stored)> {
        self.events.iter().find(|(stored, event)| *stored == name || event.was.iter().any(|was| was == name))
    }

    fn state(&self, name: &str) -> Option<(&String, &super::SchemaState)> {
        self.states.iter().find(|(stored, state)| *stored == name || state.was.iter().any(|was| was == name))
    }

    fn initial(&self) -> Option<&String> {
        self.states.iter().find(|(_, state)| state.kind == INITIAL).map(|(name, _)| name)
    }
}

/// The last name of a path as [`Name`] writes it.
fn ends_with_name(path: &str, name: &str) -> bool {
    path.strip_suffix(&Name(name).to_string()).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests;
