//! A combination lock as a state machine, shown as a session at a terminal.
//!
//! `cargo run -p annals-examples --bin lock`

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::fmt::{Debug, Display};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::prelude::*;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A digit of the combination.
pub type Digit = u8;

/// The combination. A real lock would not have it in its source.
const SECRET: [Digit; 4] = [4, 7, 1, 1];

/// How long the lock of this session stays open, so that nobody has to wait half a minute to see it lock itself.
const OPEN_FOR: Duration = Duration::from_secs(1);

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

/// Says aloud what the lock reports, once it is stored.
#[derive(Debug, Clone, Default)]
pub struct Porter {
    spoke: Arc<Notify>,
}

impl Porter {
    fn report(&self, what: &str) {
        println!("    the porter: {what}");
        self.spoke.notify_one();
    }

    /// Waits for the next report, so that what is printed stays in order.
    async fn spoke(&self) -> Result<(), Box<dyn Error>> {
        timeout(Duration::from_secs(30), self.spoke.notified()).await.map_err(|_| "the porter sleeps".into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let porter = Porter::default();

    let (system, door) = open(directory.path(), &porter).await?;
    stands(&door).await?;
    says("lock", door.lock().await);
    porter.spoke().await?;
    stands(&door).await?;
    says("lock", door.lock().await);
    for digit in [1, 2, 3, 4] {
        says(&format!("enter_digit {digit}"), door.enter_digit(digit).await);
    }
    says("try_unlock", door.try_unlock().await);
    porter.spoke().await?;
    for digit in [4, 7] {
        says(&format!("enter_digit {digit}"), door.enter_digit(digit).await);
    }
    system.shutdown().await?;

    println!("\nthe program ends here, and begins again\n");
    let (system, door) = open(directory.path(), &porter).await?;
    stands(&door).await?;
    println!("    {} digits were entered", door.digits().await?);
    for digit in [1, 1] {
        says(&format!("enter_digit {digit}"), door.enter_digit(digit).await);
    }
    says("try_unlock", door.try_unlock().await);
    stands(&door).await?;
    println!("\nnobody does anything for {} s\n", OPEN_FOR.as_secs());
    porter.spoke().await?;
    stands(&door).await?;
    system.shutdown().await?;

    println!("\nthe machine\n\n{}", Lock::GRAPH.to_mermaid());
    Ok(())
}

/// Starts a system, as a program does when it begins, and finds the lock in it.
async fn open(directory: &Path, porter: &Porter) -> Result<(System, LockRef), Box<dyn Error>> {
    let system = System::builder().provide(porter.clone()).register::<Lock>().open(directory).await?;
    let door = system.get::<Lock>("front door");
    Ok((system, door))
}

/// Prints where the lock stands, and what can be done there.
async fn stands(door: &LockRef) -> Result<(), Box<dyn Error>> {
    println!("    it is {:?}, and accepts: {}", door.state().await?, door.accepts().await?.join(", "));
    Ok(())
}

/// Prints a command and its answer.
fn says<R: Debug, E: Display>(command: &str, answer: Result<R, CallError<E>>)
where
    CallError<E>: Display,
{
    match answer {
        Ok(reply) => println!("> {command}\n    {reply:?}"),
        Err(error) => println!("> {command}\n    refused: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use annals::testing::given;

    use super::*;

    fn entered(digits: &[Digit]) -> Vec<LockEvent> {
        digits.iter().map(|&digit| LockEvent::DigitEntered { digit }).collect()
    }
}
