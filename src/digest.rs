//! Files of components, and sha256 of what is too large to be read at once.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::pace;

/// Opens a file for reading. A folder or a pipe that lies there is refused: somebody would wait for what is never written.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// The digest of all that there is to read, hexadecimal, and its size in bytes.
pub fn sha256(mut source: impl Read) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; pace::BYTES];
    let mut size = 0;
    loop {
        match source.read(&mut chunk)? {
            0 => return Ok((hex::encode(hasher.finalize()), size)),
            count => {
                hasher.update(&chunk[..count]);
                size += count as u64;
                pace::pause();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        std::fs::write(&file, "content").unwrap();
        for path in [&pipe, folder.path()] {
            assert_eq!(open(path).unwrap_err().to_string(), "it is not a regular file");
        }
        assert_eq!(sha256(open(&file).unwrap()).unwrap().1, 7);
    }

    #[test]
    fn digest_and_size_are_those_of_the_whole() {
        let content = vec![b'a'; 3 * pace::BYTES + 1];
        assert_eq!(sha256(&content[..]).unwrap(), (hex::encode(Sha256::digest(&content)), content.len() as u64));
    }
}
