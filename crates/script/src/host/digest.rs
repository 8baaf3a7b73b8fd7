//! Digests.

use aws_lc_rs::digest;
use md5::{Digest, Md5};

use super::text::in_chunks;

/// The digests that scripts can compute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Algorithm {
    /// Broken; scripts use it for identifiers.
    Md5,
    /// Broken as well.
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// The digest of `text`.
///
/// # Errors
/// The script has to stop.
pub(crate) fn digest(algorithm: Algorithm, text: &[u8]) -> mlua::Result<Vec<u8>> {
    let algorithm = match algorithm {
        Algorithm::Md5 => {
            let mut hash = Md5::new();
            in_chunks(text, |piece| hash.update(piece))?;
            return Ok(hash.finalize().to_vec());
        }
        Algorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha224 => &digest::SHA224,
        Algorithm::Sha256 => &digest::SHA256,
        Algorithm::Sha384 => &digest::SHA384,
        Algorithm::Sha512 => &digest::SHA512,
    };
    let mut context = digest::Context::new(algorithm);
    in_chunks(text, |piece| context.update(piece))?;
    Ok(context.finish().as_ref().to_vec())
}

/// Hexadecimal digits in lower case.
pub(crate) fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}
