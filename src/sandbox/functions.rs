//! Functions that were compiled before. Python components share nearly all of theirs, so that the second module takes a
//! third of the time of the first.
//!
//! One file, read and written as a whole by the compiling child: there are 12,000 of them, far too many for files of their
//! own. A function is found by the digest of its code, so that a module cannot change what another one gets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use wasmtime::CacheStore;

use crate::pace;

/// Most bytes that are kept: three Python components that share nothing.
const MOST_BYTES: usize = 160 << 20;
/// Largest entry that is read: a damaged file must not ask for all memory.
const MOST_ENTRY: u32 = 32 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Functions {
    entries: RwLock<HashMap<Box<[u8]>, Entry>>,
}

#[derive(Debug)]
struct Entry {
    code: Box<[u8]>,
    /// By this compilation.
    used: AtomicBool,
}

impl Functions {
    /// Those of the file. One that cannot be read is as good as none.
    pub(super) fn read(path: &Path) -> Self {
        let mut entries = HashMap::new();
        if let Ok(file) = File::open(path) {
            let mut file = BufReader::with_capacity(pace::BYTES, file);
            while let (Ok(key), Ok(code)) = (block(&mut file), block(&mut file)) {
                entries.insert(key, Entry { code, used: false.into() });
            }
        }
        Self { entries: RwLock::new(entries) }
    }

    /// Writes them, those of this compilation first, the others as far as there is room.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::with_capacity(pace::BYTES, File::create(path)?);
        let entries = self.entries.read();
        let mut left = MOST_BYTES;
        for wanted in [true, false] {
            for (key, entry) in entries.iter().filter(|(_, entry)| entry.used.load(Ordering::Relaxed) == wanted) {
                let size = key.len() + entry.code.len() + 8;
                if size <= left {
                    left -= size;
                    write_block(&mut file, key)?;
                    write_block(&mut file, &entry.code)?;
                }
            }
        }
        file.flush()
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let entries = self.entries.read();
        let entry = entries.get(key)?;
        entry.used.store(true, Ordering::Relaxed);
        Some(Cow::Owned(entry.code.to_vec()))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.entries.write().insert(key.into(), Entry { code: value.into(), used: true.into() });
        true
    }
}

fn block(file: &mut impl Read) -> io::Result<Box<[u8]>> {
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MOST_ENTRY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}

fn write_block(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("functions");
        let functions = Functions::read(&path);
        assert!(functions.get(b"a").is_none());
        assert!(functions.insert(b"a", vec![1; 10]) && functions.insert(b"b", vec![2; 10]));
        functions.write(&path).unwrap();
        let again = Functions::read(&path);
        assert_eq!((again.get(b"a").unwrap().len(), again.get(b"b").unwrap()[0]), (10, 2));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 3);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Functions::read(&path).entries.read().len(), 1);
        std::fs::write(&path, [0xff; 64]).unwrap();
        assert_eq!(Functions::read(&path).entries.read().len(), 0);
    }
}
