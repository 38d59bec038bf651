//! What was measured: figures with their spread and their ratios to others, as a table and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;
use crate::machine::Machine;

/// As exact as a float is; that is enough for a figure.
#[expect(clippy::as_conversions, reason = "there is no other way, and no figure has more than 53 bits")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

/// All that one run of the program has measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The form of this file; another number, another form.
    form: u32,
    machine: Machine,
    /// Whether it was only to be seen that it works.
    quick: bool,
    sections: Vec<Section>,
}

impl Report {
    pub(crate) fn new(machine: Machine, quick: bool) -> Self {
        Self { form: 1, machine, quick, sections: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Takes a section that is over, and gives the table of it.
    pub(crate) fn take(&mut self, section: Section) -> String {
        let table = section.table();
        self.sections.push(section);
        table
    }

    pub(crate) fn write(&self, path: &Path) -> Outcome<()> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        Ok(fs::write(path, json)?)
    }
}

/// Whose a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Whose {
    Annals,
    /// It is of what annals stands on, or of something that does less: the measure of annals' figures.
    Limit,
}

/// What a figure is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn shown(self, value: f64) -> String {
        let missed = if self.is_met(value) { "" } else { ": MISSED" };
        match self {
            Self::AtLeast(least) => format!(" [at least {}{missed}]", number(least)),
            Self::AtMost(most) => format!(" [at most {}{missed}]", number(most)),
        }
    }
}

/// Figures that were measured together, in turns.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    name: &'static str,
    /// What was measured, and how.
    about: String,
    rows: Vec<Row>,
}

/// What is known of one thing.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    whose: Whose,
    figures: Vec<Figure>,
}

/// One figure, from several runs.
#[derive(Debug, Serialize)]
struct Figure {
    measure: String,
    unit: &'static str,
    median: f64,
    least: f64,
    most: f64,
    /// In the order of the runs.
    runs: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ratios: Vec<Ratio>,
}

/// The ratio of two medians.
#[derive(Debug, Serialize)]
struct Ratio {
    to: String,
    ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
}

impl Figure {
    fn add(&mut self, value: f64) {
        self.runs.push(value);
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len() - 1;
        self.median = f64::midpoint(at(last / 2), at(sorted.len() / 2));
        (self.least, self.most) = (at(0), at(last));
    }
}

impl Section {
    pub(crate) fn new(name: &'static str, about: impl Into<String>) -> Self {
        Self { name, about: about.into(), rows: Vec::new() }
    }

    /// Takes what one run has given.
    pub(crate) fn add(&mut self, whose: Whose, what: &str, measure: &str, unit: &'static str, value: f64) {
        // The table comes when all is measured, which may be long after.
        eprintln!("{}: {what}: {measure} {value:.2} {unit}", self.name);
        let row = match self.rows.iter().position(|row| row.what == what) {
            Some(at) => at,
            None => {
                self.rows.push(Row { what: what.to_owned(), whose, figures: Vec::new() });
                self.rows.len() - 1
            }
        };
        let Some(row) = self.rows.get_mut(row) else { return };
        if let Some(figure) = row.figures.iter_mut().find(|figure| figure.measure == measure) {
            return figure.add(value);
        }
        let mut figure = Figure {
            measure: measure.to_owned(),
            unit,
            median: f64::NAN,
            least: f64::NAN,
            most: f64::NAN,
            runs: Vec::new(),
            aim: None,
            ratios: Vec::new(),
        };
        figure.add(value);
        row.figures.push(figure);
    }

    pub(crate) fn limit(&mut self, what: &str, measure: &str, unit: &'static str, value: f64) {
        self.add(Whose::Limit, what, measure, unit, value);
    }

    pub(crate) fn annals(&mut self, what: &str, measure: &str, unit: &'static str, value: f64) {
        self.add(Whose::Annals, what, measure, unit, value);
    }

    /// Says what a figure is to be.
    pub(crate) fn aim(&mut self, what: &str, measure: &str, aim: Aim) {
        if let Some(figure) = self.figure(what, measure) {
            figure.aim = Some(aim);
        }
    }

