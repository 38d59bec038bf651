//! What a type reads, as data: one node for each place in a value, found by its path.

use std::collections::BTreeMap;
use std::fmt;

/// What is read, place by place. The path of the whole is empty; `.amount` is a field or, as `.0`, an element of a
/// tuple, `::Cash` a variant, `[]` the elements of a sequence, `{key}` and `{value}` those of a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape(pub(super) BTreeMap<String, Node>);

/// What is read at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Whether `null` is read there too.
    pub(super) nullable: bool,
    /// Whether a field may be missing.
    pub(super) optional: bool,
    /// Whether the code reads it no more. What is stored may still have it.
    pub(super) gone: bool,
    /// Other names of a field.
    pub(super) was: Vec<String>,
}

/// What a type asks its deserializer for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// Whether it has a sign, and how many bits.
    Int {
        signed: bool,
        bits: u32,
    },
    Float {
        bits: u32,
    },
    Char,
    Text,
    /// Not every text is taken; this one is.
    TextLike(String),
    Bytes,
    Unit,
    Seq,
    Map,
    Tuple(usize),
    Struct {
        /// Whether unknown fields are refused.
        exact: bool,
    },
    Enum,
    /// One of some names.
    Tag(Vec<String>),
    /// It looks at what is there first; these kinds are taken.
    Any(Vec<String>),
    /// The same as at the place with this path, which is around it.
    Same(String),
    /// It could not be found out.
    Opaque,
}

impl Kind {
    pub(super) const fn int(signed: bool, bits: u32) -> Self {
        Self::Int { signed, bits }
    }

    /// Whether all that was stored as `old` is read as this, in both codecs. What is inside is compared by itself.
    pub(super) fn reads(&self, old: &Self) -> bool {
        match (self, old) {
            (Self::Any(takes), Self::Any(took)) => took.iter().all(|kind| is_taken(takes, kind)),
            (Self::Any(takes), Self::Int { signed: false, bits }) => {
                is_taken(takes, "integer") && is_taken(takes, &format!("u{bits}"))
            }
            (Self::Any(takes), Self::Int { signed: true, bits }) => {
                ["integer", "negative", &format!("i{bits}")].iter().all(|kind| is_taken(takes, kind))
            }
            (Self::Any(takes), old) => old.sample_kind().is_some_and(|kind| is_taken(takes, kind)),
            // Codecs write numbers of 128 bits in ways of their own.
            (Self::Int { bits: 128, .. }, _) | (_, Self::Int { bits: 128, .. }) => self == old,
            (Self::Int { signed, bits }, Self::Int { signed: old_signed, bits: old_bits }) => {
                match (signed, old_signed) {
                    (true, true) | (false, false) => bits >= old_bits,
                    (true, false) => bits > old_bits,
                    (false, true) => false,
                }
            }
            (Self::Float { bits }, Self::Float { bits: old_bits }) => bits >= old_bits,
            (Self::Text, Self::Char | Self::TextLike(_) | Self::Tag(_)) => true,
            (Self::Tag(names), Self::Tag(old)) => old.iter().all(|name| names.contains(name)),
            (Self::Struct { .. }, Self::Struct { .. }) => true,
            (new, old) => new == old,
        }
    }

