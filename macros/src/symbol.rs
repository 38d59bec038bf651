//! The words of the attributes, each once.

pub(crate) const AFTER: &str = "after";
pub(crate) const COMMAND: &str = "command";
pub(crate) const ENTER: &str = "enter";
pub(crate) const EVENT: &str = "event";
pub(crate) const EXIT: &str = "exit";
pub(crate) const IGNORE: &str = "ignore";
pub(crate) const ON: &str = "on";
pub(crate) const QUERY: &str = "query";
pub(crate) const REJECT: &str = "reject";

pub(crate) const AGGREGATE: &str = "aggregate";
pub(crate) const FSM: &str = "fsm";

/// The macros for impl blocks.
pub(crate) const BLOCK_MACROS: &[&str] = &[AGGREGATE, FSM];
/// What marks a method in an `#[aggregate]` block.
pub(crate) const AGGREGATE_MARKERS: &[&str] = &[EVENT, COMMAND, QUERY];
/// What marks a method in a block with states only.
pub(crate) const FSM_MARKERS: &[&str] = &[ON, AFTER, ENTER, EXIT, REJECT];
/// What marks a method in an `#[fsm]` block. `#[ignore]` is Rust's own, of tests, which no such method is.
pub(crate) const MACHINE_MARKERS: &[&str] = &[EVENT, ON, AFTER, ENTER, EXIT, QUERY, IGNORE, REJECT];
/// What stands beside `#[on]`.
pub(crate) const BESIDE_ON: &[&str] = &[IGNORE, REJECT];

pub(crate) const CODEC: &str = "codec";
pub(crate) const CRATE: &str = "crate";
pub(crate) const DERIVE: &str = "derive";
pub(crate) const EVERY: &str = "every";
pub(crate) const EXHAUSTIVE: &str = "exhaustive";
pub(crate) const FORGETTABLE: &str = "forgettable";
pub(crate) const IGNORED_SINCE: &str = "ignored_since";
pub(crate) const KEEP: &str = "keep";
pub(crate) const MOD: &str = "mod";
pub(crate) const NAME: &str = "name";
pub(crate) const RETAIN: &str = "retain";
pub(crate) const SERVICES: &str = "services";
pub(crate) const SKIP: &str = "skip";
pub(crate) const SNAPSHOT: &str = "snapshot";
pub(crate) const STATES: &str = "states";
pub(crate) const UPCAST: &str = "upcast";
pub(crate) const VERSION: &str = "version";
pub(crate) const VIS: &str = "vis";
pub(crate) const WAS: &str = "was";

/// The keys of `#[aggregate(..)]`.
pub(crate) const AGGREGATE_KEYS: &[&str] =
    &[NAME, EVENT, CODEC, SERVICES, SNAPSHOT, RETAIN, FORGETTABLE, VIS, DERIVE, CRATE];
/// The keys of `#[fsm(..)]`.
pub(crate) const FSM_KEYS: &[&str] =
    &[STATES, EXHAUSTIVE, NAME, EVENT, CODEC, SERVICES, SNAPSHOT, RETAIN, FORGETTABLE, VIS, DERIVE, MOD, CRATE];
/// The keys of `snapshot(..)`.
pub(crate) const SNAPSHOT_KEYS: &[&str] = &[EVERY, KEEP];
/// The keys of `#[on(..)]` after the arrow and its targets.
pub(crate) const ON_KEYS: &[&str] = &[COMMAND];
/// The keys of `#[event(..)]` on a method or a variant.
pub(crate) const EVENT_KEYS: &[&str] = &[NAME, WAS, VERSION, UPCAST, IGNORED_SINCE];
/// The keys of `#[event(..)]` on an enum.
pub(crate) const EVENT_ENUM_KEYS: &[&str] = &[CRATE];
/// The keys of `#[snapshot(..)]` on a type.
pub(crate) const SNAPSHOT_DERIVE_KEYS: &[&str] = &[VERSION, UPCAST, CRATE];
/// The keys whose values are in parentheses.
pub(crate) const LIST_KEYS: &[&str] = &[WAS, UPCAST, DERIVE, STATES];
/// The keys without a value.
pub(crate) const FLAG_KEYS: &[&str] = &[EXHAUSTIVE, FORGETTABLE];
/// The keys that may stand alone, or have a list.
pub(crate) const OPTIONAL_LIST_KEYS: &[&str] = &[SNAPSHOT];

