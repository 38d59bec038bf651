//! Holds leases until it is killed: `lessor <dir> <leases> <day>`.
//!
//! Its clock stands still on the given day. On day 0 it takes the leases, for 60 days; later it lets run out what is
//! over. It says `ready` when the leases are taken, or when the store is open.

#![expect(clippy::print_stdout, reason = "its output is what the test waits for")]

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use annals::testing::ManualClock;
use annals::{System, Timestamp};
use annals_tests::{Diary, Lease};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let leases: u64 = arguments.next().ok_or("how many leases?")?.parse()?;
    let day: u64 = arguments.next().ok_or("on which day?")?.parse()?;
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    clock.advance(Duration::from_hours(24 * day));
    let builder = System::builder().clock(clock).provide(Arc::new(Diary::default())).register::<Lease>();
    let system = builder.open(directory).await?;
    if day == 0 {
        let takes = (0..leases).map(|number| tokio::spawn(system.get::<Lease>(format!("{number}")).take()));
        for take in takes.collect::<Vec<_>>() {
            take.await??;
        }
    }
    println!("ready");
    std::future::pending().await
}
