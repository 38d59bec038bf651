//! What is known of a type so far, and what is tried next.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::super::shape::{Kind, Name, Node, Shape, is_in, width};
use super::asked::{Cause, Refusal};
use super::samples;

/// How often one type is read at most.
const RUNS_MAX: usize = 5_000;
/// How often another value is tried for one place.
const ATTEMPTS_MAX: usize = 40;
/// How many places one type has at most; what is beyond is opaque.
const PLACES_MAX: usize = 1_000;
/// How many values are given in one run.
const VALUES_MAX: usize = 20_000;
/// How long a path gets.
const PATH_BYTES_MAX: usize = 1_000;

/// What is known of the whole type.
pub(super) struct Notes {
    pub(super) human_readable: bool,
    places: BTreeMap<String, Place>,
    run: Run,
    runs: usize,
}

/// What is known of one place.
#[derive(Default)]
pub(super) struct Place {
    /// `None` if nobody asked for a value there yet.
    kind: Option<Kind>,
    nullable: bool,
    /// Which sample is tried.
    pub(super) attempt: usize,
    attempts: usize,
    opaque: bool,
    /// The fields of a struct, the variants of an enum, as far as they are known.
    pub(super) names: Vec<String>,
    /// Other names of fields.
    aliases: Vec<(String, String)>,
    /// Fields that may be missing.
    optional: BTreeSet<String>,
    exact: bool,
    /// Whether it asks for the fields of a struct without saying which.
    pub(super) flat: bool,
    /// The variants with which a run went well.
    good: BTreeSet<String>,
    /// What is taken by a type that looks first.
    takes: Vec<String>,
}

/// What goes on in one run.
#[derive(Default)]
struct Run {
    goal: String,
    omit: Option<(String, String)>,
    stranger: Option<String>,
    blamed: Option<(String, Cause)>,
    /// The types that are being read, and where.
    around: Vec<(&'static str, String)>,
    visited: BTreeSet<String>,
    chosen: Vec<(String, String)>,
    /// The field that was named last, and its struct.
    last_name: Option<(String, String)>,
    last_place: String,
    values: usize,
    ended: Option<bool>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Nothing,
    Refused,
    Good,
}

impl Notes {
    pub(super) fn new(human_readable: bool) -> Self {
        Self { human_readable, places: BTreeMap::new(), run: Run::default(), runs: 0 }
    }

    /// The user's type has been read, or has refused.
    pub(super) fn ended<T>(&mut self, read: &Result<T, Refusal>) {
        if let Err(refusal) = read {
            self.blame("", refusal);
        }
        self.run.ended = Some(read.is_ok());
    }

    /// Says how a run ended.
    pub(super) fn finish(&mut self, taken: bool) -> End {
        if !taken {
            return End::Nothing;
        }
        if self.run.ended == Some(true) {
            for (place, variant) in std::mem::take(&mut self.run.chosen) {
                self.place(&place).good.insert(variant);
            }
            return End::Good;
        }
        // A panic blames nobody.
        let last = self.run.last_place.clone();
        self.run.blamed.get_or_insert((last, Cause::Other));
        End::Refused
    }

    /// Says whose fault it is that a run fails: the first that is found, which is the innermost.
    pub(super) fn blame(&mut self, path: &str, refusal: &Refusal) {
        self.run.blamed.get_or_insert_with(|| (path.to_owned(), refusal.cause));
    }

    pub(super) fn place(&mut self, path: &str) -> &mut Place {
        self.places.entry(path.to_owned()).or_default()
    }

    pub(super) fn known(&self, path: &str) -> Option<&Place> {
        self.places.get(path)
    }

    /// Counts a value; too many are refused.
    pub(super) fn count(&mut self, path: &str) -> Result<(), Refusal> {
        self.run.values += 1;
        let places = self.places.len() > PLACES_MAX && !self.places.contains_key(path);
        if places || self.run.values > VALUES_MAX || path.len() > PATH_BYTES_MAX {
            return Err(Refusal { cause: Cause::Bound, message: "it has too many places".to_owned() });
        }
        Ok(())
    }

