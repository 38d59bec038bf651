//! A combination lock as a state machine, shown as a session at a terminal.
//!
//! `cargo run -p annals-examples --bin lock`

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use annals::Never;
use annals::prelude::*;
use annals_examples::{end, print};
use lexopt::Arg::{Long, Short};
use tokio::sync::mpsc;
use tokio::time::timeout;

const USAGE: &str = "usage: lock\n";

const HELP: &str = "
Shows a combination lock as a session at a terminal, in a temporary directory, and the machine as a diagram.
";

/// A digit of the combination.
pub type Digit = u8;

/// The combination. A real lock would not have it in its source.
const SECRET: [Digit; 4] = [4, 7, 1, 1];

/// How long the lock of this session stays open, so that nobody has to wait half a minute to see it lock itself.
const OPEN_FOR: Duration = Duration::from_secs(1);

/// How long the session waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A combination lock.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Lock {
    entered: Vec<Digit>,
    intruders: Vec<Vec<Digit>>,
}

/// What the lock says to somebody who tries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    /// The combination was right.
    Welcome,
    /// It was not.
    GoAway,
}

impl Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Welcome => "welcome",
            Self::GoAway => "go away",
        })
    }
}

#[fsm(states(initial Unlocked, Locked), services = Porter)]
impl Lock {
    #[event]
    fn combo_cleared(&mut self) {
        self.entered.clear();
    }

    #[event]
    fn digit_entered(&mut self, digit: Digit) {
        self.entered.push(digit);
    }

    #[event]
    fn intrusion_detected(&mut self, attempt: Vec<Digit>) {
        self.intruders.push(attempt);
    }

    /// Locks it.
    #[on(Unlocked => Locked)]
    fn lock(&self) -> Step {
        goto(Locked)
    }

    /// Enters the next digit.
    #[on(Locked => stay)]
    fn enter_digit(&self, digit: Digit) -> Step {
        stay().applying(LockEvent::DigitEntered { digit })
    }

    /// Opens it, if the digits are right; begins anew if they aren't.
    #[on(Locked => Unlocked | stay)]
    fn try_unlock(&self) -> Step<Greeting> {
        if self.entered == SECRET {
            goto(Unlocked).for_max(OPEN_FOR).applying(LockEvent::ComboCleared).replying(Greeting::Welcome)
        } else {
            let attempt = self.entered.clone();
            stay()
                .applying([LockEvent::ComboCleared, LockEvent::IntrusionDetected { attempt }])
                .and_then(|fx| fx.services().report("somebody doesn't know the combination"))
                .replying(Greeting::GoAway)
        }
    }

    /// Locks itself again when left open.
    #[after(30s, Unlocked => Locked)]
    fn relock(&self) -> Step {
        goto(Locked)
    }

    /// Whoever or whatever locked it.
    #[enter(Locked)]
    fn announce(fx: &Effects<Self>) {
        fx.services().report("the lock is secure");
    }

    /// How many digits were entered.
    #[query]
    fn digits(&self) -> usize {
        self.entered.len()
    }
}

/// Hears what the lock reports, once it is stored, and passes it on to whoever listens.
#[derive(Debug, Clone)]
pub struct Porter {
    reports: mpsc::Sender<&'static str>,
}

impl Porter {
    fn report(&self, what: &'static str) {
        // Nobody has to listen.
        let _ = self.reports.try_send(what);
    }
}