    /// What something of this kind is to a type that looks at it first.
    fn sample_kind(&self) -> Option<&'static str> {
        match self {
            Self::Bool => Some("bool"),
            Self::Float { .. } => Some("float"),
            Self::Char | Self::Text | Self::TextLike(_) | Self::Tag(_) => Some("string"),
            Self::Unit => Some("null"),
            Self::Seq | Self::Tuple(_) => Some("seq"),
            Self::Map | Self::Struct { .. } => Some("map"),
            Self::Int { .. } | Self::Bytes | Self::Enum | Self::Any(_) | Self::Same(_) | Self::Opaque => None,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let names = |rest: &str| rest.split(' ').map(parse_name).collect::<Option<Vec<_>>>();
        Some(match (word, rest) {
            ("bool", "") => Self::Bool,
            ("char", "") => Self::Char,
            ("string", "") => Self::Text,
            ("string", rest) => Self::TextLike(serde_json::from_str(rest.strip_prefix("like ")?).ok()?),
            ("bytes", "") => Self::Bytes,
            ("unit", "") => Self::Unit,
            ("seq", "") => Self::Seq,
            ("map", "") => Self::Map,
            ("tuple", len) => Self::Tuple(len.parse().ok()?),
            ("struct", "") => Self::Struct { exact: false },
            ("struct", "without unknown fields") => Self::Struct { exact: true },
            ("enum", "") => Self::Enum,
            ("opaque", "") => Self::Opaque,
            ("any", "") => Self::Any(Vec::new()),
            ("any", rest) => Self::Any(names(rest.strip_prefix("of ")?)?),
            ("one", rest) => Self::Tag(names(rest.strip_prefix("of ")?)?),
            ("same", "as the whole") => Self::Same(String::new()),
            ("same", rest) => Self::Same(rest.strip_prefix("as ")?.to_owned()),
            (number, "") => {
                let bits = number.get(1..)?.parse().ok()?;
                match (number.get(..1)?, bits) {
                    ("u", 8 | 16 | 32 | 64 | 128) => Self::int(false, bits),
                    ("i", 8 | 16 | 32 | 64 | 128) => Self::int(true, bits),
                    ("f", 32 | 64) => Self::Float { bits },
                    _ => return None,
                }
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, names: &[String]| {
            f.write_str(word)?;
            names
                .iter()
                .enumerate()
                .try_for_each(|(at, name)| write!(f, "{}{}", if at == 0 { " of " } else { " " }, Name(name)))
        };
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int { signed, bits } => write!(f, "{}{bits}", if *signed { 'i' } else { 'u' }),
            Self::Float { bits } => write!(f, "f{bits}"),
            Self::Char => f.write_str("char"),
            Self::Text => f.write_str("string"),
            Self::TextLike(sample) => write!(f, "string like {}", Quoted(sample)),
            Self::Bytes => f.write_str("bytes"),
            Self::Unit => f.write_str("unit"),
            Self::Seq => f.write_str("seq"),
            Self::Map => f.write_str("map"),
            Self::Tuple(len) => write!(f, "tuple {len}"),
            Self::Struct { exact: false } => f.write_str("struct"),
            Self::Struct { exact: true } => f.write_str("struct without unknown fields"),
            Self::Enum => f.write_str("enum"),
            Self::Tag(names) => list(f, "one", names),
            Self::Any(kinds) => list(f, "any", kinds),
            Self::Same(path) if path.is_empty() => f.write_str("same as the whole"),
            Self::Same(path) => write!(f, "same as {path}"),
            Self::Opaque => f.write_str("opaque"),
        }
    }
}

impl Node {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, nullable: false, optional: false, gone: false, was: Vec::new() }
    }

    /// Whether all that was stored as `old` is read as this.
    pub(super) fn reads(&self, old: &Self) -> bool {
        let null = self.nullable || !old.nullable || self.kind == Kind::Unit;
        null && (self.kind.reads(&old.kind) || self.nullable && old.kind == Kind::Unit)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut notes = text.split(", ");
        let kind = notes.next()?;
        let (kind, nullable) = kind.strip_suffix(" or null").map_or((kind, false), |kind| (kind, true));
        let mut node = Self { nullable, ..Self::new(Kind::parse(kind)?) };
        for note in notes {
            match note.split_once(' ') {
                None if note == "gone" => node.gone = true,
                Some(("was", names)) => node.was = names.split(' ').map(parse_name).collect::<Option<_>>()?,
                _ => return None,
            }
        }
        Some(node)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, if self.nullable { " or null" } else { "" })?;
        for (at, name) in self.was.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { ", was " } else { " " }, Name(name))?;
        }
        f.write_str(if self.gone { ", gone" } else { "" })
    }
}

