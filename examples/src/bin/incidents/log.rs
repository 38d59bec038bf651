//! The audit log: a CSV file, perhaps gzipped, whose rows tell how a ticket stood after each change.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::str;

use annals::{EntityId, InvalidId};
use flate2::bufread::MultiGzDecoder;
use jiff::civil::DateTime;

use crate::records::{Record, Records, Torn};
use crate::shown::shown;
use crate::ticket::TicketState;

/// A log to try the program with. All of it is invented.
const SAMPLE: &[u8] = include_bytes!("../../../data/incidents.csv");

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How dates are written: day, month, year, hour and minute, and no time zone.
const DATE_FORMAT: &str = "%d/%m/%Y %H:%M";

/// How a field without content is written.
const NOTHING: &str = "?";

/// How much of a header is shown where a column is missing.
const HEADER_CHARS_MAX: usize = 1_000;

/// One record of the log.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    /// The line on which it begins; the header's is 1.
    pub(crate) line: u64,
    /// The ticket, if that much could be read.
    pub(crate) ticket: Option<String>,
    pub(crate) row: Result<Row, BadRow>,
}

/// How a ticket stood after a change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) state: TicketState,
    pub(crate) opened_at: DateTime,
    pub(crate) updated_at: DateTime,
    /// The group that it is assigned to, if the log names one.
    pub(crate) group: Option<String>,
    /// The log's own counters.
    pub(crate) reopens: u32,
    pub(crate) reassignments: u32,
}

