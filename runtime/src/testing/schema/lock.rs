//! A schema as text: what stands in the file.

use std::fmt;
use std::str::FromStr;

use super::shape::{Name, parse_name};
use super::{Schema, SchemaState, Stored};

/// The first line of a file, up to the number of its format.
const TITLE: &str = "annals schema ";
const FORMAT: u32 = 1;

/// Why a text isn't a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The first line isn't that of a schema.
    #[error("it doesn't begin with `{TITLE}{FORMAT}`, as a schema does")]
    NoSchema,
    /// A newer version of annals wrote it.
    #[error("it is written in format {format}, and this version of annals knows it up to {FORMAT}: update annals")]
    Newer {
        /// The number of its format.
        format: u32,
    },
    /// A merge was left unfinished.
    #[error("line {line} is left from a merge: keep what both sides added, and remove the markers")]
    Merge {
        /// Counted from 1.
        line: usize,
    },
    /// A line makes no sense.
    #[error("line {line} makes no sense there: `{text}`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A line that there must be isn't there.
    #[error("it has no line that begins with `{word}`")]
    Missing {
        /// How the line begins.
        word: &'static str,
    },
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}{FORMAT}")?;
        writeln!(f, "aggregate {}", Name(&self.aggregate))?;
        writeln!(f, "codec {}", self.codec)?;
        writeln!(f, "retain {}", self.retain)?;
        if self.deleted {
            writeln!(f, "deleted once")?;
        }
        if self.forgettable {
            writeln!(f, "forgettable")?;
        }
        if let Some(snapshots) = &self.snapshots {
            writeln!(f, "\nsnapshots")?;
            write_stored(f, snapshots)?;
        }
        for (name, event) in &self.events {
            writeln!(f, "\nevent {}", Name(name))?;
            write_stored(f, event)?;
        }
        for (name, event) in &self.retired_events {
            writeln!(f, "\nretired event {}", Name(name))?;
            write_stored(f, event)?;
        }
        for (name, state) in &self.states {
            writeln!(f, "\nstate {}", Name(name))?;
            state.was.iter().try_for_each(|was| writeln!(f, "  was {}", Name(was)))?;
            if state.kind != ORDINARY {
                writeln!(f, "  {}", state.kind)?;
            }
            if let Some(deadline) = &state.deadline {
                writeln!(f, "  deadline {deadline}")?;
            }
        }
        if !self.edges.is_empty() {
            f.write_str("\n")?;
        }
        self.edges.iter().try_for_each(|edge| writeln!(f, "edge {edge}"))?;
        if !self.retired_states.is_empty() {
            f.write_str("\n")?;
        }
        self.retired_states.iter().try_for_each(|state| writeln!(f, "retired state {}", Name(state)))
    }
}

/// What is special about most states.
pub(super) const ORDINARY: &str = "ordinary";
const KINDS: [&str; 3] = ["initial", "transient", "terminal"];

fn write_stored(f: &mut fmt::Formatter<'_>, stored: &Stored) -> fmt::Result {
    stored.was.iter().try_for_each(|was| writeln!(f, "  was {}", Name(was)))?;
    writeln!(f, "  version {}", stored.version)?;
    if let Some(since) = &stored.ignored_since {
        writeln!(f, "  ignored since {}", Name(since))?;
    }
    for (name, ty) in &stored.written {
        writeln!(f, "  written {name}: {ty}")?;
    }
    for (version, shape) in &stored.shapes {
        shape.lines().try_for_each(|line| writeln!(f, "  v{version}{line}"))?;
    }
    Ok(())
}

/// What the indented lines belong to.
enum Section {
    None,
    Snapshots,
    Event(String),
    RetiredEvent(String),
    State(String),
}