/// What the porter tells.
struct Reports(mpsc::Receiver<&'static str>);

impl Reports {
    /// Waits for the next report and prints it.
    async fn print(&mut self) -> Result<(), Box<dyn Error>> {
        let report = timeout(PATIENCE, self.0.recv()).await?.ok_or("the porter has gone")?;
        println!("    the porter: {report}");
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    end("lock", USAGE, run(lexopt::Parser::from_env()).await)
}

async fn run(mut args: lexopt::Parser) -> Result<(), Box<dyn Error>> {
    match args.next()? {
        None => session().await,
        Some(Short('h') | Long("help")) => Ok(print(format_args!("{USAGE}{HELP}"))?),
        Some(arg) => Err(arg.unexpected().into()),
    }
}

async fn session() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (reports, heard) = mpsc::channel(8);
    let (porter, mut heard) = (Porter { reports }, Reports(heard));

    let (system, door) = open(directory.path(), &porter).await?;
    look(&door).await?;
    say("lock", door.lock().await.map(|()| "done"));
    heard.print().await?;
    look(&door).await?;
    say("lock", door.lock().await.map(|()| "done"));
    enter(&door, [1, 2, 3, 4]).await;
    say("try_unlock", door.try_unlock().await);
    heard.print().await?;
    enter(&door, [4, 7]).await;
    system.shutdown().await?;

    println!("\nthe program ends here, and begins again\n");
    let (system, door) = open(directory.path(), &porter).await?;
    look(&door).await?;
    println!("    digits entered so far: {}", door.digits().await?);
    enter(&door, [1, 1]).await;
    // All three are asked at once: however slow the disk is, the lock has no time to lock itself in between.
    let (greeting, state, accepts) = tokio::join!(biased; door.try_unlock(), door.state(), door.accepts());
    say("try_unlock", greeting);
    show(state?, &accepts?);

    let seconds = OPEN_FOR.as_secs();
    println!("\n`for_max` has limited this visit to {seconds} s, where the machine says 30 s; nobody does anything\n");
    heard.print().await?;
    look(&door).await?;
    system.shutdown().await?;

    println!("\nthe machine as a diagram\n\n{}", Lock::GRAPH.to_mermaid());
    Ok(())
}

/// Starts a system, as a program does when it begins, and finds the lock in it.
async fn open(directory: &Path, porter: &Porter) -> Result<(System, LockRef), Box<dyn Error>> {
    let system = System::builder().provide(porter.clone()).register::<Lock>().open(directory).await?;
    let door = system.get::<Lock>("front door");
    Ok((system, door))
}

/// Prints where the lock stands, and what it accepts there.
async fn look(door: &LockRef) -> Result<(), Box<dyn Error>> {
    show(door.state().await?, &door.accepts().await?);
    Ok(())
}

fn show(state: LockState, accepts: &[&str]) {
    println!("    it is {state:?} and accepts {}", accepts.join(", "));
}

/// Enters digits, one after the other.
async fn enter<const N: usize>(door: &LockRef, digits: [Digit; N]) {
    for digit in digits {
        say(&format!("enter_digit {digit}"), door.enter_digit(digit).await.map(|()| "done"));
    }
}

/// Prints a command and its answer.
fn say<R: Display>(command: &str, answer: Result<R, CallError<Never>>) {
    match answer {
        Ok(reply) => println!("> {command}\n    {reply}"),
        Err(error) => println!("> {command}\n    refused: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use annals::testing::{assert_schema, given};

    use super::*;

    /// The services of a lock, and what it reports.
    fn porter() -> (Porter, mpsc::Receiver<&'static str>) {
        let (reports, heard) = mpsc::channel(8);
        (Porter { reports }, heard)
    }

    fn entered(digits: &[Digit]) -> Vec<LockEvent> {
        digits.iter().map(|&digit| LockEvent::DigitEntered { digit }).collect()
    }

    #[test]
    fn what_is_stored_is_as_the_file_says() {
        assert_schema::<Lock>("schemas/lock.schema");
    }

    #[test]
    fn the_right_digits_open_it() {
        given::<Lock>(entered(&SECRET))
            .with_services(porter().0)
            .in_state(LockState::Locked)
            .when(LockRef::try_unlock)
            .then_events(LockEvent::ComboCleared)
            .then_reply(Greeting::Welcome)
            .then_state(LockState::Unlocked);
    }

    #[test]
    fn wrong_digits_are_kept_and_reported() {
        let (porter, mut heard) = porter();
        given::<Lock>(entered(&[1, 2]))
            .with_services(porter)
            .in_state(LockState::Locked)
            .when(LockRef::try_unlock)
            .then_events([LockEvent::ComboCleared, LockEvent::IntrusionDetected { attempt: vec![1, 2] }])
            .then_reply(Greeting::GoAway)
            .then_state(LockState::Locked);
        assert_eq!(heard.try_recv(), Ok("somebody doesn't know the combination"));
    }

    #[test]
    fn digits_are_for_a_locked_lock() {
        let lock = given::<Lock>([]).with_services(porter().0);
        lock.when(|lock| lock.enter_digit(4)).then_not_accepted();
    }

    #[test]
    fn a_lock_that_is_left_open_locks_itself_and_says_so() {
        let (porter, mut heard) = porter();
        let lock = given::<Lock>(entered(&SECRET)).with_services(porter).in_state(LockState::Locked);
        lock.when(LockRef::try_unlock).then_state(LockState::Unlocked);
        lock.advance(OPEN_FOR).then_no_events().then_state(LockState::Locked);
        assert_eq!(heard.try_recv(), Ok("the lock is secure"));
    }
}
