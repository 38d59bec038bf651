//! The command line.

use std::path::PathBuf;

use lexopt::prelude::*;

pub(crate) const USAGE: &str = "\
usage: incidents [<log.csv[.gz]>] [--data <dir>]
       incidents --diagram
       incidents --help
";

pub(crate) const HELP: &str = "\
Feeds the audit log of incident tickets to a state machine, and says how well the machine describes what happened.

  <log>          the log, gzipped or not; without it, a small sample is read
  --data <dir>   where the tickets are kept; without it, in a new directory that is removed at the end.
                 Run again on the same directory with the same log, and nothing is added twice.
  --diagram      print the machine as a Mermaid diagram, and do nothing else
  -h, --help     print this

The log is a CSV file with a header; these columns are read: number, incident_state, opened_at, sys_updated_at,
assignment_group, reopen_count, reassignment_count. The last line of the output is for scripts. The exit code is 0,
1 if something failed, or 2 if the command line was wrong.
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Args {
    Help,
    Diagram,
    Run {
        /// The log; the sample without it.
        log: Option<PathBuf>,
        /// Where the tickets are kept; a temporary directory without it.
        data: Option<PathBuf>,
    },
}

impl Args {
    pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let (mut log, mut data, mut diagram) = (None, None, false);
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(Self::Help),
                Long("diagram") => diagram = true,
                Long("data") if data.is_none() => data = Some(PathBuf::from(parser.value()?)),
                Long("data") => return Err("`--data` is given twice".into()),
                Value(path) if log.is_none() => log = Some(PathBuf::from(path)),
                arg => return Err(arg.unexpected()),
            }
        }
        match (diagram, log, data) {
            (false, log, data) => Ok(Self::Run { log, data }),
            (true, None, None) => Ok(Self::Diagram),
            (true, ..) => Err("`--diagram` goes without a log and without `--data`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<const N: usize>(args: [&str; N]) -> Result<Args, String> {
        Args::parse(lexopt::Parser::from_args(args)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_and_a_directory_may_be_given_in_any_order() {
        let run = Args::Run { log: Some("log.csv".into()), data: Some("kept".into()) };
        assert_eq!(parse(["log.csv", "--data", "kept"]).as_ref(), Ok(&run));
        assert_eq!(parse(["--data=kept", "log.csv"]).as_ref(), Ok(&run));
        assert_eq!(parse([]), Ok(Args::Run { log: None, data: None }));
    }

    #[test]
    fn what_is_unknown_or_too_much_is_named() {
        assert!(parse(["--dta", "x"]).unwrap_err().contains("--dta"));
        assert!(parse(["a.csv", "b.csv"]).unwrap_err().contains("b.csv"));
        assert!(parse(["--data", "x", "--data", "y"]).unwrap_err().contains("--data"));
        assert!(parse(["--data"]).is_err());
    }

    #[test]
    fn help_goes_before_everything_else() {
        assert_eq!(parse(["log.csv", "--help"]), Ok(Args::Help));
        assert_eq!(parse(["--diagram", "-h"]), Ok(Args::Help));
    }

    #[test]
    fn the_diagram_goes_without_a_run() {
        assert_eq!(parse(["--diagram"]), Ok(Args::Diagram));
        assert!(parse(["--diagram", "log.csv"]).unwrap_err().contains("--diagram"));
        assert!(parse(["--data", "x", "--diagram"]).unwrap_err().contains("--diagram"));
    }
}
