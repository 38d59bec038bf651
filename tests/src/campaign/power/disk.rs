//! What of a recording is certainly on the disk, and what else may be there when power is lost.
//!
//! A sync makes durable what was done before it began, to its file or in its directory, and nothing else. Of the rest,
//! power loss leaves what it will: of a file any of the lengths that it had, and of each block of it what was there at
//! any time since; of a directory the first so many of its changes, a rename in both directories or in none. So a file
//! that was synced may have no name yet, which ext4 and xfs don't do, and a name may lead to a file that is empty, which
//! they do.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::recording::{Act, Deed, Node, Recording};
use crate::campaign::{Image, Random, StoredFile};

/// What a disk writes as a whole, and what the system does.
const BLOCKS_BYTES: [usize; 2] = [512, 4096];

type Change = (Node, OsString, Option<Node>);

/// A deed that isn't synced.
#[derive(Debug, Clone, Copy)]
pub struct Pending<'a> {
    /// Its place in the recording.
    pub index: usize,
    /// What was done.
    pub act: &'a Act,
}

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    len: usize,
}

impl Content {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[at..end].copy_from_slice(bytes);
        self.len = self.len.max(end);
    }

    fn set_len(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.len = len;
    }

    fn apply(&mut self, deed: &Deed) {
        match deed {
            Deed::Write { at, bytes, .. } => self.write(*at, bytes),
            Deed::Length { len, .. } => self.set_len(*len),
            Deed::Names(_) | Deed::Sync { .. } | Deed::Told(_) => {}
        }
    }
}

/// The disk at a place of a recording.
#[derive(Debug, Clone)]
pub struct Disk<'a> {
    recording: &'a Recording,
    /// How many deeds were done.
    done: usize,
    /// What is synced: the names of each directory, and the bytes of each file.
    names: Vec<BTreeMap<OsString, Node>>,
    contents: Vec<Content>,
    /// What is done and not synced: in directories, and in each file.
    changes: Vec<Pending<'a>>,
    writes: BTreeMap<Node, Vec<Pending<'a>>>,
}

/// What power loss leaves of what isn't synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Of a hundred directories, so many lose none of their changes.
    pub names_kept: u64,
    /// Of a hundred blocks that were written, so many are as they were in the end.
    pub blocks_kept: u64,
    /// Of a hundred others, so many are as they were in between.
    pub blocks_between: u64,
}

impl Loss {
    /// Nothing: it is as if a process was killed.
    pub const NOTHING: Self = Self { names_kept: 100, blocks_kept: 100, blocks_between: 0 };
    /// All that wasn't synced.
    pub const EVERYTHING: Self = Self { names_kept: 0, blocks_kept: 0, blocks_between: 0 };

    /// Something, mostly not the same for names and for bytes.
    pub fn drawn(random: &mut Random) -> Self {
        let mut draw = || [0, 0, 100, 100, 20, 50, 80, 95][usize::try_from(random.below(8)).unwrap_or_default()];
        let (names_kept, blocks_kept) = (draw(), draw());
        Self { names_kept, blocks_kept, blocks_between: draw() }
    }
}

