//! The actions of redaction rules.

use std::fmt::Write;

use aws_lc_rs::hmac;

/// What happens to a value.
#[derive(Debug)]
pub(super) enum Action {
    Remove,
    Mask,
    Hash(HashKey),
}

impl Action {
    /// The replacement of `secret`; `None` if it is removed.
    pub(super) fn text(&self, secret: &[u8]) -> String {
        match self {
            Self::Remove => String::new(),
            Self::Mask => "***".to_owned(),
            Self::Hash(key) => key.hash(secret),
        }
    }

    pub(super) fn removes(&self) -> bool {
        matches!(self, Self::Remove)
    }
}

/// The key of hashes, which is never shown.
pub(super) struct HashKey(Box<hmac::Key>);

impl HashKey {
    pub(super) fn new(key: &str) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))
    }

    /// HMAC-SHA-256 (RFC 2104) in full length, like the output of other tools.
    fn hash(&self, secret: &[u8]) -> String {
        let mut text = "hmac-sha256:".to_owned();
        for byte in hmac::sign(&self.0, secret).as_ref() {
            write!(text, "{byte:02x}").expect("writing to a String does not fail");
        }
        text
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}

/// The result of redacting a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edited {
    Same,
    Now(Vec<u8>),
    /// It is removed.
    Gone,
}
