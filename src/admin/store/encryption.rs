//! Encryption of rows: AES-256-GCM with a random nonce. What a row is called is authenticated with it, so that nobody can
//! put the content of one row into another.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;

/// The first byte of a sealed row: how it is sealed.
const FORMAT: u8 = 1;
/// Bytes of a key.
const KEY_LENGTH: usize = 32;

/// A text that is no key. The text itself is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the key of the store must be 32 random bytes, as 64 hexadecimal digits or in base64, and is a text of {length} \
    characters that is neither; `openssl rand -base64 32` makes a key"
)]
pub struct KeyError {
    length: usize,
}

/// The key of a store. Cheap to clone.
#[derive(Clone)]
pub struct EncryptionKey {
    id: String,
    key: Arc<RandomizedNonceKey>,
}

impl EncryptionKey {
    /// Reads 32 bytes in hexadecimal or base64 digits, the latter in either alphabet, padded or not. White space around
    /// them is ignored.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = hexadecimal(text).or_else(|| base64(text, &STANDARD)).or_else(|| base64(text, &URL_SAFE));
        let bytes = bytes.filter(|bytes| bytes.len() == KEY_LENGTH);
        let bytes = bytes.ok_or_else(|| KeyError { length: text.chars().count() })?;
        let key = Arc::new(RandomizedNonceKey::new(&AES_256_GCM, &bytes).expect("AES-256 takes 32 bytes"));
        let named = digest(&SHA256, &[b"the id of a key of Logphase: ", &bytes[..]].concat());
        let id = named.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id, key })
    }

    /// A name of the key, in 16 hexadecimal digits. It does not tell the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Encrypts the content of a row.
    pub(super) fn seal(&self, kind: &str, id: &str, mut bytes: Vec<u8>) -> Vec<u8> {
        let nonce = self.key.seal_in_place_append_tag(associated(kind, id), &mut bytes);
        let nonce =
            nonce.expect("a row is shorter than the 64 GiB that AES-GCM seals, and the system has random bytes");
        [&[FORMAT], &nonce.as_ref()[..], &bytes].concat()
    }

    /// Decrypts the content of a row; none if it was sealed with another key, for another row, or is damaged.
    pub(super) fn open(&self, kind: &str, id: &str, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (head, bytes) = sealed.split_at_mut_checked(1 + NONCE_LEN)?;
        let (&mut format, nonce) = head.split_first_mut()?;
        if format != FORMAT {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.key.open_in_place(nonce, associated(kind, id), bytes).ok().map(|plain| plain.to_vec())
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKey({})", self.id)
    }
}

/// What a row is called, unambiguously.
fn associated(kind: &str, id: &str) -> Aad<Vec<u8>> {
    let length = (kind.len() as u64).to_be_bytes();
    Aad::from([&length[..], kind.as_bytes(), id.as_bytes()].concat())
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let pairs = digits.chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    let bytes =
        pairs.map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits are a byte")).collect::<Vec<u8>>();
    (is_whole && bytes.len() == KEY_LENGTH).then_some(bytes)
}

fn base64(text: &str, alphabet: &Alphabet) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}
