//! The shapes of one version, place by place.

use std::collections::BTreeSet;

use super::super::Stored;
use super::super::shape::{Kind, Shape, is_in};
use super::{Change, Place, Remedy, ends_with_name};

/// Says whether everything that was stored in `old` is read as `new`.
pub(super) fn compare(changes: &mut Vec<Change>, remedy: &Remedy, old: &Shape, new: &Shape) {
    let (subject, version) = (&remedy.subject, remedy.version);
    // Where something was told already: what is inside goes without saying.
    let mut told: Vec<String> = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (path, was) in &old.0 {
        let at = new.translated(path);
        seen.insert(at.clone());
        if told.iter().any(|told| is_in(path, told)) {
            continue;
        }
        let place = Place(path.clone());
        let was = &new.with_translated_kind(was);
        let Some(now) = new.0.get(&at) else {
            told.push(path.clone());
            let around = new.parent(&at).and_then(|around| new.0.get(around)).map(|node| &node.kind);
            let refused = old.parent(path).and_then(|around| old.0.get(around)).map(|node| &node.kind);
            changes.extend(match around {
                // It was accepted then.
                Some(Kind::Enum) if was.gone => None,
                Some(kind @ Kind::Struct { exact: true }) if was.gone && refused == Some(kind) => None,
                Some(Kind::Struct { exact: true }) => {
                    Some(Change::FieldRefused { subject: subject.clone(), place, remedy: remedy.clone() })
                }
                Some(Kind::Enum) => {
                    Some(Change::VariantRemoved { subject: subject.clone(), place, remedy: remedy.clone() })
                }
                _ if was.gone => None,
                _ => Some(Change::FieldRemoved { subject: subject.clone(), version, place }),
            });
            continue;
        };
        if at != *path && !told.iter().any(|told| is_in(&at, told)) && !ends_with_same(path, &at) {
            let (old, new) = (place.clone(), Place(at.clone()));
            changes.push(Change::FieldRenamed { subject: subject.clone(), version, old, new });
        }
        let (old_text, new_text) = (plain(was), plain(now));
        // A variant without anything is written as its name alone, which no other one is read from.
        let is_variant =
            new.parent(&at).is_some_and(|around| new.0.get(around).is_some_and(|it| it.kind == Kind::Enum));
        let is_filled = is_variant && was.kind == Kind::Unit && (now.kind != Kind::Unit || now.nullable);
        if is_filled || !now.reads(was) {
            told.push(path.clone());
            let (subject, remedy, old, new) = (subject.clone(), remedy.clone(), old_text, new_text);
            changes.push(match was.gone {
                true => Change::FieldReused { subject, place, old, new, remedy },
                false => Change::TypeChanged { subject, place, old, new, remedy },
            });
            continue;
        }
        if was.gone {
            told.push(path.clone());
            changes.push(Change::FieldRestored { subject: subject.clone(), version, place: place.clone() });
        } else if old_text != new_text {
            let (subject, place) = (subject.clone(), place.clone());
            changes.push(Change::TypeWidened { subject, version, place, old: old_text, new: new_text });
        }
        let place = Place(at.clone());
        match (was.optional || was.gone, now.optional) {
            (true, false) => {
                let (subject, place, remedy) = (subject.clone(), place.clone(), remedy.clone());
                changes.push(Change::DefaultRemoved { subject, place, remedy });
            }
            (false, true) => {
                changes.push(Change::DefaultAdded { subject: subject.clone(), version, place: place.clone() });
            }
            _ => {}
        }
        for alias in &was.was {
            if !now.was.contains(alias) && !ends_with_name(&at, alias) {
                let (subject, place, alias) = (subject.clone(), place.clone(), alias.clone());
                changes.push(Change::FieldAliasRemoved { subject, version, place, alias });
            }
        }
        for alias in &now.was {
            if !was.was.contains(alias) && !ends_with_name(path, alias) {
                let (subject, place, alias) = (subject.clone(), place.clone(), alias.clone());
                changes.push(Change::FieldAliasAdded { subject, version, place, alias });
            }
        }
    }
    let mut added: Vec<&str> = Vec::new();
    for (path, now) in new.0.iter().filter(|(path, _)| !seen.contains(*path)) {
        let inside =
            added.iter().any(|added| is_in(path, added)) || told.iter().any(|told| is_in(path, &new.translated(told)));
        if inside {
            continue;
        }
        added.push(path);
        let place = Place(path.clone());
        let subject = subject.clone();
        let around = new.parent(path).and_then(|around| new.0.get(around)).map(|node| &node.kind);
        changes.push(match around {
            Some(Kind::Enum) => Change::VariantAdded { subject, version, place },
            _ if now.optional => Change::FieldAddedWithDefault { subject, version, place },
            _ => {
                let hint =
                    renamed(old, new, path).map(|was| format!(", or `#[serde(alias = {was:?})]` if that was its name"));
                Change::FieldAdded { subject, place, hint: hint.unwrap_or_default(), remedy: remedy.clone() }
            }
        });
    }
}

