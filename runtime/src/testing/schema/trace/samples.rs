//! The values that are tried, the most usual first.

/// Texts that are taken by types that take no others.
// ORDER: schemas in files name the first that was taken. What is added comes last, and nothing moves.
pub(super) const TEXTS: [&str; 22] = [
    "a",
    "",
    "1",
    "2024-01-02T03:04:05Z",
    "2024-01-02T03:04:05",
    "2024-01-02",
    "03:04:05",
    "2024-01-02T03:04:05+00:00[UTC]",
    "PT1S",
    "1s",
    "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "127.0.0.1/8",
    "https://example.org/",
    "a@example.org",
    "1.0.0",
    "EUR",
    "00",
    "AAAA",
];

pub(super) const UNSIGNED: [u8; 6] = [1, 0, 2, 10, 42, 100];
pub(super) const SIGNED: [i8; 7] = [1, 0, -1, 2, 10, 42, 100];
pub(super) const FLOATS: [f32; 5] = [1.0, 0.0, 0.5, -1.0, 100.0];
pub(super) const CHARS: [char; 3] = ['a', '0', ' '];
pub(super) const BYTES: [&[u8]; 6] = [b"", b"a", &[0; 4], &[0; 16], &[0; 32], &[0; 64]];
/// How long a sequence is.
pub(super) const LENGTHS: [usize; 5] = [1, 0, 2, 3, 4];

/// What a type may find that looks first. A struct takes an empty map or an empty sequence; only the map tells of fields.
#[derive(Debug, Clone, Copy)]
pub(super) enum Any {
    Text,
    Unsigned,
    Signed,
    Bool,
    Float,
    Null,
    Seq,
    Map,
    /// Numbers that fit into no narrower type.
    Wide(u64),
    WideSigned(i64),
}

// ORDER: of the numbers with a width, the wider ones come behind.
pub(super) const ANY: [(Any, &str); 16] = [
    (Any::Text, "string"),
    (Any::Unsigned, "integer"),
    (Any::Signed, "negative"),
    (Any::Bool, "bool"),
    (Any::Float, "float"),
    (Any::Null, "null"),
    (Any::Map, "map"),
    (Any::Seq, "seq"),
    (Any::Wide(0xff), "u8"),
    (Any::Wide(0xffff), "u16"),
    (Any::Wide(0xffff_ffff), "u32"),
    (Any::Wide(u64::MAX), "u64"),
    (Any::WideSigned(-0x80), "i8"),
    (Any::WideSigned(-0x8000), "i16"),
    (Any::WideSigned(-0x8000_0000), "i32"),
    (Any::WideSigned(i64::MIN), "i64"),
];