    /// Notes what is asked for at a place, and says which sample is its turn.
    pub(super) fn arrive(&mut self, path: &str, kind: Kind) -> Result<usize, Refusal> {
        self.count(path)?;
        self.run.visited.insert(path.to_owned());
        path.clone_into(&mut self.run.last_place);
        let place = self.place(path);
        place.kind = Some(kind);
        Ok(place.attempt)
    }

    pub(super) fn arrive_nullable(&mut self, path: &str) {
        self.run.visited.insert(path.to_owned());
        self.place(path).nullable = true;
    }

    /// Whether nothing can be given there, or somewhere inside.
    pub(super) fn is_stuck(&self, path: &str) -> bool {
        let inside = self.places.range(path.to_owned()..).take_while(|(place, _)| place.starts_with(path));
        inside.filter(|(place, _)| is_in(place, path)).any(|(_, place)| place.opaque)
    }

    /// Where a type is being read already.
    pub(super) fn around(&self, name: &'static str) -> Option<String> {
        self.run.around.iter().find(|(around, _)| *around == name).map(|(_, path)| path.clone())
    }

    pub(super) fn enter(&mut self, name: &'static str, path: &str) {
        self.run.around.push((name, path.to_owned()));
    }

    pub(super) fn leave(&mut self) {
        self.run.around.pop();
    }

    /// The fields to give in this run: what can't be given comes last, so that the others are seen.
    pub(super) fn fields(&self, path: &str) -> Vec<String> {
        let Some(place) = self.known(path) else { return Vec::new() };
        let stuck = |name: &String| self.is_stuck(&field(path, name));
        let omitted =
            |name: &String| self.run.omit.as_ref().is_some_and(|(around, omitted)| around == path && omitted == name);
        let given = place.names.iter().filter(|name| !(omitted(name) || stuck(name) && place.optional.contains(*name)));
        let (last, first): (Vec<_>, Vec<_>) = given.cloned().partition(stuck);
        first.into_iter().chain(last).collect()
    }

    /// Whether an unknown field is to be given too.
    pub(super) fn is_strange(&self, path: &str) -> bool {
        self.run.stranger.as_deref() == Some(path)
    }

    pub(super) fn name(&mut self, path: &str, name: &str) {
        self.run.last_name = Some((path.to_owned(), name.to_owned()));
    }

    /// The variant to give in this run.
    pub(super) fn choose(&mut self, path: &str, variants: &[&str]) -> Option<String> {
        let goal = |name: &&&str| is_in(&self.run.goal, &variant(path, name));
        let good = |name: &&&str| self.known(path).is_some_and(|place| place.good.contains(**name));
        let open = |name: &&&str| !self.is_stuck(&variant(path, name));
        let of = |wanted: &dyn Fn(&&&str) -> bool| variants.iter().find(wanted).map(|name| (*name).to_owned());
        let chosen = of(&goal).or_else(|| of(&good)).or_else(|| of(&open)).or_else(|| of(&|_| true))?;
        self.run.chosen.push((path.to_owned(), chosen.clone()));
        Some(chosen)
    }

    fn begin(&mut self, goal: &str) {
        self.run = Run { goal: goal.to_owned(), ..Run::default() };
        self.runs += 1;
    }

    /// Learns from a run that failed; says whether another may get further.
    fn learn(&mut self) -> bool {
        let Some((path, cause)) = self.run.blamed.take() else { return false };
        let last_name = self.run.last_name.take();
        let place = self.place(&path);
        let looks = place.flat || matches!(place.kind, Some(Kind::Any(_)));
        match cause {
            Cause::Again => place.again(),
            Cause::Missing(name) if looks && !place.names.iter().any(|known| known == name) => {
                place.names.push(name.to_owned());
                place.again()
            }
            Cause::Names(names) if matches!(place.kind, Some(Kind::Tag(_))) && place.names.is_empty() => {
                place.names = names.iter().map(|name| (*name).to_owned()).collect();
                place.again()
            }
            Cause::Duplicate(name) => match last_name {
                Some((around, again)) if around == path => {
                    place.names.retain(|known| *known != again);
                    if again == name {
                        // Its other name came first.
                        place.names.insert(0, again);
                    } else {
                        place.aliases.push((name.to_owned(), again));
                    }
                    place.again()
                }
                _ => self.refused(&path),
            },
            _ => self.refused(&path),
        }
    }