/// The field beside one that it may have been: it is gone, and was of a type that is read there.
fn renamed<'o>(old: &'o Shape, new: &Shape, path: &str) -> Option<&'o str> {
    let around = new.parent(path)?;
    let (was, _) = old.0.iter().find(|(was, node)| {
        let beside = old.parent(was) == Some(around) && was[around.len()..].starts_with('.');
        beside && !node.gone && !new.0.contains_key(&new.translated(was)) && new.0[path].reads(node)
    })?;
    Some(&was[around.len() + 1..])
}

/// A node without what is told by itself.
fn plain(node: &super::super::shape::Node) -> String {
    let node = super::super::shape::Node { gone: false, was: Vec::new(), ..node.clone() };
    node.to_string()
}

/// Whether the last names of two paths are the same, so that something around them was renamed.
fn ends_with_same(old: &str, new: &str) -> bool {
    let last = |path: &str| path.rfind(['.', ':', '[', '{']).map(|at| path[at..].to_owned());
    last(old) == last(new)
}

/// What is written differently. Only what can't be found out from samples matters.
pub(super) fn compare_written(changes: &mut Vec<Change>, remedy: &Remedy, old: &Stored, new: &Stored) {
    let shape = new.shapes.get(&new.version);
    let opaque = |name: &str| {
        let path = if shape.is_some_and(|shape| shape.0.len() == 1) { String::new() } else { format!(".{name}") };
        shape.and_then(|shape| shape.0.get(&path)).is_some_and(|node| node.kind == Kind::Opaque)
    };
    for (name, ty) in &new.written {
        let subject = remedy.subject.clone();
        match written(old, name) {
            Some(was) if was == ty => {}
            Some(was) if opaque(name) && last_name(was) != last_name(ty) => {
                let (old, new) = (was.clone(), ty.clone());
                changes.push(Change::OpaqueRewritten { subject, name: name.clone(), old, new, remedy: remedy.clone() });
            }
            _ => changes.push(Change::Rewritten { subject, name: name.clone(), new: ty.clone() }),
        }
    }
    for (name, _) in old.written.iter().filter(|(name, _)| written(new, name).is_none()) {
        changes.push(Change::Unwritten { subject: remedy.subject.clone(), name: name.clone() });
    }
}

fn written<'s>(stored: &'s Stored, name: &str) -> Option<&'s String> {
    stored.written.iter().find(|(written, _)| written == name).map(|(_, ty)| ty)
}

/// A type without the modules that lead to it.
fn last_name(ty: &str) -> String {
    ty.split(' ')
        .filter(|token| !token.is_empty())
        .fold(Vec::new(), |mut tokens: Vec<&str>, token| {
            match token.rsplit_once("::") {
                Some((_, last)) if !last.is_empty() => tokens.push(last),
                Some(_) => {
                    tokens.pop();
                }
                None => tokens.push(token),
            }
            tokens
        })
        .join(" ")
}
