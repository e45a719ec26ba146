//! Signatures of modules: ed25519 over the digest of the component.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::DecodePublicKey;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use thiserror::Error;

/// In front of the digest, so that a signature means this and nothing else.
const PURPOSE: &str = "subcast module sha256:";
/// A signature has 88, and may have white space around it.
const MOST_BYTES: u64 = 1024;

/// Why a module is not trusted.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// There is none, and one is demanded.
    #[error("it is not signed, and [admin] trusted_keys demands a signature: sign it with `subcast sign`")]
    Unsigned,
    /// Not a signature at all.
    #[error("its signature is not 64 bytes in base64; make one with `subcast sign`")]
    Malformed,
    /// A signature of somebody else, or of something else.
    #[error("its signature is of none of the keys in [admin] trusted_keys, or of another component")]
    Untrusted,
}

/// A public key whose holder may deploy.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedKey(VerifyingKey);

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedKey({})", base64(self.0.as_bytes()))
    }
}

impl TrustedKey {
    /// Reads a key: 32 bytes in base64, or a public key in PEM.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("expected the base64 of 32 bytes (`subcast sign` prints it) or a PEM public key, found {text:?}")
        };
        let key = if text.contains("BEGIN PUBLIC KEY") {
            VerifyingKey::from_public_key_pem(text).map_err(|_| wrong())?
        } else {
            let bytes: [u8; 32] = unbase64(text).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
            VerifyingKey::from_bytes(&bytes).map_err(|_| wrong())?
        };
        // Anybody can make signatures that hold under such a key.
        if key.is_weak() { Err(format!("{text:?} is a weak key, which anybody could sign for")) } else { Ok(Self(key)) }
    }
}

/// Checks the signature of the component with this digest. Without keys everything is trusted.
pub(super) fn verify(keys: &[TrustedKey], digest: &str, signature: Option<&str>) -> Result<(), SignatureError> {
    // It is put on record, also where nobody looks at it. Each wrong byte of a file stands for three.
    if signature.is_some_and(|text| text.len() as u64 > 3 * MOST_BYTES) {
        return Err(SignatureError::Malformed);
    }
    if keys.is_empty() {
        return Ok(());
    }
    let text = signature.ok_or(SignatureError::Unsigned)?;
    let bytes = unbase64(text.trim()).ok_or(SignatureError::Malformed)?;
    let signature = Signature::from_slice(&bytes).map_err(|_| SignatureError::Malformed)?;
    let message = format!("{PURPOSE}{digest}");
    let holds = keys.iter().any(|TrustedKey(key)| key.verify_strict(message.as_bytes(), &signature).is_ok());
    if holds { Ok(()) } else { Err(SignatureError::Untrusted) }
}

/// Signs the component with this digest. Returns the signature, base64.
#[must_use]
pub fn sign(key: &SigningKey, digest: &str) -> String {
    base64(&key.sign(format!("{PURPOSE}{digest}").as_bytes()).to_bytes())
}

/// Where the signature of a component's file is: in the file beside it that has `.sig` at the end.
#[must_use]
pub fn file(component: &Path) -> PathBuf {
    let mut beside = component.as_os_str().to_owned();
    beside.push(".sig");
    beside.into()
}

/// What is in the file beside a component's that holds its signature, if there is one; no more of it than a signature could be.
pub fn beside(component: &Path) -> io::Result<Option<String>> {
    let path = file(component);
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// The public half of a key, as [`TrustedKey::parse`] reads it.
#[must_use]
pub fn public(key: &SigningKey) -> String {
    base64(key.verifying_key().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn only_the_right_signature_of_the_right_component_is_trusted() {
        let trusted = [TrustedKey::parse(&public(&key(1))).unwrap(), TrustedKey::parse(&public(&key(2))).unwrap()];
        let signature = sign(&key(2), "abc");
        assert_eq!(verify(&trusted, "abc", Some(&signature)), Ok(()));
        assert_eq!(verify(&trusted, "abd", Some(&signature)), Err(SignatureError::Untrusted));
        assert_eq!(verify(&trusted, "abc", Some(&sign(&key(3), "abc"))), Err(SignatureError::Untrusted));
        assert_eq!(verify(&trusted, "abc", Some("AAAA")), Err(SignatureError::Malformed));
        assert_eq!(verify(&trusted, "abc", Some("?")), Err(SignatureError::Malformed));
        assert_eq!(verify(&trusted, "abc", None), Err(SignatureError::Unsigned));
        assert_eq!(verify(&[], "abc", None), Ok(()));
        assert_eq!(verify(&[], "abc", Some("anything")), Ok(()));
        assert_eq!(verify(&[], "abc", Some(&"A".repeat(4_000))), Err(SignatureError::Malformed));
    }

    #[test]
    fn what_is_no_signature_is_kept_as_it_is_and_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("users.wasm");
        assert_eq!(beside(&component).unwrap(), None);
        let trusted = [TrustedKey::parse(&public(&key(1))).unwrap()];
        let good = sign(&key(1), "abc");
        let padded = format!("\n {good}\r\n");
        let told = [
            (padded.as_bytes(), Ok(())),
            (b"", Err(SignatureError::Malformed)),
            (b"\xff\xfe\0", Err(SignatureError::Malformed)),
            (&good.as_bytes()[..87], Err(SignatureError::Malformed)),
            (&vec![b'A'; 1 << 20], Err(SignatureError::Malformed)),
        ];
        for (content, expected) in told {
            std::fs::write(file(&component), content).unwrap();
            let found = beside(&component).unwrap().expect("there is a file");
            assert!(found.len() <= 3 * 1024, "{}", found.len());
            assert_eq!(verify(&trusted, "abc", Some(&found)), expected, "{found:.100}");
        }
        std::fs::remove_file(file(&component)).unwrap();
        std::fs::create_dir(file(&component)).unwrap();
        let error = beside(&component).unwrap_err().to_string();
        assert!(error.contains("users.wasm.sig"), "{error}");
    }

    #[test]
    fn a_key_that_everybody_can_sign_for_is_refused() {
        // The neutral element of the curve.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert!(TrustedKey::parse(&base64(&neutral)).unwrap_err().contains("weak"));
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_to_write() {
        for text in ["", "AAAA", "not base64", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
            assert!(TrustedKey::parse(text).unwrap_err().contains("subcast sign"), "{text}");
        }
    }
}