impl<'a> Disk<'a> {
    /// What was there before a recording began.
    pub fn new(recording: &'a Recording) -> Self {
        let nodes = recording.is_dir.len();
        let mut this = Self {
            recording,
            done: 0,
            names: vec![BTreeMap::new(); nodes],
            contents: vec![Content::default(); nodes],
            changes: Vec::new(),
            writes: BTreeMap::new(),
        };
        let begin = &recording.begin;
        let files = begin.files().iter().map(|file| &file.path);
        for (node, path) in begin.directories().iter().chain(files).enumerate() {
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                let dir =
                    parent.components().try_fold(0, |dir: Node, part| this.names[dir].get(part.as_os_str()).copied());
                this.names[dir.unwrap_or(0)].insert(name.to_owned(), node);
            }
        }
        for (nth, file) in begin.files().iter().enumerate() {
            let content = &mut this.contents[begin.directories().len() + nth];
            content.bytes.clone_from(&file.bytes);
            content.len = usize::try_from(file.len).unwrap_or(usize::MAX);
        }
        this
    }

    /// Does the next deed, and says which that was.
    pub fn step(&mut self) -> Option<Pending<'a>> {
        let act = self.recording.acts.get(self.done)?;
        let pending = Pending { index: self.done, act };
        match &act.deed {
            Deed::Names(_) => self.changes.push(pending),
            Deed::Write { node, .. } | Deed::Length { node, .. } => self.writes.entry(*node).or_default().push(pending),
            Deed::Sync { node, began } if self.recording.is_dir[*node] => self.sync_dir(*node, *began),
            Deed::Sync { node, began } => {
                if let Some(pending) = self.writes.remove(node) {
                    let (synced, rest): (Vec<_>, Vec<_>) = pending.into_iter().partition(|write| write.index < *began);
                    synced.iter().for_each(|write| self.contents[*node].apply(&write.act.deed));
                    if !rest.is_empty() {
                        self.writes.insert(*node, rest);
                    }
                }
            }
            Deed::Told(_) => {}
        }
        self.done += 1;
        Some(pending)
    }

    /// Does all deeds before one.
    pub fn go_to(&mut self, place: usize) {
        while self.done < place && self.step().is_some() {}
    }

    /// Syncs the names of a directory, and with a rename what came before it in the other one.
    fn sync_dir(&mut self, node: Node, began: usize) {
        let (mut dirs, mut synced, mut rest) = (BTreeSet::from([node]), Vec::new(), Vec::new());
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            let names = changed(change.act);
            if change.index < began && names.iter().any(|(dir, ..)| dirs.contains(dir)) {
                dirs.extend(names.iter().map(|(dir, ..)| *dir));
                synced.push(change);
            } else {
                rest.push(change);
            }
        }
        rest.reverse();
        self.changes = rest;
        for change in synced.iter().rev() {
            enter(&mut self.names, changed(change.act));
        }
    }

    /// What is done and not synced.
    pub fn pending(&self) -> impl Iterator<Item = Pending<'a>> {
        self.changes.iter().chain(self.writes.values().flatten()).copied()
    }

    /// What isn't synced of a file, or of a directory with everything that is in it.
    pub fn pending_in(&self, node: Node) -> impl Iterator<Item = Pending<'a>> {
        let mut names = self.names.clone();
        for change in &self.changes {
            enter(&mut names, changed(change.act));
        }
        let (mut inside, mut next) = (BTreeSet::from([node]), vec![node]);
        while let Some(node) = next.pop() {
            next.extend(names[node].values().filter(|inner| inside.insert(**inner)));
        }
        let is_inside = move |pending: &Pending<'_>| match &pending.act.deed {
            Deed::Write { node, .. } | Deed::Length { node, .. } => inside.contains(node),
            Deed::Names(changes) => changes.iter().all(|(dir, ..)| inside.contains(dir)),
            Deed::Sync { .. } | Deed::Told(_) => false,
        };
        self.pending().filter(is_inside)
    }

    /// What is there when power is lost now, and what of it is lost.
    pub fn image(&self, loss: Loss, random: &mut Random) -> (Image, Vec<String>) {
        let mut lost = Vec::new();
        let names = self.names_left(loss, random, &mut lost);
        let mut contents = BTreeMap::new();
        for (node, writes) in &self.writes {
            let content = &self.contents[*node];
            contents.insert(*node, bytes_left(content, writes, loss, random, &mut lost));
        }
        let mut image = Image::default();
        let mut paths = BTreeMap::new();
        self.collect(&names, &contents, 0, Path::new(""), &mut image, &mut paths);
        image.sort();
        (image, lost)
    }

    fn names_left(&self, loss: Loss, random: &mut Random, lost: &mut Vec<String>) -> Vec<BTreeMap<OsString, Node>> {
        let mut names = self.names.clone();
        let (mut decided, mut closed) = (BTreeMap::new(), BTreeSet::new());
        for change in &self.changes {
            let changes = changed(change.act);
            let is_left = changes.iter().all(|(dir, ..)| {
                // One that loses some loses them from somewhere on.
                let keeps_all = *decided.entry(*dir).or_insert_with(|| random.below(100) < loss.names_kept);
                !closed.contains(dir) && (keeps_all || (loss.names_kept > 0 && random.below(4) > 0))
            });
            if is_left {
                enter(&mut names, changes);
            } else {
                closed.extend(changes.iter().map(|(dir, ..)| *dir));
                lost.push(format!("deed {}: the name of `{}`", change.index, change.act.path.display()));
            }
        }
        names
    }

    fn collect(
        &self,
        names: &[BTreeMap<OsString, Node>],
        contents: &BTreeMap<Node, Content>,
        dir: Node,
        path: &Path,
        image: &mut Image,
        paths: &mut BTreeMap<Node, PathBuf>,
    ) {
        image.add_directory(path);
        for (name, node) in &names[dir] {
            let path = path.join(name);
            if self.recording.is_dir[*node] {
                self.collect(names, contents, *node, &path, image, paths);
            } else if let Some(other) = paths.get(node) {
                image.add_link(other, &path);
            } else {
                paths.insert(*node, path.clone());
                let Content { bytes, len } = contents.get(node).unwrap_or(&self.contents[*node]).clone();
                image.add_file(StoredFile::new(path, bytes, len));
            }
        }
    }
}

fn changed(act: &Act) -> &[Change] {
    match &act.deed {
        Deed::Names(changes) => changes,
        Deed::Write { .. } | Deed::Length { .. } | Deed::Sync { .. } | Deed::Told(_) => &[],
    }
}

fn enter(names: &mut [BTreeMap<OsString, Node>], changes: &[Change]) {
    for (dir, name, node) in changes {
        match node {
            Some(node) => drop(names[*dir].insert(name.clone(), *node)),
            None => drop(names[*dir].remove(name)),
        }
    }
}

