//! One line of a log of strace that has all bytes as hexadecimal numbers.

use std::path::PathBuf;

/// A call that has returned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
    pub(super) returned: &'a str,
}

/// The name of a call.
pub(super) fn name(text: &str) -> &str {
    text.split_once('(').map_or("", |(name, _)| name)
}

/// What stands behind the name.
pub(super) fn arguments(text: &str) -> &str {
    text.split_once('(').map_or("", |(_, arguments)| arguments)
}

impl<'a> Line<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (call, returned) = text.rsplit_once(" = ")?;
        let name = name(call);
        let is_call = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let arguments = arguments(call).trim_end().strip_suffix(')')?;
        is_call.then_some(Self { name, arguments, returned })
    }

    /// The number that it has returned, unless that is an error.
    pub(super) fn returned(&self) -> Option<u64> {
        digits(self.returned)
    }

    /// The descriptor that is its first argument.
    pub(super) fn descriptor(&self) -> Option<u64> {
        self.arguments.split_once('<').and_then(|(number, _)| number.parse().ok())
    }

    /// The path of that.
    pub(super) fn path(&self) -> PathBuf {
        let path = self.arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        path.map_or_else(PathBuf::new, |(path, _)| text(path).into())
    }

    /// The paths that are named, each from the directory on that is the argument before it.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let (mut paths, mut rest, mut base) = (Vec::new(), self.arguments, PathBuf::new());
        while let Some(at) = rest.find(['<', '"']) {
            let (end, is_base) = if rest[at..].starts_with('<') { ('>', true) } else { ('"', false) };
            let Some(len) = rest[at + 1..].find(end) else { break };
            let found = text(&rest[at + 1..at + 1 + len]);
            match is_base {
                true => base = found.into(),
                false => paths.push(base.join(found)),
            }
            rest = &rest[at + 1 + len + 1..];
        }
        paths
    }

    /// The last argument, if it is a number.
    pub(super) fn last_number(&self) -> Option<usize> {
        self.arguments.rsplit(", ").next()?.parse().ok()
    }

    /// The bytes that are written.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for (nth, part) in self.arguments.split('"').enumerate() {
            if nth % 2 == 1 {
                bytes.extend(unescaped(part));
            } else if nth > 0 && part.starts_with("...") {
                return Err("the log doesn't have all bytes".into());
            }
        }
        Ok(bytes)
    }
}

fn digits(text: &str) -> Option<u64> {
    let end = text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// A name, with its bytes as numbers or as they are.
fn text(name: &str) -> String {
    String::from_utf8_lossy(&unescaped(name)).into_owned()
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len() / 4), text.as_bytes());
    while let [first, behind @ ..] = rest {
        let number = behind.strip_prefix(b"x").and_then(|digits| digits.get(..2)).filter(|_| *first == b'\\');
        match number.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[3..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_written_and_where() {
        let line = Line::parse(r#"pwrite64(7</dir/\x66>, "\x61\x62", 2, 4096)     = 2"#).unwrap();
        assert_eq!((line.descriptor(), line.path(), line.last_number()), (Some(7), "/dir/f".into(), Some(4096)));
        assert_eq!((line.bytes().unwrap(), line.returned()), (b"ab".to_vec(), Some(2)));
        let line =
            Line::parse(r#"renameat(AT_FDCWD</at>, "\x2f\x61", 5</d>, "\x62") = -1 ENOENT (No such file)"#).unwrap();
        assert_eq!((line.paths(), line.returned()), (vec!["/a".into(), "/d/b".into()], None));
        assert!(Line::parse(r#"write(1<pipe:[1]>, "\x61"..., 9) = 9"#).unwrap().bytes().is_err());
    }
}