/// Why a row means nothing to the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRow {
    #[error("the state `{0}` is none of the machine's")]
    UnknownState(String),
    #[error(transparent)]
    Torn(#[from] Torn),
    #[error("`{column}` is empty")]
    Empty { column: &'static str },
    #[error("`{column}` can't name a ticket: {why}")]
    NoName { column: &'static str, why: InvalidId },
    #[error("`{column}` is not UTF-8")]
    NotUtf8 { column: &'static str },
    #[error("`{column}` is `{text}`, and not a date such as `29/2/2016 01:16`")]
    NotADate { column: &'static str, text: String },
    #[error("`{column}` is `{text}`, and not a number")]
    NotANumber { column: &'static str, text: String },
}

/// Why a log can't be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("can't open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("can't read {name}: {source}")]
    Begin { name: String, source: io::Error },
    #[error("can't read {name} after line {line}: {source}")]
    Read { name: String, line: u64, source: io::Error },
    #[error("{name} is empty: a log begins with a header")]
    NoHeader { name: String },
    #[error("{name}: can't read the header: {why}")]
    BadHeader { name: String, why: Torn },
    #[error("{name} has no column `{column}`, and its first line is no text in UTF-8: is it a CSV file?")]
    NoText { name: String, column: &'static str },
    #[error("{name} has no column `{column}`; its header has: {header}")]
    NoColumn { name: String, column: &'static str, header: String },
}

/// Reads a log, entry by entry.
pub(crate) struct Log {
    name: String,
    records: Records<Box<dyn BufRead + Send>>,
    columns: Columns,
    /// The last line that a record began on.
    line: u64,
}

impl Log {
    /// Opens a file; `watch` may put a reader around it, to see how far it is read.
    pub(crate) fn open(path: &Path, watch: impl FnOnce(File) -> Box<dyn Read + Send>) -> Result<Self, LogError> {
        let file = File::open(path).map_err(|source| LogError::Open { path: path.to_owned(), source })?;
        Self::read(path.display().to_string(), watch(file))
    }

    /// The sample that comes with the program.
    pub(crate) fn sample() -> Result<Self, LogError> {
        Self::read("the sample".to_owned(), Box::new(SAMPLE))
    }

    fn read(name: String, input: Box<dyn Read + Send>) -> Result<Self, LogError> {
        let failed = |source| LogError::Begin { name: name.clone(), source };
        let mut input = BufReader::with_capacity(1 << 16, input);
        let gzipped = input.fill_buf().map_err(failed)?.starts_with(&GZIP_MAGIC);
        let input: Box<dyn BufRead + Send> = if gzipped {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input)))
        } else {
            Box::new(input)
        };
        let mut records = Records::new(input);
        let columns = match records.next().map_err(failed)? {
            Some((_, Ok(header))) => Columns::find(&name, &header)?,
            Some((_, Err(why))) => return Err(LogError::BadHeader { name, why }),
            None => return Err(LogError::NoHeader { name }),
        };
        Ok(Self { name, records, columns, line: 1 })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Iterator for Log {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (line, record) = match self.records.next() {
            Ok(record) => record?,
            Err(source) => return Some(Err(LogError::Read { name: self.name.clone(), line: self.line, source })),
        };
        self.line = line;
        Some(Ok(match record {
            Ok(record) => self.columns.entry(line, &record),
            Err(torn) => Entry { line, ticket: None, row: Err(torn.into()) },
        }))
    }
}

/// A column that the program reads.
#[derive(Debug, Clone, Copy)]
struct Column {
    name: &'static str,
    at: usize,
}

/// Where the columns are that the program reads.
#[derive(Debug)]
struct Columns {
    number: Column,
    state: Column,
    opened_at: Column,
    updated_at: Column,
    group: Column,
    reopens: Column,
    reassignments: Column,
}

impl Columns {
    fn find(name: &str, header: &Record<'_>) -> Result<Self, LogError> {
        let header = header.fields().map(|field| String::from_utf8_lossy(field.trim_ascii())).collect::<Vec<_>>();
        let places = header.iter().enumerate().map(|(at, column)| (column.as_ref(), at)).collect::<HashMap<_, _>>();
        let find = |column| match places.get(column) {
            Some(&at) => Ok(Column { name: column, at }),
            None => Err(missing(name, column, &header.join(", "))),
        };
        Ok(Self {
            number: find("number")?,
            state: find("incident_state")?,
            opened_at: find("opened_at")?,
            updated_at: find("sys_updated_at")?,
            group: find("assignment_group")?,
            reopens: find("reopen_count")?,
            reassignments: find("reassignment_count")?,
        })
    }

    fn entry(&self, line: u64, record: &Record<'_>) -> Entry {
        match ticket(record, self.number) {
            Ok(ticket) => Entry { line, ticket: Some(ticket.to_owned()), row: self.row(record) },
            Err(why) => Entry { line, ticket: None, row: Err(why) },
        }
    }

    fn row(&self, record: &Record<'_>) -> Result<Row, BadRow> {
        let state = needed(record, self.state)?;
        Ok(Row {
            state: state_called(state).ok_or_else(|| BadRow::UnknownState(state.to_owned()))?,
            opened_at: date(record, self.opened_at)?,
            updated_at: date(record, self.updated_at)?,
            group: text(record, self.group)?.map(str::to_owned),
            reopens: number(record, self.reopens)?,
            reassignments: number(record, self.reassignments)?,
        })
    }
}

/// Says that a column is missing. Other files than logs and UTF-16 are told by characters that no text has.
fn missing(name: &str, column: &'static str, header: &str) -> LogError {
    let name = name.to_owned();
    if header.contains(['\0', char::REPLACEMENT_CHARACTER]) {
        return LogError::NoText { name, column };
    }
    LogError::NoColumn { name, column, header: shown(header, HEADER_CHARS_MAX) }
}

/// The states as the log spells them.
fn state_called(name: &str) -> Option<TicketState> {
    Some(match name {
        "New" => TicketState::New,
        "Active" => TicketState::Active,
        "Awaiting User Info" => TicketState::AwaitingUserInfo,
        "Awaiting Problem" => TicketState::AwaitingProblem,
        "Awaiting Vendor" => TicketState::AwaitingVendor,
        "Awaiting Evidence" => TicketState::AwaitingEvidence,
        "Resolved" => TicketState::Resolved,
        "Closed" => TicketState::Closed,
        _ => return None,
    })
}

/// The content of a field; `?` and nothing at all are none.
fn text<'a>(record: &Record<'a>, column: Column) -> Result<Option<&'a str>, BadRow> {
    let text = str::from_utf8(record.field(column.at)).map_err(|_| BadRow::NotUtf8 { column: column.name })?.trim();
    Ok(if text.is_empty() || text == NOTHING { None } else { Some(text) })
}

fn needed<'a>(record: &Record<'a>, column: Column) -> Result<&'a str, BadRow> {
    text(record, column)?.ok_or(BadRow::Empty { column: column.name })
}