/// What is left of a file.
fn bytes_left(
    synced: &Content,
    writes: &[Pending<'_>],
    loss: Loss,
    random: &mut Random,
    lost: &mut Vec<String>,
) -> Content {
    let block = BLOCKS_BYTES[usize::try_from(random.below(2)).unwrap_or_default()];
    let all = writes.len();
    // How many of the writes are in something of the file.
    let mut draw = || {
        let drawn = random.below(100);
        if drawn < loss.blocks_kept {
            all
        } else if drawn < loss.blocks_kept + loss.blocks_between {
            usize::try_from(random.below(u64::try_from(all + 1).unwrap_or(1))).unwrap_or_default()
        } else {
            0
        }
    };
    let in_length = draw();
    let mut in_blocks = BTreeMap::new();
    let (mut left, mut len) = (synced.clone(), synced.len);
    for (nth, write) in writes.iter().enumerate() {
        match &write.act.deed {
            Deed::Write { at, bytes, .. } => {
                let end = at + bytes.len();
                for number in at / block..end.div_ceil(block) {
                    if *in_blocks.entry(number).or_insert_with(&mut draw) > nth {
                        let (from, to) = ((number * block).max(*at), ((number + 1) * block).min(end));
                        left.write(from, &bytes[from - at..to - at]);
                    }
                }
                len = if nth < in_length { len.max(end) } else { len };
            }
            Deed::Length { len: cut, .. } if nth < in_length => {
                left.set_len(*cut);
                len = *cut;
            }
            Deed::Length { .. } | Deed::Names(_) | Deed::Sync { .. } | Deed::Told(_) => {}
        }
    }
    left.set_len(len);
    let blocks = in_blocks.values().filter(|left| **left < all).count();
    if blocks > 0 || in_length < all {
        let (first, path) = (writes[0].index, writes[0].act.path.display());
        lost.push(format!(
            "from deed {first} on: {blocks} of {} blocks of {block} bytes of `{path}`, with the length of write {in_length} of {all}",
            in_blocks.len()
        ));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(deed: Deed) -> Act {
        Act { deed, path: PathBuf::new(), moved: None }
    }

    /// A file is made in the directory, written twice and synced in between.
    fn recording(syncs: bool) -> Recording {
        let deeds = [
            Deed::Names(vec![(0, "file".into(), Some(1))]),
            Deed::Write { node: 1, at: 0, bytes: vec![1; 5000] },
            Deed::Sync { node: 1, began: 2 },
            Deed::Sync { node: 0, began: 3 },
            Deed::Write { node: 1, at: 5000, bytes: vec![2; 5000] },
            Deed::Told("1 done".into()),
        ];
        let deeds = deeds.into_iter().filter(|deed| syncs || !matches!(deed, Deed::Sync { .. }));
        let mut begin = Image::default();
        begin.add_directory(Path::new(""));
        Recording { begin, acts: deeds.map(act).collect(), is_dir: vec![true, false] }
    }

    fn left(recording: &Recording, loss: Loss) -> Option<StoredFile> {
        let mut disk = Disk::new(recording);
        while disk.step().is_some() {}
        disk.image(loss, &mut Random::new(7)).0.files().first().cloned()
    }

    #[test]
    fn what_is_synced_is_left_and_the_rest_may_be_lost() {
        let recording = recording(true);
        let kept = left(&recording, Loss::NOTHING).unwrap();
        assert_eq!((kept.len, kept.bytes[4999], kept.bytes[9999]), (10_000, 1, 2));
        let synced = left(&recording, Loss::EVERYTHING).unwrap();
        assert_eq!((synced.len, synced.bytes), (5000, vec![1; 5000]));
    }

    #[test]
    fn a_name_that_is_not_synced_may_be_lost_or_lead_to_nothing() {
        let recording = recording(false);
        assert!(left(&recording, Loss::EVERYTHING).is_none());
        let empty = left(&recording, Loss { names_kept: 100, ..Loss::EVERYTHING }).unwrap();
        assert_eq!((empty.len, empty.bytes), (0, vec![]));
    }

    #[test]
    fn any_blocks_may_be_left() {
        let recording = recording(false);
        let mut found = BTreeSet::new();
        for seed in 1..200 {
            let mut disk = Disk::new(&recording);
            while disk.step().is_some() {}
            let loss = Loss { names_kept: 100, blocks_kept: 50, blocks_between: 20 };
            let (image, _) = disk.image(loss, &mut Random::new(seed));
            let file = &image.files()[0];
            found.insert([0, 4999, 5000, 9999].map(|at| file.bytes.get(at).copied()));
        }
        assert!(found.contains(&[Some(1), Some(1), Some(2), Some(2)]));
        assert!(found.contains(&[Some(0), Some(1), Some(2), Some(2)]), "a block in the middle is lost");
        assert!(found.len() > 5, "{found:?}");
    }
}
