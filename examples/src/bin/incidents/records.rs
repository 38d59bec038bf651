//! The records of a CSV file with their line numbers; one that can't be read harms none after it.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use csv_core::ReadRecordResult;

/// The longest line that is read.
const LINE_BYTES_MAX: usize = 1 << 20;

/// How many lines one record may span, where a quoted field has line breaks. A quote that is opened and never closed
/// would swallow the rest of the file otherwise.
const RECORD_LINES_MAX: usize = 16;

/// One record: its fields without their quotes.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    text: &'a [u8],
    ends: &'a [usize],
}

/// Why a record can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Torn {
    #[error("a quote is opened and not closed")]
    OpenQuote,
    #[error("{found} columns, where the header has {expected}")]
    Columns { found: usize, expected: usize },
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
}

impl<'a> Record<'a> {
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        (0..self.ends.len()).map(|at| self.field(at))
    }

    /// The field in this column, which the header has.
    pub(crate) fn field(&self, at: usize) -> &'a [u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[at]]
    }
}

/// Reads records from CSV text. The first is the header: those after it have as many fields.
pub(crate) struct Records<R> {
    input: R,
    /// How many lines were taken out of the input.
    lines_read: u64,
    /// Lines that were read ahead, the next first.
    ahead: VecDeque<Vec<u8>>,
    columns: Option<usize>,
    parser: csv_core::Reader,
    line: Vec<u8>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: BufRead> Records<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            lines_read: 0,
            ahead: VecDeque::new(),
            columns: None,
            // A carriage return alone ends no record: what is behind it would be lost.
            parser: csv_core::ReaderBuilder::new().terminator(csv_core::Terminator::Any(b'\n')).build(),
            line: Vec::new(),
            text: Vec::new(),
            ends: vec![0; 64],
        }
    }

    /// The next record, with the number of its first line; blank lines are none.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Result<Record<'_>, Torn>)>> {
        let (number, parsed) = loop {
            if !self.next_line()? {
                return Ok(None);
            }
            let number = self.lines_read - len_u64(self.ahead.len());
            if self.line.len() > LINE_BYTES_MAX {
                return Ok(Some((number, Err(Torn::TooLong))));
            }
            if !self.line.trim_ascii().is_empty() {
                break (number, self.parse_with_lines_after()?);
            }
        };
        let Some(found) = parsed else { return Ok(Some((number, Err(Torn::OpenQuote)))) };
        let expected = *self.columns.get_or_insert(found);
        if found != expected {
            return Ok(Some((number, Err(Torn::Columns { found, expected }))));
        }
        Ok(Some((number, Ok(Record { text: &self.text, ends: &self.ends[..found] }))))
    }

    /// Moves the next line into `line`.
    fn next_line(&mut self) -> io::Result<bool> {
        match self.ahead.pop_front() {
            Some(line) => self.line = line,
            None => {
                self.line.clear();
                if !read_line(&mut self.input, &mut self.line)? {
                    return Ok(false);
                }
                self.lines_read += 1;
            }
        }
        Ok(true)
    }

    /// Parses the line, and those after it if a quote goes on there; says how many fields there are.
    fn parse_with_lines_after(&mut self) -> io::Result<Option<usize>> {
        if let Some(found) = self.parse() {
            return Ok(Some(found));
        }
        for taken in 0..RECORD_LINES_MAX - 1 {
            if taken == self.ahead.len() {
                let mut line = Vec::new();
                if !read_line(&mut self.input, &mut line)? {
                    break;
                }
                self.lines_read += 1;
                self.ahead.push_back(line);
            }
            self.line.extend_from_slice(&self.ahead[taken]);
            if self.line.len() > LINE_BYTES_MAX {
                break;
            }
            if let Some(found) = self.parse() {
                if self.columns.is_some_and(|columns| columns != found) {
                    break;
                }
                self.ahead.drain(..=taken);
                return Ok(Some(found));
            }
        }
        // The lines after it stay where they are, each a record of its own.
        Ok(None)
    }

    /// Parses `line` as one record; `None` if a quote is still open at its end.
    fn parse(&mut self) -> Option<usize> {
        self.text.resize(self.line.len().max(1), 0);
        loop {
            self.parser.reset();
            match self.parser.read_record(&self.line, &mut self.text, &mut self.ends) {
                (ReadRecordResult::Record, _, _, found) => return Some(found),
                (ReadRecordResult::OutputEndsFull, ..) => self.ends.resize(self.ends.len() * 2, 0),
                (ReadRecordResult::OutputFull, ..) => self.text.resize(self.text.len() * 2, 0),
                (ReadRecordResult::InputEmpty | ReadRecordResult::End, ..) => return None,
            }
        }
    }
}

