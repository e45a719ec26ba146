//! sha256 of what is too large to be read at once.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::pace;

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
    fn digest_and_size_are_those_of_the_whole() {
        let content = vec![b'a'; 3 * pace::BYTES + 1];
        assert_eq!(sha256(&content[..]).unwrap(), (hex::encode(Sha256::digest(&content)), content.len() as u64));
    }
}
