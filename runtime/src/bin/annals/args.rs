//! The command line.

use std::path::PathBuf;

use annals::{PersistenceId, SeqNr};
use lexopt::prelude::*;

pub(crate) const USAGE: &str = "\
usage: annals verify <store> [--json]
       annals repair <store> [--dry-run] [--accept-data-loss] [--head <file>] [--json]
       annals list <store> [--aggregate <name>] [--after <aggregate>/<id>] [--limit <n>] [--json]
       annals show <store> <aggregate>/<id> | <aggregate> <id> [--from <n>] [--to <n>]
       annals stats <store> [--json]
       annals export <store> [<file>] [--keys <file> | --without-keys]
       annals export <store> [<file>] --json
       annals import <file> <store> [--keys <file> | --without-keys]
       annals --help
";

pub(crate) const HELP: &str = "\
Looks at the store of a program that uses annals: the directory that it gave to `System::open`. The program must not be
running. Nothing in the directory is changed, except by `repair`.

  verify    Reads everything, and tells all that is damaged or missing, with its place.
  repair    Makes a new store of all that can be read and puts it in the place of the damaged one, which is kept beside
            it as `<store>.damaged-<n>`. If something that was acknowledged would be lost, it refuses, says what, and
            changes nothing.
              --dry-run           say what would be done, and do nothing
              --accept-data-loss  lose what can't be read. A stream keeps its records up to the first one that is
                                  lost; what is lost is never shown again, and its offsets are not given again
              --head <file>       an older file `head` of the same store, where that is damaged
            It is made in `<store>.repairing`, which is called `<store>.repaired` when it is whole. If it is killed, run
            it again: it removes the one, and puts the other one into its place.
  list      The streams, one in a line, with their records.
              --aggregate <name>  only those of one aggregate
              --after <..>        only those behind this one
              --limit <n>         no more than so many
  show      The records of one stream, each as a line of JSON.
              --from <n>, --to <n>  only those with these sequence numbers
  stats     How much there is of everything.
  export    Writes all that the store holds into one file, or to the standard output: a backup, or a way to another
            machine. A damaged store isn't exported.
              --keys <file>       write the keys of streams that can be forgotten, to a file of their own: who has it
                                  can read them, also when they are forgotten here
              --without-keys      write no keys: in an import, those streams are forgotten
              --json              write the records instead, each as a line of JSON, for other tools. It can't be
                                  imported
  import    Makes a new store of an export. There must be nothing at its path. It is checked before it is there.
            It is made in `<store>.tmp-<process>-<n>`. If it is killed, the next import to there removes it.
              --keys <file>       the keys that were exported with it
              --without-keys      forget the streams that need keys

  All but `import` look at a copy, `<store>.look-<process>-<n>`. The next one removes what a killed one left.

  --json      say it in JSON
  -h, --help  print this

An `<id>` may have anything in it: the first form of `show` ends the aggregate's name at the first `/`. Whatever could
do something to a terminal is escaped in what is printed; JSON has it as it is, escaped as JSON has it.

The exit code is 0; 1 if the store is damaged, or wasn't repaired; or 2 if the command line was wrong or the store can't
be looked at, because there is none, somebody has it open, or it may not be read.
";

/// What is done about the keys of streams that can be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeysChoice {
    Unsaid,
    File(PathBuf),
    Without,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Args {
    Help,
    Verify { store: PathBuf, json: bool },
    Repair { store: PathBuf, dry_run: bool, accept_data_loss: bool, head: Option<PathBuf>, json: bool },
    List { store: PathBuf, aggregate: Option<String>, after: Option<PersistenceId>, limit: Option<u64>, json: bool },
    Show { store: PathBuf, id: PersistenceId, from: SeqNr, to: SeqNr },
    Stats { store: PathBuf, json: bool },
    Export { store: PathBuf, file: Option<PathBuf>, keys: KeysChoice },
    ExportJson { store: PathBuf, file: Option<PathBuf> },
    Import { file: PathBuf, store: PathBuf, keys: KeysChoice },
}

/// Everything that a command line may have; each command takes what it knows.
#[derive(Debug, Default)]
struct Given {
    values: Vec<std::ffi::OsString>,
    json: bool,
    dry_run: bool,
    accept_data_loss: bool,
    without_keys: bool,
    keys: Option<PathBuf>,
    head: Option<PathBuf>,
    aggregate: Option<String>,
    after: Option<String>,
    limit: Option<u64>,
    from: Option<u64>,
    to: Option<u64>,
}

/// The most that any command takes, beside options.
const VALUES_MAX: usize = 3;

impl Args {
    pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let command = match parser.next()? {
            Some(Short('h') | Long("help")) => return Ok(Self::Help),
            Some(Value(command)) => command.string()?,
            Some(arg) => return Err(arg.unexpected()),
            None => return Err("a command is missing".into()),
        };
        let options: &[&str] = match command.as_str() {
            "help" => return Ok(Self::Help),
            "verify" | "stats" => &["json"],
            "repair" => &["dry-run", "accept-data-loss", "head", "json"],
            "list" => &["aggregate", "after", "limit", "json"],
            "show" => &["from", "to", "json"],
            "export" => &["keys", "without-keys", "json"],
            "import" => &["keys", "without-keys"],
            other => return Err(format!("there is no command `{}`", other.escape_debug()).into()),
        };
        match Given::parse(parser, options)? {
            None => Ok(Self::Help),
            Some(given) => given.of(&command),
        }
    }
}

