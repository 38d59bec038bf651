//! Damages a store as its input says, and judges what becomes of it: `damaged <image> <directory>`.
//!
//! A process of its own: the engine may end it where it is given nonsense. Each line of its input is
//! `<file> <damage> <whether to go on>`, and each line of its output is a verdict.

#![expect(clippy::print_stdout, reason = "its output is what the campaign counts")]

use std::env;
use std::error::Error;
use std::io::BufRead as _;

use annals_tests::campaign::Patient;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let image = arguments.next().ok_or("which image?")?;
    let directory = arguments.next().ok_or("in which directory?")?;
    let patient = Patient::new(image.as_ref(), directory.as_ref()).await?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (file, rest) = line.split_once(' ').ok_or("which file?")?;
        let (damage, go_on) = rest.rsplit_once(' ').ok_or("which damage?")?;
        println!("{}", patient.judge(file.parse()?, damage.parse()?, go_on == "true").await?);
    }
    Ok(())
}