    /// Leaves it open what figures are to be.
    pub(crate) fn forget_aims(&mut self) {
        for figure in self.rows.iter_mut().flat_map(|row| &mut row.figures) {
            figure.aim = None;
            figure.ratios.iter_mut().for_each(|ratio| ratio.aim = None);
        }
    }

    /// Puts a figure beside another one of the same measure.
    pub(crate) fn compare(&mut self, what: &str, measure: &str, to: &str, aim: Option<Aim>) {
        let Some(limit) = self.median(to, measure) else { return };
        if let Some(figure) = self.figure(what, measure) {
            let ratio = figure.median / limit;
            figure.ratios.push(Ratio { to: to.to_owned(), ratio, aim });
        }
    }

    /// The median of the runs so far.
    pub(crate) fn median(&mut self, what: &str, measure: &str) -> Option<f64> {
        self.figure(what, measure).map(|figure| figure.median)
    }

    fn figure(&mut self, what: &str, measure: &str) -> Option<&mut Figure> {
        let row = self.rows.iter_mut().find(|row| row.what == what)?;
        row.figures.iter_mut().find(|figure| figure.measure == measure)
    }

    /// The limits first.
    fn table(&self) -> String {
        let mut table = format!("\n== {}: {}\n", self.name, self.about);
        let (limits, annals): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| row.whose == Whose::Limit);
        for row in limits.into_iter().chain(annals) {
            let mark = if row.whose == Whose::Limit { " (limit)" } else { "" };
            let _ = writeln!(table, "{}{mark}", row.what);
            for figure in &row.figures {
                let _ = write!(table, "    {:<24} {:>12} {}", figure.measure, number(figure.median), figure.unit);
                if figure.runs.len() > 1 {
                    let _ = write!(table, " ({} to {})", number(figure.least), number(figure.most));
                }
                if let Some(aim) = figure.aim {
                    table.push_str(&aim.shown(figure.median));
                }
                table.push('\n');
                for Ratio { to, ratio, aim } in &figure.ratios {
                    let aim = aim.map(|aim| aim.shown(*ratio)).unwrap_or_default();
                    let _ = writeln!(table, "    {:<24} {ratio:>12.2} x {to}{aim}", "");
                }
            }
        }
        table
    }
}

/// Three digits that count, or all before the point.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let mut section = Section::new("loads", "some");
        for (limit, annals) in [(100.0, 300.0), (400.0, 200.0), (200.0, 100.0)] {
            section.limit("file", "rate", "events/s", limit);
            section.annals("annals", "rate", "commands/s", annals);
        }
        section
    }

    #[test]
    fn the_median_is_the_one_in_the_middle_or_between_two() {
        let mut section = section();
        assert_eq!(section.median("file", "rate"), Some(200.0));
        section.limit("file", "rate", "events/s", 300.0);
        assert_eq!(section.median("file", "rate"), Some(250.0));
        assert_eq!(section.median("file", "p50"), None);
    }

    #[test]
    fn a_ratio_is_that_of_the_medians_whatever_the_order_of_the_runs() {
        let mut section = section();
        section.limit("file", "rate", "events/s", 50.0);
        section.compare("annals", "rate", "file", Some(Aim::AtLeast(1.5)));
        section.compare("annals", "rate", "nothing", None);
        let figure = section.figure("annals", "rate").unwrap();
        assert_eq!(figure.runs, [300.0, 200.0, 100.0]);
        assert_eq!((figure.least, figure.most), (100.0, 300.0));
        assert_eq!(figure.ratios.len(), 1);
        assert!((figure.ratios[0].ratio - 200.0 / 150.0).abs() < 1e-9);
        assert!(section.table().contains("1.33 x file [at least 1.50: MISSED]"), "{}", section.table());
    }

    #[test]
    fn limits_stand_before_what_is_held_against_them() {
        let mut section = Section::new("loads", "some");
        section.annals("annals", "p99", "ms", 1.25);
        section.limit("file", "p99", "ms", 1234.5);
        section.aim("annals", "p99", Aim::AtMost(5.0));
        let table = section.table();
        assert!(table.find("file (limit)").unwrap() < table.find("annals").unwrap(), "{table}");
        assert!(table.contains(" 1234 ms") && table.contains(" 1.25 ms [at most 5.00]"), "{table}");
    }
}