impl Given {
    /// Takes all that the command knows. None: help was asked for.
    fn parse(mut parser: lexopt::Parser, options: &[&str]) -> Result<Option<Self>, lexopt::Error> {
        let mut given = Self::default();
        while let Some(arg) = parser.next()? {
            match &arg {
                Short('h') | Long("help") => return Ok(None),
                Long(name) if !options.contains(name) => return Err(arg.unexpected()),
                _ => {}
            }
            match arg {
                Long("json") => given.json = true,
                Long("dry-run") => given.dry_run = true,
                Long("accept-data-loss") => given.accept_data_loss = true,
                Long("without-keys") => given.without_keys = true,
                Long("keys") => once("keys", &mut given.keys, PathBuf::from(parser.value()?))?,
                Long("head") => once("head", &mut given.head, PathBuf::from(parser.value()?))?,
                Long("aggregate") => once("aggregate", &mut given.aggregate, parser.value()?.string()?)?,
                Long("after") => once("after", &mut given.after, parser.value()?.string()?)?,
                Long("limit") => once("limit", &mut given.limit, parser.value()?.parse()?)?,
                Long("from") => once("from", &mut given.from, parser.value()?.parse()?)?,
                Long("to") => once("to", &mut given.to, parser.value()?.parse()?)?,
                Value(value) if given.values.len() < VALUES_MAX => given.values.push(value),
                arg => return Err(arg.unexpected()),
            }
        }
        Ok(Some(given))
    }

    fn of(self, command: &str) -> Result<Args, lexopt::Error> {
        let keys = self.keys_choice()?;
        let Self { values, json, dry_run, accept_data_loss, head, aggregate, after, limit, from, to, .. } = self;
        let mut values = values.into_iter();
        let mut path = |what: &str| values.next().map(PathBuf::from).ok_or(format!("{what} is missing"));
        let args = match command {
            "verify" => Args::Verify { store: path("the store")?, json },
            "repair" => Args::Repair { store: path("the store")?, dry_run, accept_data_loss, head, json },
            "list" => {
                let after = after.map(|after| split(&after)).transpose()?;
                Args::List { store: path("the store")?, aggregate, after, limit, json }
            }
            "show" => {
                let store = path("the store")?;
                let first = values.next().ok_or("the stream is missing")?.string()?;
                let id = match values.next() {
                    Some(entity) => PersistenceId::new(first, entity.string()?),
                    None => split(&first)?,
                };
                Args::Show { store, id, from: SeqNr(from.unwrap_or(1)), to: SeqNr(to.unwrap_or(u64::MAX)) }
            }
            "stats" => Args::Stats { store: path("the store")?, json },
            "export" => {
                let (store, file) = (path("the store")?, values.next().map(PathBuf::from));
                match (json, &keys) {
                    (false, _) => Args::Export { store, file, keys },
                    (true, KeysChoice::Unsaid) => Args::ExportJson { store, file },
                    (true, _) => return Err("`--json` goes without keys: the records are written in the clear".into()),
                }
            }
            _ => Args::Import { file: path("the file")?, store: path("the store")?, keys },
        };
        match values.next() {
            None => Ok(args),
            Some(more) => Err(lexopt::Error::UnexpectedArgument(more)),
        }
    }

    fn keys_choice(&self) -> Result<KeysChoice, lexopt::Error> {
        match (&self.keys, self.without_keys) {
            (None, false) => Ok(KeysChoice::Unsaid),
            (None, true) => Ok(KeysChoice::Without),
            (Some(file), false) => Ok(KeysChoice::File(file.clone())),
            (Some(_), true) => Err("`--keys` and `--without-keys` exclude each other".into()),
        }
    }
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), lexopt::Error> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("`--{name}` is given twice").into()),
    }
}

/// Reads `<aggregate>/<id>`.
fn split(text: &str) -> Result<PersistenceId, lexopt::Error> {
    match text.split_once('/') {
        Some((aggregate, entity)) => Ok(PersistenceId::new(aggregate, entity)),
        None => Err(format!("`{}` names no stream: it is `<aggregate>/<id>`", text.escape_debug()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<const N: usize>(args: [&str; N]) -> Result<Args, String> {
        Args::parse(lexopt::Parser::from_args(args)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_stream_is_named_in_one_word_or_in_two() {
        let show = |id| Ok(Args::Show { store: "s".into(), id, from: SeqNr(2), to: SeqNr(u64::MAX) });
        let id = PersistenceId::new("Purse", "a/b");
        assert_eq!(parse(["show", "s", "Purse/a/b", "--from", "2"]), show(id.clone()));
        assert_eq!(parse(["show", "--from=2", "s", "Purse", "a/b"]), show(id));
        assert!(parse(["show", "s", "Purse"]).is_err());
    }

    #[test]
    fn what_a_command_does_not_know_is_refused() {
        assert!(parse(["verify", "s", "--accept-data-loss"]).is_err());
        assert!(parse(["verify", "s", "t"]).is_err());
        assert!(parse(["verify"]).is_err());
        assert!(parse(["repiar", "s"]).is_err());
        assert!(parse([]).is_err());
        assert!(parse(["export", "s", "f", "--keys", "k", "--without-keys"]).is_err());
        assert!(parse(["export", "s", "f", "--keys", "k", "--keys", "k"]).is_err());
        assert!(parse(["export", "s", "--json", "--without-keys"]).is_err());
    }

    #[test]
    fn help_is_given_whatever_else_is_said() {
        for args in [&["--help"][..], &["help"], &["verify", "-h"], &["show", "s", "--help"]] {
            assert_eq!(Args::parse(lexopt::Parser::from_args(args)).ok(), Some(Args::Help), "{args:?}");
        }
    }
}
