//! What is told of a store that is whole, and of what is none.

use super::*;

/// The store was made with a random id: it is no secret, but not worth reading.
const ID: &str = "fca24b4fe553c79f";

#[test]
fn a_store_is_verified_and_nothing_in_it_is_changed() {
    let place = Place::golden();
    let before = files(&place.path("store"));
    let ran = place.fine(&["verify", "store"]);
    insta::assert_snapshot!(ran.out, @r"
    35 records in 37 groups, 26 runs, 8 streams, 3 snapshots, 2 keys
    store is whole
    nothing is lost
    ");
    for args in [&["list", "store"][..], &["stats", "store"], &["show", "store", "Oven/busy"], &["repair", "store"]] {
        place.fine(args);
    }
    assert!(files(&place.path("store")) == before);
    assert_eq!(place.names(), ["store"], "nothing is left beside it");
    let report = place.fine(&["verify", "store", "--json"]).json();
    assert_eq!((&report["whole"], &report["store"]), (&Value::Bool(true), &Value::from(ID)));
}

#[test]
fn streams_are_listed_by_aggregate() {
    let place = Place::golden();
    let listed = place.fine(&["list", "store"]).out;
    insta::assert_snapshot!(listed);
    let purses = place.fine(&["list", "store", "--aggregate", "Purse"]).out;
    insta::assert_snapshot!(purses, @r"
    Purse/deleted	2	deleted up to 1, ended
    Purse/with coins	1..7
    ");
    assert_eq!(place.fine(&["list", "store", "--aggregate", "Purs"]).out, "");
}

#[test]
fn a_long_list_is_read_page_by_page() {
    let place = Place::golden();
    let whole = place.fine(&["list", "store", "--json"]).lines();
    let (mut after, mut paged) = (None, Vec::new());
    loop {
        let mut args = vec!["list", "store", "--json", "--limit", "3"];
        args.extend(after.iter().flat_map(|after: &String| ["--after", after.as_str()]));
        let page = place.fine(&args).lines();
        let Some(last) = page.iter().rev().find(|line| line["id"].is_string()) else { break };
        after = Some(format!("{}/{}", last["aggregate"].as_str().unwrap(), last["id"].as_str().unwrap()));
        let is_last = page.len() < 3;
        paged.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(paged, whole);
}

#[test]
fn records_are_shown_without_their_types() {
    let place = Place::golden();
    insta::assert_snapshot!(place.fine(&["show", "store", "Purse/with coins"]).out);
    insta::assert_snapshot!(place.fine(&["show", "store", "Oven", "idle"]).out);
    insta::assert_snapshot!(place.fine(&["show", "store", "Purse/deleted"]).out, @r#"{"seq_nr":2,"offset":30,"time":"2026-01-01T02:00:01Z","kind":"tombstone"}"#);
    let kept = place.fine(&["show", "store", "Patient/kept", "--from", "2"]).lines();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["payload"]["note"], "a cold");
    let some = place.fine(&["show", "store", "Purse/with coins", "--from", "3", "--to", "4"]).lines();
    assert_eq!(some.iter().map(|line| line["seq_nr"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn numbers_are_told() {
    let place = Place::golden();
    let told = place.fine(&["stats", "store"]).out;
    let (numbers, _files) = told.split_once("on the disk").unwrap();
    insta::assert_snapshot!(numbers);
    let stats = place.fine(&["stats", "store", "--json"]).json();
    assert_eq!(stats["streams"], 8);
    assert_eq!(stats["deadlines"], 1);
    assert_eq!(stats["closed"], true);
    let listed: u64 = stats["files"].as_array().unwrap().iter().map(|file| file["bytes"].as_u64().unwrap()).sum();
    assert!(listed > 8192);
}

#[test]
fn an_id_can_do_nothing_to_a_terminal() {
    let place = Place::empty();
    let odd = "a/\u{1b}[2J\n\u{202e}b\0";
    let journal = FjallJournal::open(place.path("store"), FjallOptions::new()).unwrap();
    block_on(async {
        let id = PersistenceId::new("odd\n", odd);
        let head = journal.open_stream(&id).await.unwrap();
        let mut run = RunBuilder::new(head.stream, id, SeqNr(1));
        let event = EventRecord { name: "e\u{1b}", version: 1, codec: Codec::Json, payload: b"{}" };
        run.push_write(&Written::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
        journal.append(vec![run.seal(&journal.facts(), 1)]).await;
        journal.close().await.unwrap();
    });
    let listed = place.fine(&["list", "store"]).out;
    assert!(listed.chars().all(|char| char == '\n' || char == '\t' || !char.is_control()), "{listed:?}");
    assert_eq!(listed.lines().count(), 1);
    assert!(!listed.contains('\u{202e}'));
    let line = &place.fine(&["list", "store", "--json"]).lines()[0];
    assert_eq!((line["aggregate"].as_str(), line["id"].as_str()), (Some("odd\n"), Some(odd)));
    let shown = place.fine(&["list", "store", "--aggregate", "odd\n", "--json"]).out;
    assert!(!shown.contains('\u{1b}'));
    let refused = place.run(&["show", "store", "odd\n", "\u{1b}[31m"]);
    assert_eq!(refused.code, 2);
    assert!(!refused.err.contains('\u{1b}'), "{refused:?}");
}

#[test]
fn what_is_no_store_can_not_be_looked_at() {
    let place = Place::golden();
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("letter"), "dear").unwrap();
    fs::create_dir(place.path("letters")).unwrap();
    fs::write(place.path("letters/one"), "dear").unwrap();
    for what in ["missing", "empty", "letter", "letters"] {
        for command in ["verify", "repair", "list", "stats", "export"] {
            let ran = place.run(&[command, what]);
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{command} {what}: {ran:?}");
            assert!(ran.err.starts_with("annals: ") && ran.err.contains(what), "{ran:?}");
        }
    }
    assert_eq!(place.run(&["show", "store", "Purse/nobody"]).code, 2);
    assert_eq!(place.run(&["show", "store", "Patient/forgotten"]).code, 2);
    assert_eq!(place.names(), ["empty", "letter", "letters", "store"]);
}

#[test]
fn a_store_that_is_open_is_left_alone() {
    let place = Place::golden();
    let journal = FjallJournal::open(place.path("store"), FjallOptions::new()).unwrap();
    for command in ["verify", "repair", "list", "stats", "export"] {
        let ran = place.run(&[command, "store"]);
        assert_eq!(ran.code, 2, "{command}: {ran:?}");
        assert!(ran.err.contains(&format!("is open already in process {}", std::process::id())), "{ran:?}");
    }
    drop(journal);
    place.fine(&["verify", "store"]);
}

#[test]
fn a_newer_format_can_not_be_looked_at() {
    let place = Place::golden();
    let mut head = fs::read(place.path("store/head")).unwrap();
    for slot in head.chunks_mut(4096) {
        slot[8] = 2;
        let sum = xxhash_rust::xxh3::xxh3_64_with_seed(&slot[..4088], 0);
        slot[4088..].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(place.path("store/head"), head).unwrap();
    let ran = place.run(&["verify", "store"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("a newer version wrote it"), "{ran:?}");
}

#[test]
fn a_wrong_command_line_is_told_with_the_right_one() {
    let place = Place::empty();
    for args in [&[][..], &["verify"], &["repiar", "store"], &["list", "store", "--from", "1"], &["list", "a", "b"]] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(ran.err.contains("usage: annals verify"), "{ran:?}");
    }
    let help = place.fine(&["--help"]).out;
    for command in ["verify", "repair", "list", "show", "stats", "export", "import"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_who_has_enough_is_no_failure() {
    let place = Place::golden();
    let shell = format!("'{}' list store | head -n 1", env!("CARGO_BIN_EXE_annals"));
    let output = Command::new("sh").args(["-c", &shell]).current_dir(place.dir.path()).output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"Oven/busy\t1..7\n"[..], &b""[..]));
}