fn ticket<'a>(record: &Record<'a>, column: Column) -> Result<&'a str, BadRow> {
    let text = needed(record, column)?;
    EntityId::from(text).check().map_err(|why| BadRow::NoName { column: column.name, why })?;
    Ok(text)
}

fn date(record: &Record<'_>, column: Column) -> Result<DateTime, BadRow> {
    let text = needed(record, column)?;
    DateTime::strptime(DATE_FORMAT, text).map_err(|_| BadRow::NotADate { column: column.name, text: text.to_owned() })
}

fn number(record: &Record<'_>, column: Column) -> Result<u32, BadRow> {
    let text = needed(record, column)?;
    text.parse().map_err(|_| BadRow::NotANumber { column: column.name, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use jiff::civil::date;

    use super::*;

    /// The columns that are needed, in another order than the log's, and one that isn't.
    const HEADER: &str =
        "incident_state,number,category,assignment_group,reassignment_count,reopen_count,opened_at,sys_updated_at\n";

    fn log(rows: &str) -> Log {
        Log::read("test.csv".to_owned(), Box::new(io::Cursor::new(format!("{HEADER}{rows}")))).unwrap()
    }

    fn entries(rows: &str) -> Vec<Entry> {
        log(rows).collect::<Result<_, _>>().unwrap()
    }

    fn row(text: &str) -> Result<Row, BadRow> {
        entries(text).remove(0).row
    }

    #[test]
    fn a_row_is_read_by_the_names_of_its_columns() {
        let entries =
            entries("Awaiting User Info,INC1,Printer,\"Group 5, night\",2,1,29/2/2016 01:16,1/3/2016 23:59\n");
        let row = Row {
            state: TicketState::AwaitingUserInfo,
            opened_at: date(2016, 2, 29).at(1, 16, 0, 0),
            updated_at: date(2016, 3, 1).at(23, 59, 0, 0),
            group: Some("Group 5, night".to_owned()),
            reopens: 1,
            reassignments: 2,
        };
        assert_eq!(entries, [Entry { line: 2, ticket: Some("INC1".to_owned()), row: Ok(row) }]);
    }

    #[test]
    fn a_question_mark_is_nothing() {
        assert_eq!(row("New,INC1,?,?,0,0,1/1/2016 00:00,1/1/2016 00:00\n").unwrap().group, None);
        let empty = row("New,INC1,x,x,0,0,1/1/2016 00:00,?\n").unwrap_err();
        assert_eq!(empty, BadRow::Empty { column: "sys_updated_at" });
        assert_eq!(entries("New,?,x,x,0,0,1/1/2016 00:00,1/1/2016 00:00\n")[0].ticket, None);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_reported_with_its_line_and_ticket_and_the_rest_goes_on() {
        let good = "New,INC1,x,x,0,0,1/1/2016 00:00,1/1/2016 00:00\n";
        let bad_date = "New,INC2,x,x,0,0,31/2/2016 00:00,1/1/2016 00:00\n";
        let entries = entries(&format!("{good}New,INC1\n\n{bad_date}{good}"));
        let lines = entries.iter().map(|entry| (entry.line, entry.ticket.as_deref(), entry.row.is_ok()));
        assert!(lines.eq([
            (2, Some("INC1"), true),
            (3, None, false),
            (5, Some("INC2"), false),
            (6, Some("INC1"), true)
        ]));
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_in_words() {
        let says = |text: &str| row(text).unwrap_err().to_string();
        assert_eq!(
            says("New,INC1,x,x,0,0,2016-01-01,1/1/2016 00:00\n"),
            "`opened_at` is `2016-01-01`, and not a date such as `29/2/2016 01:16`"
        );
        assert_eq!(
            says("New,INC1,x,x,0,-1,1/1/2016 00:00,1/1/2016 00:00\n"),
            "`reopen_count` is `-1`, and not a number"
        );
        assert_eq!(
            says("-100,INC1,x,x,0,0,1/1/2016 00:00,1/1/2016 00:00\n"),
            "the state `-100` is none of the machine's"
        );
        assert_eq!(says("New,INC1,x\n"), "3 columns, where the header has 8");
    }

    #[test]
    fn text_that_is_not_utf_8_matters_only_where_it_is_read() {
        let mut bytes = HEADER.as_bytes().to_vec();
        bytes.extend_from_slice(b"New,INC1,\xff,x,0,0,1/1/2016 00:00,1/1/2016 00:00\n");
        bytes.extend_from_slice(b"New,INC1,x,\xff,0,0,1/1/2016 00:00,1/1/2016 00:00\n");
        let log = Log::read("test.csv".to_owned(), Box::new(io::Cursor::new(bytes))).unwrap();
        let rows = log.map(|entry| entry.unwrap().row).collect::<Vec<_>>();
        assert!(rows[0].is_ok());
        assert_eq!(rows[1], Err(BadRow::NotUtf8 { column: "assignment_group" }));
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes() {
        let row = "New,INC1,x,x,0,0,1/1/2016 00:00,1/1/2016 00:00\n";
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(format!("{HEADER}{row}").as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap();
        let log = Log::read("test.csv".to_owned(), Box::new(io::Cursor::new(bytes))).unwrap();
        assert_eq!(log.map(Result::unwrap).collect::<Vec<_>>(), entries(row));
    }

    #[test]
    fn a_gzip_file_that_ends_too_early_is_an_error() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(HEADER.as_bytes()).unwrap();
        let mut bytes = gzip.finish().unwrap();
        bytes.truncate(bytes.len() - 4);
        let read = Log::read("test.csv".to_owned(), Box::new(io::Cursor::new(bytes)))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>);
        assert!(matches!(read, Err(LogError::Read { .. })), "{read:?}");
    }

    #[test]
    fn a_column_that_is_missing_is_named_with_those_that_are_there() {
        let error = Log::read("test.csv".to_owned(), Box::new(&b"number,state\n"[..])).err().unwrap();
        assert_eq!(error.to_string(), "test.csv has no column `incident_state`; its header has: number, state");
        let error = Log::read("test.csv".to_owned(), Box::new(&b""[..])).err().unwrap();
        assert_eq!(error.to_string(), "test.csv is empty: a log begins with a header");
    }

    #[test]
    fn a_header_is_shown_as_text_and_what_is_no_text_is_not_shown() {
        let says =
            |bytes: Vec<u8>| Log::read("x".to_owned(), Box::new(io::Cursor::new(bytes))).err().unwrap().to_string();
        assert_eq!(says(b"a\x1b[2J,b\n".to_vec()), "x has no column `number`; its header has: a\\u{1b}[2J, b");
        assert!(says("long,".repeat(1 << 12).into_bytes()).len() < 2 * HEADER_CHARS_MAX);

        let no_text = "x has no column `number`, and its first line is no text in UTF-8: is it a CSV file?";
        let utf_16 = |unit: fn(u16) -> [u8; 2]| "\u{feff}number,state\n".encode_utf16().flat_map(unit).collect();
        assert_eq!(says(utf_16(u16::to_le_bytes)), no_text);
        assert_eq!(says(utf_16(u16::to_be_bytes)), no_text);
        assert_eq!(says(b"\x89PNG\r\n\x1a\n\0\0".to_vec()), no_text);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Log::open(Path::new("nowhere.csv"), |file| Box::new(file)).err().unwrap();
        assert!(error.to_string().starts_with("can't open nowhere.csv: "), "{error}");
    }

    #[test]
    fn the_sample_can_be_read_but_for_the_states_that_are_none() {
        for entry in Log::sample().unwrap() {
            let entry = entry.unwrap();
            assert!(entry.ticket.is_some(), "{entry:?}");
            assert!(matches!(entry.row, Ok(_) | Err(BadRow::UnknownState(_))), "{entry:?}");
        }
    }
}