pub(crate) const INITIAL: &str = "initial";
pub(crate) const TERMINAL: &str = "terminal";
pub(crate) const TRANSIENT: &str = "transient";
/// What may stand before a state.
pub(crate) const STATE_WORDS: &[&str] = &[INITIAL, TRANSIENT, TERMINAL];
/// The units of a duration.
pub(crate) const UNITS: &[&str] = &["ms", "s", "min", "h", "d"];

pub(crate) const JSON: &str = "json";
pub(crate) const MESSAGE_PACK: &str = "message_pack";
/// The values of `codec`.
pub(crate) const CODECS: &[&str] = &[MESSAGE_PACK, JSON];

pub(crate) const ALL: &str = "all";
pub(crate) const SINCE_SNAPSHOT: &str = "since_snapshot";
/// The values of `retain`; what isn't a word is a duration.
pub(crate) const RETENTIONS: &[&str] =
    &[ALL, SINCE_SNAPSHOT, "a duration such as 90d", "the path of a `Duration` constant"];

pub(crate) const APPLYING: &str = "applying";
pub(crate) const GOTO: &str = "goto";
pub(crate) const STAY: &str = "stay";
/// The words that begin a step.
pub(crate) const STEP_WORDS: &[&str] = &[APPLYING, GOTO, STAY];
pub(crate) const FOR_MAX: &str = "for_max";
pub(crate) const CONTEXT: &str = "Context";
pub(crate) const EFFECTS: &str = "Effects";
pub(crate) const OPTION: &str = "Option";
pub(crate) const RESULT: &str = "Result";
pub(crate) const STEP: &str = "Step";

/// The methods that every ref has, or may get.
pub(crate) const REF_METHODS: &[&str] = &["id", "send", "clone", "state", "accepts", "snapshot"];

/// What the generated enums derive in any case.
pub(crate) const ENUM_DERIVES: &[&str] = &["Debug", "Clone", "PartialEq"];
/// What the enum of states derives in any case.
pub(crate) const STATE_ENUM_DERIVES: &[&str] =
    &["Debug", "Clone", "Copy", "PartialEq", "Eq", "Hash", "PartialOrd", "Ord"];
/// What the generated event enum derives beside.
pub(crate) const EVENT_DERIVE: &str = "Event";

/// The keys of serde on an enum that change how a variant's name is written.
pub(crate) const SERDE_ENUM_KEYS: &[&str] = &["tag", "content", "untagged", "from", "into", "try_from", "remote"];
/// The same on a variant, and those that leave it out.
pub(crate) const SERDE_VARIANT_KEYS: &[&str] = &["other", "skip", "skip_serializing", "skip_deserializing", "untagged"];

/// The keys of serde on a field with which it isn't what it was once it has been written and read.
pub(crate) const SERDE_LOSING_KEYS: &[&str] = &["skip", "skip_serializing", "skip_deserializing"];
pub(crate) const SKIP_SERIALIZING_IF: &str = "skip_serializing_if";
pub(crate) const DEFAULT: &str = "default";
/// The keys of serde with which a field is written in a way of its own.
pub(crate) const SERDE_WAYS: &[&str] = &["with", "serialize_with"];

pub(crate) const SERDE: &str = "serde";
/// Types that serde knows in any case.
pub(crate) const SERDE_KNOWS: &[&str] = &[
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "String", "u8", "u16", "u32", "u64",
    "u128", "usize",
];

/// What Mermaid's lexer takes for its own, in any case, where a state may stand; and names of its own nodes.
pub(crate) const MERMAID_WORDS: &[&str] = &[
    "accdescr",
    "acctitle",
    "class",
    "classdef",
    "click",
    "default",
    "end",
    "href",
    "note",
    "root",
    "root_end",
    "root_start",
    "scale",
    "state",
    "statediagram",
    "style",
];