    /// Another value is tried at a place that refused one, or in it.
    fn refused(&mut self, path: &str) -> bool {
        let place = self.place(path);
        if !place.again() {
            return false;
        }
        if place.has_found_names() {
            return self.refused_inside(path);
        }
        place.attempt += 1;
        let samples = match &place.kind {
            Some(Kind::Bool) => 2,
            Some(Kind::Int { signed: false, .. }) => samples::UNSIGNED.len(),
            Some(Kind::Int { signed: true, .. }) => samples::SIGNED.len(),
            Some(Kind::Float { .. }) => samples::FLOATS.len(),
            Some(Kind::Char) => samples::CHARS.len(),
            Some(Kind::Text) => samples::TEXTS.len(),
            Some(Kind::Bytes) => samples::BYTES.len(),
            Some(Kind::Seq | Kind::Map) => samples::LENGTHS.len(),
            Some(Kind::Tag(_)) => place.names.len(),
            Some(Kind::Any(_)) => samples::ANY.len(),
            Some(Kind::Same(_)) => ATTEMPTS_MAX,
            Some(Kind::Unit) => 1,
            _ => {
                place.attempt = 0;
                return self.refused_inside(path);
            }
        };
        if place.attempt >= samples {
            (place.opaque, place.attempt) = (true, 0);
        }
        true
    }

    /// A struct that refuses its fields gets others.
    fn refused_inside(&mut self, path: &str) -> bool {
        let found = self.known(path).filter(|place| place.has_found_names());
        if let Some(newest) = found.and_then(|place| place.names.last().cloned()) {
            return self.refused(&field(path, &newest));
        }
        let inside = self.places.iter_mut().filter(|(place, _)| place.as_str() != path && is_in(place, path));
        for (_, place) in inside {
            if !matches!(place.kind, Some(Kind::Struct { .. } | Kind::Enum | Kind::Tuple(_)) | None) {
                place.attempt += 1;
            }
        }
        true
    }

    pub(super) fn shape(&self) -> Shape {
        let mut nodes = BTreeMap::new();
        for (path, place) in &self.places {
            let Some(kind) = &place.kind else { continue };
            let kind = match kind {
                _ if place.opaque => Kind::Opaque,
                Kind::Text if place.attempt > 0 => {
                    Kind::TextLike(samples::TEXTS[place.attempt % samples::TEXTS.len()].to_owned())
                }
                Kind::Struct { .. } => Kind::Struct { exact: place.exact },
                Kind::Map if place.flat => Kind::Struct { exact: place.exact },
                Kind::Any(_) => Kind::Any(place.takes.clone()),
                Kind::Tag(_) => Kind::Tag(place.names.clone()),
                kind => kind.clone(),
            };
            nodes.insert(path.clone(), Node { nullable: place.nullable, ..Node::new(kind) });
        }
        for (path, place) in &self.places {
            for name in &place.names {
                if let Some(node) = nodes.get_mut(&field(path, name)) {
                    node.optional = place.optional.contains(name);
                    let aliases = place.aliases.iter().filter(|(of, _)| of == name);
                    node.was = aliases.map(|(_, alias)| alias.clone()).collect();
                    node.was.sort();
                }
            }
            // What was given under another name of a field before that was known.
            for (_, alias) in &place.aliases {
                nodes.retain(|node, _| !is_in(node, &field(path, alias)));
            }
            if let Some(Kind::Map) = place.kind
                && place.flat
            {
                nodes.retain(|node, _| {
                    !is_in(node, &format!("{path}{{key}}")) && !is_in(node, &format!("{path}{{value}}"))
                });
            }
        }
        Shape(nodes)
    }
}

impl Place {
    /// Whether it is read like a struct, the fields of which were found one by one.
    fn has_found_names(&self) -> bool {
        self.flat || matches!(self.kind, Some(Kind::Any(_))) && !self.names.is_empty()
    }