impl Shape {
    /// A struct without fields in place of nothing.
    pub(super) fn with_fields(mut self) -> Self {
        let whole = self.0.entry(String::new()).or_insert_with(|| Node::new(Kind::Unit));
        if whole.kind == Kind::Unit {
            whole.kind = Kind::Struct { exact: false };
        }
        self
    }

    /// The place around a place.
    pub(super) fn parent(&self, path: &str) -> Option<&str> {
        self.0.keys().filter(|around| around.len() < path.len() && is_in(path, around)).map(String::as_str).next_back()
    }

    /// Reads one line: a path, `?` where a field may be missing, ` = ` and the node.
    pub(super) fn parse_line(&mut self, line: &str) -> Option<()> {
        let (path, node) = line.split_once(" = ")?;
        let (path, optional) = match path.strip_suffix('?') {
            Some(path) => (path, true),
            None => (path, false),
        };
        self.0.insert(path.to_owned(), Node { optional, ..Node::parse(node)? }).is_none().then_some(())
    }

    /// The lines, in order.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(path, node)| format!("{path}{} = {node}", if node.optional { "?" } else { "" }))
    }

    /// An older node, as it is where fields have other names by now.
    pub(super) fn with_translated_kind(&self, old: &Node) -> Node {
        match &old.kind {
            Kind::Same(path) => Node { kind: Kind::Same(self.translated(path)), ..old.clone() },
            _ => old.clone(),
        }
    }

    /// The path that an older one has here, where fields have other names by now.
    pub(super) fn translated(&self, old: &str) -> String {
        let mut path = old.to_owned();
        // Paths are sorted, so what is around comes first.
        for (place, node) in &self.0 {
            for was in &node.was {
                let around = self.parent(place).unwrap_or_default();
                let alias = format!("{around}.{}", Name(was));
                if is_in(&path, &alias) {
                    path.replace_range(..alias.len(), place);
                }
            }
        }
        path
    }
}

/// Whether a type that looks first takes this; a wider number too is as good.
fn is_taken(takes: &[String], wanted: &str) -> bool {
    let is_as_wide = |taken: &str| {
        let widths = width(taken).zip(width(wanted));
        widths.is_some_and(|((sign, bits), (wanted_sign, wanted))| sign == wanted_sign && bits >= wanted)
    };
    takes.iter().any(|taken| taken == wanted || is_as_wide(taken))
}

/// The sign and the bits of what a type that looks first takes, if it is a number with a width.
pub(super) fn width(taken: &str) -> Option<(char, u32)> {
    let sign = taken.chars().next().filter(|sign| matches!(sign, 'u' | 'i'))?;
    Some((sign, taken[1..].parse().ok()?))
}

/// Whether a place is this one or inside of it.
pub(super) fn is_in(path: &str, around: &str) -> bool {
    path.strip_prefix(around).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ':', '[', '{']))
}

/// A name as it stands in a path or a line: quoted where it has other signs than names usually have.
pub(super) struct Name<'n>(pub(super) &'n str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |char: char| char.is_alphanumeric() || char == '_' || char == '-';
        if !self.0.is_empty() && self.0.chars().all(plain) { f.write_str(self.0) } else { Quoted(self.0).fmt(f) }
    }
}

/// A text with quotes around it, in one line, and without a space or a comma, at which lines are split.
struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = serde_json::to_string(self.0).map_err(|_| fmt::Error)?;
        f.write_str(&quoted.replace(' ', "\\u0020").replace(',', "\\u002c"))
    }
}

/// Reads a [`Name`].
pub(super) fn parse_name(text: &str) -> Option<String> {
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    (Name(text).to_string() == text).then(|| text.to_owned())
}
