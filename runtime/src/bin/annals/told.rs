//! What is said of a store, as text. Everything that came from outside is escaped: it can do nothing to a terminal.

use std::fmt::Write as _;
use std::path::Path;

use annals::journal::{Corrupt, Durability, Lost, Place, Repair, Repaired, Report, StoreStats, StreamInfo};

/// Text on one line that does nothing to a terminal.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        // Those that turn the direction of text around are no control characters.
        let is_harmful = char.is_control()
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if is_harmful {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
    }
    escaped
}

pub(crate) fn path(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

pub(crate) fn finding(corrupt: &Corrupt) -> String {
    let place = match &corrupt.place {
        Place::Stream { stream, id: Some(id), from } => {
            format!("{}/{} (stream {stream}) from sequence number {from}", id.aggregate, id.entity.as_str())
        }
        place => place.to_string(),
    };
    escaped(&format!("{place}: {}", corrupt.reason))
}

pub(crate) fn report(store: &Path, report: &Report) -> String {
    let mut text = String::new();
    for corrupt in &report.findings {
        text.push_str("damaged: ");
        text.push_str(&finding(corrupt));
        text.push('\n');
    }
    if report.more_findings > 0 {
        // A string takes everything.
        let _ = writeln!(text, "damaged: {} places more", report.more_findings);
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {}", escaped(note));
    }
    if report.is_counted {
        let _ = writeln!(
            text,
            "{} records in {} groups, {} runs, {} streams, {} snapshots, {} keys",
            report.records, report.groups, report.runs, report.streams, report.snapshots, report.keys
        );
    } else {
        text.push_str("nothing was counted\n");
    }
    let findings = u64::try_from(report.findings.len()).unwrap_or(u64::MAX).saturating_add(report.more_findings);
    let _ = match findings {
        0 => writeln!(text, "{} is whole", path(store)),
        1 => writeln!(text, "{} is damaged in one place; `annals repair` says what can be done", path(store)),
        n => writeln!(text, "{} is damaged in {n} places; `annals repair` says what can be done", path(store)),
    };
    text.push_str(&comes_to(report));
    text.push('\n');
    text
}

/// What a report comes to, in one line.
fn comes_to(report: &Report) -> String {
    if report.is_whole() && report.without_snapshot > 0 {
        return "nothing is lost, if the snapshots that aren't here are elsewhere".to_owned();
    }
    if report.is_whole() {
        return "nothing is lost".to_owned();
    }
    if !report.is_counted {
        return "what is lost can't be told: the records couldn't be looked at, and the store doesn't open".to_owned();
    }
    let (mut offsets, mut are_streams_damaged, mut are_others_damaged) = (None, false, report.more_findings > 0);
    for corrupt in &report.findings {
        match &corrupt.place {
            Place::Offsets { from, to } => {
                let (first, last) = offsets.unwrap_or((*from, *to));
                offsets = Some((first.min(*from), last.max(*to)));
            }
            Place::Stream { .. } => are_streams_damaged = true,
            // Without those of the keys, all records can be read: they were.
            Place::File { path } => are_others_damaged |= path.ends_with("keys"),
            _ => are_others_damaged = true,
        }
    }
    match (offsets, are_streams_damaged || are_others_damaged) {
        (Some((from, to)), false) => format!("records from offset {from} to {to} are lost, or some of them"),
        (Some((from, to)), true) => format!("records from offset {from} to {to} are lost, or some of them, and others"),
        (None, true) => "what is lost can't be told here: `annals repair --dry-run` says it".to_owned(),
        (None, false) => "no record is lost".to_owned(),
    }
}

pub(crate) fn repair(store: &Path, repair: &Repair) -> String {
    let mut text = String::new();
    let would = if matches!(repair.outcome, Repaired::Done { .. }) { "" } else { "would be " };
    for corrupt in &repair.report.findings {
        // A string takes everything.
        let _ = writeln!(text, "damaged: {}", finding(corrupt));
    }
    for lost in &repair.lost {
        let _ = writeln!(text, "{would}lost: {}", self::lost(lost));
    }
    if repair.more_lost > 0 {
        let _ = writeln!(text, "{would}lost: {} parts more", repair.more_lost);
    }
    for note in &repair.notes {
        let _ = writeln!(text, "note: {}", escaped(note));
    }
    let store = path(store);
    let nothing = if repair.lost.is_empty() { ", and no record is lost" } else { "" };
    let _ = match &repair.outcome {
        Repaired::Whole => writeln!(text, "{store} is whole: there is nothing to repair"),
        Repaired::Possible => writeln!(text, "{store} can be repaired{nothing}; nothing was changed"),
        Repaired::Done { damaged } => {
            writeln!(text, "{store} is repaired{nothing}\nthe damaged store is kept at {}", path(damaged))
        }
        _ => writeln!(
            text,
            "{store} was not changed: something that was acknowledged would be lost, or may be. Look for a backup first. \
             `--accept-data-loss` keeps the rest"
        ),
    };
    text
}

fn lost(lost: &Lost) -> String {
    let mut text = match (&lost.id, lost.stream) {
        (Some(id), _) => format!("{}/{}", escaped(&id.aggregate), escaped(id.entity.as_str())),
        (None, Some(stream)) => format!("stream {stream}"),
        (None, None) => "records of unknown streams".to_owned(),
    };
    if let Some((from, to)) = lost.seq_nrs {
        let _ = write!(text, ", sequence numbers {from} to {to}");
    }
    if let Some((from, to)) = lost.offsets {
        let _ = write!(text, ", offsets {from} to {to}");
    }
    if !lost.acknowledged {
        text.push_str(" (nobody was told that they are stored)");
    }
    text
}

/// A stream on one line.
pub(crate) fn stream(info: &StreamInfo) -> String {
    let id = info.id.as_ref().map_or("(forgotten)".to_owned(), |id| escaped(id.entity.as_str()));
    let mut line = format!("{}/{id}\t", escaped(&info.aggregate));
    let _ = match info.first() {
        Some(first) if first == info.last => write!(line, "{first}"),
        Some(first) => write!(line, "{first}..{}", info.last),
        None => write!(line, "none of {}", info.last),
    };
    let deleted = if info.floor.0 > 0 { format!("deleted up to {}", info.floor) } else { String::new() };
    let notes = [
        deleted.as_str(),
        if info.ended && !info.forgotten { "ended" } else { "" },
        if info.forgotten { "forgotten" } else { "" },
        if info.encrypted && !info.forgotten { "encrypted" } else { "" },
    ];
    let notes: Vec<_> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    if !notes.is_empty() {
        line.push('\t');
        line.push_str(&notes.join(", "));
    }
    line.push('\n');
    line
}

pub(crate) fn stats(store: &Path, stats: &StoreStats) -> String {
    let durability = match stats.durability {
        Durability::Fsync => "power loss",
        Durability::Os => "a crash of the process",
        Durability::Memory => "nothing",
    };
    let files: u64 = stats.files.iter().map(|(_, bytes)| bytes).sum();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line("store", format!("{}, id {:016x}", path(store), stats.store));
    line(
        "opened",
        format!("{} times; {}", stats.epoch, if stats.closed { "closed in order" } else { "not closed in order" }),
    );
    line("survives", durability.to_owned());
    line(
        "streams",
        format!(
            "{}, of them {} deleted, {} encrypted, {} forgotten",
            stats.streams, stats.ended, stats.encrypted, stats.forgotten
        ),
    );
    line("records", format!("{}, and {} deleted; the last offset is {}", stats.records, stats.deleted, stats.last));
    line("groups", format!("{}, with runs of {} bytes", stats.groups, stats.run_bytes));
    line("snapshots", format!("{} of {} bytes", stats.snapshots, stats.snapshot_bytes));
    line("deadlines", format!("{} armed", stats.deadlines));
    line("on the disk", format!("{files} bytes in {} files", stats.files.len()));
    for (file, bytes) in &stats.files {
        line("", format!("{bytes:>12}  {}", path(file)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_moves_a_cursor_or_turns_text_around() {
        for harmful in ["\u{1b}[2J", "a\nb", "\r", "\u{7}", "\u{202e}txt", "\u{9b}31m", "\0", "\u{2066}", "\u{200f}"] {
            let shown = escaped(harmful);
            assert!(shown.chars().all(|char| char.is_ascii_graphic()), "{shown:?}");
        }
        assert_eq!(escaped("Zoë 日本 🐢"), "Zoë 日本 🐢");
    }
}
