//! The comparison with the file.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

use super::Schema;
use super::rules::merged;
use crate::aggregate::Aggregate;
use crate::codec::Codec;

/// What says that the file may be written.
const VARIABLE: &str = "ANNALS_SCHEMA";

/// Compares what an aggregate stores with what its older versions stored, as it stands in a file beside the code.
///
/// The path counts from the directory of the package, where `cargo test` runs. The file is plain text and belongs into
/// version control: it lists the names, versions and shapes of the events, the states and their ways, the snapshots.
///
/// | environment | what happens |
/// |---|---|
/// | nothing | the file is only read |
/// | `ANNALS_SCHEMA=update` | the file is written, if it isn't there or if nothing that changed breaks stored data |
/// | `ANNALS_SCHEMA=overwrite` | the file is written in any case; for events that no store holds yet |
/// | `CI` | the file is never written |
///
/// What was removed is remembered in the file, also when it is overwritten, so that a name isn't used again with
/// another meaning. To begin anew, delete the file.
///
/// ```
/// use annals::prelude::*;
/// use annals::testing::{Schema, assert_schema};
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// pub struct Counter { count: u64 }
///
/// #[aggregate]
/// impl Counter {
///     #[event]
///     fn counted(&mut self, by: u64) { self.count += by }
/// }
///
/// # fn a_test() {
/// assert_schema::<Counter>("counter.schema");
/// # }
///
/// // What the file says:
/// assert!(Schema::of::<Counter>().to_string().contains("v1.by = u64"));
/// ```
///
/// # Panics
///
/// If the schema isn't as the file says. The message says what breaks stored data, what else is different, and what to
/// do about it. Also if there is no file, or if it can't be read.
#[track_caller]
pub fn assert_schema<A: Aggregate>(path: impl AsRef<Path>) {
    let checked =
        Wish::from_env().and_then(|wish| check(path.as_ref(), wish, |codec| Schema::in_codec::<A>(codec), A::CODEC));
    if let Err(message) = checked {
        panic!("{message}");
    }
}

/// What may be done with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Read,
    Update,
    Overwrite,
    /// Where nobody would see that it was written.
    OnlyRead,
}

impl Wish {
    fn from_env() -> Result<Self, String> {
        let ci = env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "0" && ci != "false");
        let wish = env::var_os(VARIABLE).unwrap_or_default();
        match wish.to_str() {
            _ if ci => Ok(Self::OnlyRead),
            Some("") => Ok(Self::Read),
            Some("update") => Ok(Self::Update),
            Some("overwrite") => Ok(Self::Overwrite),
            _ => Err(format!("{VARIABLE} is {wish:?}; expected `update` or `overwrite`")),
        }
    }
}

fn check(path: &Path, wish: Wish, code: impl Fn(Codec) -> Schema, codec: Codec) -> Result<(), String> {
    let shown = path.display();
    let now = code(codec);
    let name = &now.aggregate;
    let write = |text: &str| {
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(path, text)).map_err(|error| format!("can't write `{shown}`: {error}"))
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text.replace("\r\n", "\n"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match wish {
                Wish::Update | Wish::Overwrite => write(&now.to_string()),
                Wish::Read => Err(format!(
                    "there is no file `{shown}` with the schema of `{name}`. To write it, run the test once with \
                     {VARIABLE}=update, and commit the file"
                )),
                Wish::OnlyRead => Err(format!(
                    "there is no file `{shown}` with the schema of `{name}`, and in CI none is written. Run the test once \
                     with {VARIABLE}=update where you work, and commit the file"
                )),
            };
        }
        Err(error) => return Err(format!("can't read `{shown}`: {error}")),
    };
    let old: Schema = text.parse().map_err(|error| {
        format!("`{shown}` can't be read as a schema: {error}. Take it from version control again, or mend it by hand")
    })?;
    // What is stored is read with the codec that it was stored with.
    let stored_with = [Codec::MessagePack, Codec::Json].into_iter().find(|codec| codec.to_string() == old.codec);
    let readable = match stored_with {
        Some(stored_with) if stored_with != codec => Schema { codec: now.codec.clone(), ..code(stored_with) },
        _ => now.clone(),
    };
    let changes = readable.changes_since(&old);
    let new_text = merged(&old, &now).to_string();
    if new_text == text && changes.breaking().is_empty() {
        return Ok(());
    }
    match wish {
        Wish::Overwrite => return write(&new_text),
        Wish::Update if changes.breaking().is_empty() => return write(&new_text),
        _ => {}
    }
    let mut message = format!("`{name}` is not as `{shown}` says.\n\n");
    if changes.breaking().is_empty() && changes.harmless().is_empty() {
        message.push_str("The file is written in another way than annals writes it.\n");
    }
    let advice = match (changes.breaking().is_empty(), wish) {
        (true, Wish::OnlyRead) => {
            format!("Run the test once with {VARIABLE}=update where you work, and commit the file with the change.")
        }
        (true, _) => format!("If this is meant, run the test once with {VARIABLE}=update, and commit the file."),
        (false, _) => format!(
            "{VARIABLE}=update doesn't accept what breaks. If no store that matters holds any of it yet, run the test \
             once with {VARIABLE}=overwrite."
        ),
    };
    // Writing into a string can't fail.
    let _ = write!(message, "{changes}\n{advice}");
    Err(message)
}

#[cfg(test)]
mod tests;