    /// Counts an attempt; when there were enough, the place is opaque.
    fn again(&mut self) -> bool {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX + self.names.len() {
            let first = !self.opaque;
            (self.opaque, self.attempt) = (true, 0);
            return first;
        }
        !self.opaque
    }
}

pub(super) fn field(path: &str, name: &str) -> String {
    format!("{path}.{}", Name(name))
}

pub(super) fn variant(path: &str, name: &str) -> String {
    format!("{path}::{}", Name(name))
}

/// Reads until nothing more can be found out; says whether anything was read at all.
pub(super) fn explore(notes: &RefCell<Notes>, run: impl Fn() -> End) -> bool {
    let begin = |goal: &str| notes.borrow_mut().begin(goal);
    let enough = || notes.borrow().runs >= RUNS_MAX;
    // All variants of all enums, one after the other.
    let mut goals = vec![String::new()];
    let mut seen = BTreeSet::from([String::new()]);
    while let Some(goal) = goals.pop() {
        loop {
            begin(&goal);
            let end = run();
            if end == End::Nothing {
                return false;
            }
            if end == End::Good || enough() || !notes.borrow_mut().learn() {
                break;
            }
        }
        let notes = notes.borrow();
        for (path, place) in &notes.places {
            if place.kind == Some(Kind::Enum) {
                let variants = place.names.iter().map(|name| variant(path, name));
                goals.extend(variants.filter(|variant| seen.insert(variant.clone())));
            }
        }
    }
    // What may be missing; the fields first that can't be given.
    let structs: Vec<(String, Vec<String>)> = {
        let notes = notes.borrow();
        let structs =
            notes.places.iter().filter(|(_, place)| !place.names.is_empty() && place.kind != Some(Kind::Enum));
        structs.map(|(path, _)| (path.clone(), notes.fields(path).into_iter().rev().collect())).collect()
    };
    for (path, names) in &structs {
        for name in names {
            if enough() {
                break;
            }
            begin(path);
            notes.borrow_mut().run.omit = Some((path.clone(), name.clone()));
            let good = run() == End::Good;
            let mut notes = notes.borrow_mut();
            let visited = notes.run.visited.contains(path);
            // Where nothing can be found out, it is as serde's derive has it.
            let presumed = notes.is_stuck("") && notes.known(&field(path, name)).is_some_and(|place| place.nullable);
            if good && visited || presumed {
                notes.place(path).optional.insert(name.clone());
            }
        }
    }
    for (path, _) in &structs {
        begin(path);
        if enough() || run() != End::Good || !notes.borrow().run.visited.contains(path) {
            continue;
        }
        begin(path);
        notes.borrow_mut().run.stranger = Some(path.clone());
        let exact = run() != End::Good;
        notes.borrow_mut().place(path).exact = exact;
    }
    // What is taken by types that look first.
    let any: Vec<(String, usize)> = {
        let notes = notes.borrow();
        let any = notes.places.iter().filter(|(_, place)| matches!(place.kind, Some(Kind::Any(_))) && !place.opaque);
        any.map(|(path, place)| (path.clone(), place.attempt)).collect()
    };
    for (path, usual) in any {
        for (attempt, (_, name)) in samples::ANY.iter().enumerate() {
            if enough() {
                break;
            }
            notes.borrow_mut().place(&path).attempt = attempt;
            begin(&path);
            let good = run() == End::Good;
            let mut notes = notes.borrow_mut();
            if good && notes.run.visited.contains(&path) {
                let takes = &mut notes.place(&path).takes;
                // The widest says it for the others.
                takes.retain(|narrower| width(narrower).is_none_or(|(sign, _)| !name.starts_with(sign)));
                takes.push((*name).to_owned());
            }
        }
        notes.borrow_mut().place(&path).attempt = usual;
    }
    true
}
