//! The summary: all that the log says, and how fast it was read.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::shown::{TICKET_CHARS_MAX, shown};
use crate::tally::{Reading, Tally, Why, name};

/// What is the same whenever the same log is replayed, on a new directory or again on an old one.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    pub(crate) reading: &'a Reading,
    pub(crate) tally: &'a Tally,
}

/// What isn't.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) commands: u64,
    /// Records that this run has stored: none if all was there already.
    pub(crate) records_stored: u64,
    pub(crate) time: Duration,
    pub(crate) disk_bytes: u64,
}

/// The line for scripts.
#[derive(Debug)]
pub(crate) struct LastLine<'a>(pub(crate) &'a Summary<'a>);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { reading, tally } = self;
        if reading.rows == 0 {
            return writeln!(f, "the log has a header and no rows: there is nothing to replay");
        }
        writeln!(f, "{} in {}", Counted(tally.tickets, "ticket"), Counted(reading.rows, "row"))?;
        let (fit, them) = if tally.fitting == 1 { ("fits", "it") } else { ("fit", "them") };
        writeln!(f, "{} {fit} the machine: it accepts every row of {them}", Counted(tally.fitting, "ticket"))?;
        self.refusals(f)?;
        self.bad_rows(f)?;
        writeln!(f, "\ntickets by state")?;
        for (state, count) in &tally.by_state {
            writeln!(f, "{:>9}  {}", Grouped(*count), name(*state))?;
        }
        if let Some(median) = tally.median_minutes() {
            writeln!(f, "\nmedian time from opening to resolving: {}", Minutes(median))?;
        }
        self.counters(f)?;
        self.ways(f)
    }
}

impl Summary<'_> {
    fn refusals(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tally = self.tally;
        if tally.refused.is_empty() {
            return writeln!(f, "\nno command was refused");
        }
        writeln!(f, "\nrefused commands: {}", Grouped(tally.refusals()))?;
        for (refused, count) in &tally.refused {
            write!(f, "{:>9}  {} in {}", Grouped(*count), refused.command, name(refused.state))?;
            match refused.why {
                Why::NotAccepted => writeln!(f)?,
                Why::Refused(why) => writeln!(f, ": {why}")?,
            }
        }
        Ok(())
    }

    fn bad_rows(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let reading = self.reading;
        if reading.bad() == 0 {
            return Ok(());
        }
        writeln!(f, "\nrows that mean no command: {}", Grouped(reading.bad()))?;
        for row in &reading.bad_rows {
            writeln!(f, "    {row}")?;
        }
        let named = u64::try_from(reading.bad_rows.len()).unwrap_or(u64::MAX);
        match reading.bad().saturating_sub(named) {
            0 => Ok(()),
            more => writeln!(f, "    and {} more", Grouped(more)),
        }
    }

    fn counters(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tally = self.tally;
        let fit = if tally.fitting == 1 { "fits" } else { "fit" };
        let fitting = Counted(tally.fitting, "ticket");
        writeln!(f, "\ncounters of the {fitting} that {fit}, beside the log's own")?;
        writeln!(f, "{:>9}  agree on reopen_count", Grouped(tally.reopens_agree))?;
        writeln!(f, "{:>9}  agree on reassignment_count", Grouped(tally.reassignments_agree))?;
        for it in &tally.disagreements {
            let ticket = shown(&it.ticket, TICKET_CHARS_MAX);
            writeln!(f, "    {ticket}: {} is {}, the log says {}", it.counter, it.folded, it.logged)?;
        }
        if tally.counted_only > 0 {
            let count = Grouped(tally.counted_only);
            writeln!(f, "{count:>9}  reassignments show in the log's counter alone: the group reads the same")?;
        }
        Ok(())
    }

    fn ways(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let coverage = &self.tally.coverage;
        let (untaken, declared) = (coverage.untaken().count(), coverage.graph().edges.len());
        writeln!(f, "\nways of the machine that no ticket went: {untaken} of {declared}")?;
        for edge in coverage.untaken() {
            writeln!(f, "    {edge}")?;
        }
        Ok(())
    }
}

impl Display for Measured {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        writeln!(
            f,
            "{} in {seconds:.2} s, reading included: {} commands/s, each answered after its fsync",
            Counted(self.commands, "command"),
            Grouped(per_second(self.commands, self.time)),
        )?;
        writeln!(
            f,
            "{} {} stored by this run; {} bytes are on the disk",
            Counted(self.records_stored, "record"),
            if self.records_stored == 1 { "was" } else { "were" },
            Grouped(self.disk_bytes)
        )
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    let micros = time.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

impl Display for LastLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Summary { reading, tally } = self.0;
        write!(f, "tickets={} rows={} fitting={}", tally.tickets, reading.rows, tally.fitting)?;
        write!(f, " commands={} refused={}", tally.commands, tally.refusals())?;
        write!(f, " unknown_state={} malformed={}", reading.unknown_states.values().sum::<u64>(), reading.malformed)?;
        write!(f, " updates={} reopens={} reassignments={}", tally.updates, tally.reopens, tally.reassignments)?;
        write!(f, " reopens_agree={} reassignments_agree={}", tally.reopens_agree, tally.reassignments_agree)?;
        match tally.median_minutes() {
            Some(minutes) => write!(f, " median_minutes={minutes}"),
            None => write!(f, " median_minutes=none"),
        }
    }
}

/// A number with its thousands set off.
#[derive(Debug)]
struct Grouped(u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// So many of a thing.
#[derive(Debug)]
struct Counted(u64, &'static str);

impl Display for Counted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(count, thing) = self;
        write!(f, "{} {thing}{}", Grouped(*count), if *count == 1 { "" } else { "s" })
    }
}

/// A time in the largest units that it has.
#[derive(Debug)]
struct Minutes(i64);

impl Display for Minutes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (days, hours, minutes) = (self.0 / 1440, self.0 / 60 % 24, self.0 % 60);
        match (days, hours) {
            (0, 0) => write!(f, "{minutes} min"),
            (0, _) => write!(f, "{hours} h {minutes} min"),
            _ => write!(f, "{days} d {hours} h {minutes} min"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_off() {
        let text = [0, 999, 1_000, 24_918, 1_234_567].map(|number| Grouped(number).to_string());
        assert_eq!(text, ["0", "999", "1,000", "24,918", "1,234,567"]);
        assert_eq!(format!("{:>7}", Grouped(24_918)), " 24,918");
    }

    #[test]
    fn one_is_not_plural() {
        let text = [0, 1, 1_001].map(|count| Counted(count, "row").to_string());
        assert_eq!(text, ["0 rows", "1 row", "1,001 rows"]);
    }

    #[test]
    fn a_time_is_said_in_its_largest_units() {
        let text = [5, 65, 2 * 1440 + 61].map(|minutes| Minutes(minutes).to_string());
        assert_eq!(text, ["5 min", "1 h 5 min", "2 d 1 h 1 min"]);
    }

    #[test]
    fn a_rate_is_for_each_second() {
        assert_eq!(per_second(100, Duration::from_millis(500)), 200);
        assert_eq!(per_second(0, Duration::ZERO), 0);
    }
}