/// Reads one line, which ends with a line break then even if the file doesn't; false at the end. Of one that is too
/// long, a byte more than is allowed is kept.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let limit = len_u64(LINE_BYTES_MAX + 1);
    if input.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') {
        if line.len() > LINE_BYTES_MAX {
            input.skip_until(b'\n')?;
        } else {
            line.push(b'\n');
        }
    }
    if line.ends_with(b"\r\n") {
        line.truncate(line.len() - 2);
        line.push(b'\n');
    }
    Ok(true)
}

fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All records: line, fields or what is wrong.
    fn read(text: &str) -> Vec<(u64, Result<Vec<String>, Torn>)> {
        let mut records = Records::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some((line, record)) = records.next().unwrap() {
            let record = record.map(|it| it.fields().map(|field| String::from_utf8(field.to_vec()).unwrap()).collect());
            all.push((line, record));
        }
        all
    }

    fn fields<const N: usize>(fields: [&str; N]) -> Result<Vec<String>, Torn> {
        Ok(fields.map(str::to_owned).to_vec())
    }

    #[test]
    fn a_carriage_return_is_part_of_a_line_break_or_of_its_field() {
        assert_eq!(
            read("a,b\r\n1\r2,3\r\n\"4\r\n5\",6\r\n"),
            [(1, fields(["a", "b"])), (2, fields(["1\r2", "3"])), (3, fields(["4\n5", "6"]))],
        );
    }

    #[test]
    fn quotes_commas_and_line_breaks_of_fields_are_read() {
        let read = read("a,b\n\"1, or \"\"one\"\"\",2\n\"3\nand\n\nmore\",4\n5,6\n");
        assert_eq!(
            read,
            [
                (1, fields(["a", "b"])),
                (2, fields(["1, or \"one\"", "2"])),
                (3, fields(["3\nand\n\nmore", "4"])),
                (7, fields(["5", "6"])),
            ]
        );
    }

    #[test]
    fn a_byte_order_mark_carriage_returns_and_blank_lines_are_no_content() {
        let read = read("\u{feff}a,b\r\n\r\n1,\r\n  \n,2");
        assert_eq!(read, [(1, fields(["a", "b"])), (3, fields(["1", ""])), (5, fields(["", "2"]))]);
    }

    #[test]
    fn a_record_with_other_columns_than_the_header_is_named_and_the_next_is_read() {
        let read = read("a,b\n1\n1,2,3\n4,5\n");
        assert_eq!(
            read,
            [
                (1, fields(["a", "b"])),
                (2, Err(Torn::Columns { found: 1, expected: 2 })),
                (3, Err(Torn::Columns { found: 3, expected: 2 })),
                (4, fields(["4", "5"])),
            ]
        );
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_its_own_line_only() {
        let lines = (0..40).map(|line| format!("{line},\"x\"\n")).collect::<String>();
        let read = read(&format!("a,b\n\"1,2\n{lines}"));
        assert_eq!(read[1], (2, Err(Torn::OpenQuote)));
        assert_eq!(read[2], (3, fields(["0", "x"])));
        assert_eq!(read[41], (42, fields(["39", "x"])));
        assert_eq!(read.len(), 42);
    }

    #[test]
    fn a_quote_that_is_open_at_the_end_costs_its_own_line_only() {
        let read = read("a,b\n1,\"2\n3,4");
        assert_eq!(read, [(1, fields(["a", "b"])), (2, Err(Torn::OpenQuote)), (3, fields(["3", "4"]))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let read = read(&format!("a,b\n{long},1\n2,3\n"));
        assert_eq!(read, [(1, fields(["a", "b"])), (2, Err(Torn::TooLong)), (3, fields(["2", "3"]))]);
    }

    #[test]
    fn more_columns_than_expected_at_first_are_read() {
        let wide = (0..300).map(|column| column.to_string()).collect::<Vec<_>>().join(",");
        let read = read(&format!("{wide}\n{wide}\n"));
        assert_eq!(read[1].1.as_ref().unwrap().len(), 300);
    }
}
