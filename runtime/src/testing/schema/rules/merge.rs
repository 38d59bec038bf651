//! What is to be remembered of an older schema when a newer one takes its place.

use super::super::shape::Node;
use super::super::{Schema, Stored};

/// The new schema, with what is stored somewhere though the code has it no more.
pub(in super::super) fn merged(old: &Schema, new: &Schema) -> Schema {
    let mut merged = new.clone();
    merged.deleted |= old.deleted;
    if let (Some(old), Some(new)) = (&old.snapshots, &mut merged.snapshots) {
        remember_fields(old, new);
    }
    for (name, event) in &old.events {
        match new.event(name) {
            Some((found, _)) => {
                let found = found.clone();
                if let Some(now) = merged.events.get_mut(&found) {
                    match now.ignored_since {
                        None => remember_fields(event, now),
                        // It isn't read; if it will be again, it is stored as it was.
                        Some(_) => now.shapes.extend(event.shapes.clone()),
                    }
                }
            }
            None => retire(&mut merged, name, event),
        }
        for alias in event.was.iter().filter(|alias| new.event(alias).is_none()) {
            retire(&mut merged, alias, event);
        }
    }
    for (name, event) in old.retired_events.iter().filter(|(name, _)| new.event(name).is_none()) {
        merged.retired_events.entry(name.clone()).or_insert_with(|| event.clone());
    }
    let states = old.states.iter().flat_map(|(name, state)| std::iter::once(name).chain(&state.was));
    let states = states.chain(&old.retired_states).filter(|name| new.state(name).is_none());
    merged.retired_states.extend(states.cloned());
    merged
}

/// An event that was removed is not read, but its name is not free.
fn retire(merged: &mut Schema, name: &str, event: &Stored) {
    let event = Stored { was: Vec::new(), ..event.clone() };
    merged.retired_events.insert(name.to_owned(), event);
}

/// A field that was removed is stored where it is stored.
fn remember_fields(old: &Stored, new: &mut Stored) {
    for (version, old) in &old.shapes {
        let Some(shape) = new.shapes.get_mut(version) else { continue };
        for (path, node) in &old.0 {
            let path = shape.translated(path);
            // In a version where the shape became another one, what was there means nothing.
            let goes_on = shape.parent(&path).is_some_and(|around| {
                shape.0.get(around).zip(old.0.get(around)).is_none_or(|(now, was)| now.kind.reads(&was.kind))
            });
            if goes_on && !shape.0.contains_key(&path) {
                shape.0.insert(path, Node { gone: true, optional: true, ..node.clone() });
            }
        }
    }
}