impl FromStr for Schema {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        let mut lines = text.lines().zip(1..);
        let merge = |line: &str| ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|mark| line.starts_with(mark));
        if let Some((_, line)) = text.lines().zip(1..).find(|(line, _)| merge(line)) {
            return Err(SchemaError::Merge { line });
        }
        let format = lines.next().and_then(|(line, _)| line.strip_prefix(TITLE)?.trim_end().parse().ok());
        match format {
            Some(FORMAT) => {}
            Some(format @ FORMAT..) => return Err(SchemaError::Newer { format }),
            _ => return Err(SchemaError::NoSchema),
        }
        let mut schema = Self::default();
        let mut section = Section::None;
        for (text, line) in lines.filter(|(line, _)| !line.trim().is_empty()) {
            let read = match text.strip_prefix("  ") {
                Some(detail) => schema.read_detail(&section, detail),
                None => schema.read_head(text).map(|new| section = new),
            };
            read.ok_or_else(|| SchemaError::Line { line, text: text.to_owned() })?;
        }
        for (word, found) in [("aggregate", &schema.aggregate), ("codec", &schema.codec), ("retain", &schema.retain)] {
            if found.is_empty() {
                return Err(SchemaError::Missing { word });
            }
        }
        let versions = schema.snapshots.iter().chain(schema.events.values()).chain(schema.retired_events.values());
        if versions.into_iter().any(|stored| stored.version == 0) {
            return Err(SchemaError::Missing { word: "  version" });
        }
        Ok(schema)
    }
}

impl Schema {
    fn read_head(&mut self, line: &str) -> Option<Section> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest) {
            ("aggregate", name) => self.aggregate = once(&self.aggregate, parse_name(name)?)?,
            ("codec", name) => self.codec = once(&self.codec, name.to_owned())?,
            ("retain", what) => self.retain = once(&self.retain, what.to_owned())?,
            ("deleted", "once") => self.deleted = true,
            ("forgettable", "") => self.forgettable = true,
            ("snapshots", "") => {
                return self.snapshots.replace(Stored::default()).is_none().then_some(Section::Snapshots);
            }
            ("event", name) => {
                let name = parse_name(name)?;
                let new = self.events.insert(name.clone(), Stored::default()).is_none();
                return new.then_some(Section::Event(name));
            }
            ("state", name) => {
                let name = parse_name(name)?;
                let new = self.states.insert(name.clone(), SchemaState::default()).is_none();
                return new.then_some(Section::State(name));
            }
            ("edge", edge) => return self.edges.insert(edge.to_owned()).then_some(Section::None),
            ("retired", rest) => match rest.split_once(' ')? {
                ("event", name) => {
                    let name = parse_name(name)?;
                    let new = self.retired_events.insert(name.clone(), Stored::default()).is_none();
                    return new.then_some(Section::RetiredEvent(name));
                }
                ("state", name) => return self.retired_states.insert(parse_name(name)?).then_some(Section::None),
                _ => return None,
            },
            _ => return None,
        }
        Some(Section::None)
    }

    fn read_detail(&mut self, section: &Section, line: &str) -> Option<()> {
        match section {
            Section::None => None,
            Section::Snapshots => self.snapshots.as_mut()?.read(line),
            Section::Event(name) => self.events.get_mut(name)?.read(line),
            Section::RetiredEvent(name) => self.retired_events.get_mut(name)?.read(line),
            Section::State(name) => self.states.get_mut(name)?.read(line),
        }
    }
}

/// Takes the value of a line that is there once.
fn once(old: &str, new: String) -> Option<String> {
    (old.is_empty() && !new.is_empty()).then_some(new)
}

impl Stored {
    fn read(&mut self, line: &str) -> Option<()> {
        if let Some(line) = line.strip_prefix('v').filter(|line| line.starts_with(|char: char| char.is_ascii_digit())) {
            let (version, rest) = line.split_at(line.find(|char: char| !char.is_ascii_digit())?);
            return self.shapes.entry(version.parse().ok()?).or_default().parse_line(rest);
        }
        match line.split_once(' ')? {
            ("was", name) => self.was.push(parse_name(name)?),
            ("version", version) if self.version == 0 => {
                self.version = version.parse().ok().filter(|version| *version > 0)?;
            }
            ("ignored", since) => self.ignored_since = Some(parse_name(since.strip_prefix("since ")?)?),
            ("written", field) => {
                let (name, ty) = field.split_once(": ")?;
                self.written.push((name.to_owned(), ty.to_owned()));
            }
            _ => return None,
        }
        Some(())
    }
}

impl SchemaState {
    fn read(&mut self, line: &str) -> Option<()> {
        match line.split_once(' ') {
            None => line.clone_into(KINDS.contains(&line).then_some(&mut self.kind)?),
            Some(("was", name)) => self.was.push(parse_name(name)?),
            Some(("deadline", deadline)) => self.deadline = Some(deadline.to_owned()),
            _ => return None,
        }
        Some(())
    }
}
