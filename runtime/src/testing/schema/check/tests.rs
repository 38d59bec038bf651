//! What happens to the file.

use super::*;

const DOOR: &str = include_str!("../rules/tests/door.schema");

/// A file with this text, compared with code that says something else.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new(text: &str) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        fs::write(files.path(), text).unwrap();
        files
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("door.schema")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// The result, with the path of the file left out.
    fn check(&self, wish: Wish, code: &str) -> Result<(), String> {
        let schema = |codec: Codec| Schema { codec: codec.to_string(), ..code.parse().unwrap() };
        let codec = if code.contains("codec JSON") { Codec::Json } else { Codec::MessagePack };
        let hidden = |message: String| message.replace(&self.path().display().to_string(), "door.schema");
        check(&self.path(), wish, schema, codec).map_err(hidden)
    }
}

#[test]
fn a_schema_is_written_as_it_is_read() {
    let schema: Schema = DOOR.parse().unwrap();
    assert_eq!(schema.to_string(), DOOR);
}

#[test]
fn odd_names_are_written_as_they_are_read() {
    let odd = DOOR.replace("event painted", r#"event "a\u0020b\u002c.c""#).replace(
        "v2.note? = string or null",
        r#"v2."x\u0020=\u0020y"? = string like "\u0020\"\u002c" or null, was "" a, gone"#,
    );
    let schema: Schema = odd.parse().unwrap();
    let text = schema.to_string();
    assert!(text.contains(r#"event "a\u0020b\u002c.c""#), "{text}");
    assert!(text.contains(r#"v2."x\u0020=\u0020y"? = string like "\u0020\"\u002c" or null, was "" a, gone"#), "{text}");
    assert_eq!(text.parse::<Schema>().unwrap(), schema);
}

#[test]
fn what_is_as_the_file_says_passes_and_nothing_is_written() {
    let files = Files::new(&DOOR.replace('\n', "\r\n"));
    for wish in [Wish::Read, Wish::Update, Wish::OnlyRead, Wish::Overwrite] {
        files.check(wish, DOOR).unwrap();
    }
    assert!(files.text().contains("\r\n"));
}

#[test]
fn a_file_that_is_missing_is_written_when_that_is_asked_for() {
    let files = Files::new("");
    fs::remove_file(files.path()).unwrap();
    insta::assert_snapshot!(files.check(Wish::Read, DOOR).unwrap_err(), @r#"
    there is no file `door.schema` with the schema of `Door`. To write it, run the test once with ANNALS_SCHEMA=update, and commit the file
    "#);
    assert!(!files.path().exists());
    files.check(Wish::Update, DOOR).unwrap();
    assert_eq!(files.text(), DOOR);
}

#[test]
fn a_file_that_is_missing_is_not_written_in_ci() {
    let files = Files::new("");
    fs::remove_file(files.path()).unwrap();
    insta::assert_snapshot!(files.check(Wish::OnlyRead, DOOR).unwrap_err(), @r#"
    there is no file `door.schema` with the schema of `Door`, and in CI none is written. Run the test once with ANNALS_SCHEMA=update where you work, and commit the file
    "#);
    assert!(!files.path().exists());
}

#[test]
fn what_breaks_nothing_is_written_by_an_update() {
    let files = Files::new(DOOR);
    let code = DOOR.replace("  v2.times = u64\n", "  v2.times? = u64\n");
    insta::assert_snapshot!(files.check(Wish::Read, &code).unwrap_err(), @r#"
    `Door` is not as `door.schema` says.

    This is different, and breaks nothing:
    - event `opened`, version 2: `times` may be missing now

    If this is meant, run the test once with ANNALS_SCHEMA=update, and commit the file.
    "#);
    assert_eq!(files.text(), DOOR);
    files.check(Wish::Update, &code).unwrap();
    assert_eq!(files.text(), code);
    files.check(Wish::Read, &code).unwrap();
}

#[test]
fn what_breaks_is_written_only_over_what_is_there() {
    let files = Files::new(DOOR);
    let code = DOOR.replace("  v2.times = u64\n", "  v2.times = u8\n");
    let message = files.check(Wish::Update, &code).unwrap_err();
    assert_eq!(files.check(Wish::Read, &code).unwrap_err(), message);
    assert_eq!(files.check(Wish::OnlyRead, &code).unwrap_err(), message);
    insta::assert_snapshot!(message, @r#"
    `Door` is not as `door.schema` says.

    This breaks what is stored:
    - event `opened`, version 2: `times` was `u64` and is `u8` now, which doesn't read the old; keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`

    ANNALS_SCHEMA=update doesn't accept what breaks. If no store that matters holds any of it yet, run the test once with ANNALS_SCHEMA=overwrite.
    "#);
    assert_eq!(files.text(), DOOR);
    files.check(Wish::Overwrite, &code).unwrap();
    assert_eq!(files.text(), code);
}

#[test]
fn what_was_removed_is_remembered() {
    let files = Files::new(DOOR);
    let code = DOOR
        .replace("event closed\n  version 1\n  v1 = struct\n\n", "")
        .replace("  was unlocked\n", "")
        .replace("  v2.times = u64\n", "")
        .replace("state Gone\n  terminal\n\n", "")
        .replace("  was Ajar\n", "")
        .replace("edge Open --remove--> Gone\n", "");
    files.check(Wish::Overwrite, &code).unwrap();
    insta::assert_snapshot!(files.text(), @r#"
    annals schema 1
    aggregate Door
    codec MessagePack
    retain all

    snapshots
      version 2
      written opened: u64
      written by: String
      v1 = struct
      v1.times = u32
      v2 = struct
      v2.by? = string
      v2.opened = u64

    event opened
      version 2
      written by: Vec < Person >
      written note: Option < String >
      written times: u64
      v1 = struct
      v1.by = string
      v2 = struct
      v2.by = seq
      v2.by[] = struct
      v2.by[].age = u32
      v2.by[].way = enum
      v2.by[].way::Force = u8
      v2.by[].way::Key = unit
      v2.note? = string or null
      v2.times? = u64, gone

    event painted
      version 1
      written 0: String
      written 1: u8
      v1 = tuple 2
      v1.0 = string
      v1.1 = u8

    event seen
      version 1
      written at: jiff :: Timestamp
      v1 = opaque

    retired event closed
      version 1
      v1 = struct

    retired event unlocked
      version 2
      written by: Vec < Person >
      written note: Option < String >
      written times: u64
      v1 = struct
      v1.by = string
      v2 = struct
      v2.by = seq
      v2.by[] = struct
      v2.by[].age = u32
      v2.by[].way = enum
      v2.by[].way::Force = u8
      v2.by[].way::Key = unit
      v2.note? = string or null
      v2.times = u64

    state Closed
      initial

    state Open
      deadline 30s

    edge Closed --open--> Open
    edge Open --after 30s--> Closed

    retired state Ajar
    retired state Gone
    "#);
    // It is remembered by each that follows, and isn't told again.
    files.check(Wish::Read, &code).unwrap();
    // What comes back is forgotten to have been gone.
    files.check(Wish::Overwrite, DOOR).unwrap();
    assert_eq!(files.text(), DOOR);
}

#[test]
fn an_ignored_event_stays_as_it_was_stored() {
    let files = Files::new(DOOR);
    let code = DOOR.replace("event painted\n  version 1\n", "event painted\n  version 1\n  ignored since \"2.0\"\n");
    let shapeless = code.replace("  v1 = tuple 2\n  v1.0 = string\n  v1.1 = u8\n", "  v1 = struct\n");
    files.check(Wish::Update, &shapeless).unwrap();
    assert!(files.text().contains("v1.0 = string"), "{}", files.text());
    files.check(Wish::Read, &shapeless).unwrap();
    let applied = shapeless.replace("  ignored since \"2.0\"\n", "");
    assert!(files.check(Wish::Update, &applied).unwrap_err().contains("breaks what is stored"));
}

#[test]
fn another_codec_is_written_by_an_update() {
    let files = Files::new(DOOR);
    let code = DOOR.replace("codec MessagePack", "codec JSON");
    assert!(files.check(Wish::Read, &code).is_err());
    files.check(Wish::Update, &code).unwrap();
    assert_eq!(files.text(), code);
}

#[test]
fn a_file_that_was_edited_by_hand_is_told() {
    let files = Files::new(&DOOR.replace("\n\nevent", "\nevent"));
    insta::assert_snapshot!(files.check(Wish::Read, DOOR).unwrap_err(), @r#"
    `Door` is not as `door.schema` says.

    The file is written in another way than annals writes it.

    If this is meant, run the test once with ANNALS_SCHEMA=update, and commit the file.
    "#);
}

#[test]
fn a_file_that_is_no_schema_is_never_written() {
    let bad = |text: String| {
        let files = Files::new(&text);
        let message = files.check(Wish::Overwrite, DOOR).unwrap_err();
        assert_eq!(files.text(), text);
        message
    };
    let merge = DOOR.replace("state Open\n", "<<<<<<< HEAD\nstate Open\n=======\nstate Ajar\n>>>>>>> other\n");
    let messages = [
        bad(String::new()),
        bad("# A readme\n".to_owned()),
        bad(DOOR.replace("schema 1", "schema 2")),
        bad(merge),
        bad(DOOR.replace("v2.times = u64", "v2.times = u65")),
        bad(DOOR.replace("  version 2\n  written by", "  written by")),
        bad(DOOR.replace("event painted", "event opened")),
        bad(DOOR.replace("codec MessagePack\n", "")),
        bad(DOOR.replace("retain all", "retain all\nmodest")),
        bad("annals schema 1\n  v1 = u8\n".to_owned()),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r#"
    `door.schema` can't be read as a schema: it doesn't begin with `annals schema 1`, as a schema does. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: it doesn't begin with `annals schema 1`, as a schema does. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: it is written in format 2, and this version of annals knows it up to 1: update annals. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: line 57 is left from a merge: keep what both sides added, and remove the markers. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: line 36 makes no sense there: `  v2.times = u65`. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: it has no line that begins with `  version`. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: line 38 makes no sense there: `event opened`. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: it has no line that begins with `codec`. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: line 5 makes no sense there: `modest`. Take it from version control again, or mend it by hand
    `door.schema` can't be read as a schema: line 2 makes no sense there: `  v1 = u8`. Take it from version control again, or mend it by hand
    "#);
}

#[test]
fn no_damage_of_a_file_makes_it_panic() {
    for at in 0..DOOR.len() {
        let _ = DOOR[..at].parse::<Schema>();
        let _ = format!("{}{}", &DOOR[..at], &DOOR[at + 1..]).parse::<Schema>().map(|schema| {
            let door: Schema = DOOR.parse().unwrap();
            let _ = door.changes_since(&schema);
            assert_eq!(schema.to_string().parse::<Schema>().unwrap(), schema);
            let _ = merged(&schema, &door).to_string();
        });
    }
}

#[test]
fn a_variant_that_was_removed_over_what_is_there_is_not_told_for_ever() {
    let files = Files::new(DOOR);
    let code = DOOR.replace("  v2.by[].way::Key = unit\n", "");
    assert!(files.check(Wish::Update, &code).unwrap_err().contains("`by[].way::Key` is gone"));
    files.check(Wish::Overwrite, &code).unwrap();
    files.check(Wish::Read, &code).unwrap();
}

#[test]
fn a_field_that_was_removed_and_is_refused_is_not_told_for_ever() {
    let files = Files::new(DOOR);
    let code = DOOR
        .replace("  v2.times = u64\n", "")
        .replace("  v2 = struct\n  v2.by = seq", "  v2 = struct without unknown fields\n  v2.by = seq");
    files.check(Wish::Update, &code).unwrap_err();
    files.check(Wish::Overwrite, &code).unwrap();
    files.check(Wish::Read, &code).unwrap();
}

#[test]
fn that_events_were_deleted_once_is_remembered() {
    let deleting = DOOR.replace("retain all\n", "retain since_snapshot\ndeleted once\n");
    let files = Files::new(&deleting);
    files.check(Wish::Update, DOOR).unwrap();
    assert_eq!(files.text(), DOOR.replace("retain all\n", "retain all\ndeleted once\n"));
    files.check(Wish::Read, DOOR).unwrap();
}
