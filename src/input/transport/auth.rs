//! Bearer tokens (RFC 6750), one of which a request must have.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use logphase_io::file::{self, Accept};

use super::settings::{Tls, readable};
use super::watched::Watched;
use crate::confinement::Files;
use crate::input::Context;
use crate::options::record::{TEXT, list, settings_record};
use crate::options::secret::Secret;
use logphase_net::ConfigError;
use logphase_net::tls::server::ClientAuth;

/// The shortest token, in bytes.
const MIN_TOKEN_BYTES: usize = 16;

/// Bytes of a file of tokens, at most.
const MAX_FILE_BYTES: u64 = 1 << 20;

const CREATE: &str = "create one with: openssl rand -hex 32";

settings_record! {
    /// Who may send requests.
    #[derive(Default)]
    pub struct Auth {
        /// Bearer tokens of at least 16 bytes. Requests must have one of them, or, with `tls.client_auth: optional`, a
        /// client certificate; by default they need none.
        tokens: Vec<Secret> = list(&TEXT);
        /// File with more such tokens, one per line; it is read again when it changes.
        token_file: Option<PathBuf> = TEXT;
    }
}

/// A request of a sender that has not shown who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::input) enum Unauthorized {
    /// It has no token.
    Missing,
    /// It has another token.
    Wrong,
}

impl Auth {
    /// Whether requests need a token.
    pub(in crate::input) fn is_on(&self) -> bool {
        !self.tokens.is_empty() || self.token_file.is_some()
    }

    /// The files that are read while the service runs.
    pub(in crate::input) fn files(&self) -> Files {
        readable(&self.token_file)
    }

    /// Reads the tokens, with those of the file.
    pub(super) fn read(&self) -> Result<Arc<Tokens>, ConfigError> {
        let mut digests = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let place = format!("tokens[{at}]");
            digests.push(checked(token.text()).map_err(|problem| ConfigError::new(place, problem).with_help(CREATE))?);
        }
        if let Some(path) = &self.token_file {
            let error = |problem: String| ConfigError::new("token_file", problem);
            let text = file::read_to_string(path, Accept::Regular, MAX_FILE_BYTES)
                .map_err(|problem| error(format!("cannot read {}: {problem}", path.display())))?;
            let before = digests.len();
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let place =
                    |problem| error(format!("line {} of {}: {problem}", number + 1, path.display())).with_help(CREATE);
                digests.push(checked(line.trim()).map_err(place)?);
            }
            if digests.len() == before {
                return Err(error(format!("the file {} has no token", path.display())).with_help(CREATE));
            }
        }
        Ok(Arc::new(Tokens { digests }))
    }
}

/// The digest of a token that can be sent. The error does not show the token.
fn checked(token: &str) -> Result<Digest, String> {
    if token.len() < MIN_TOKEN_BYTES {
        return Err(format!("the token has {} bytes; it must have at least {MIN_TOKEN_BYTES}", token.len()));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has characters that no token has (RFC 6750): use letters, digits and -._~+/=".to_owned());
    }
    Ok(digest_of(token.as_bytes()))
}

/// SHA-256.
type Digest = [u8; 32];

fn digest_of(token: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token).as_ref());
    bytes
}

/// The tokens that are accepted. Only their digests are kept.
#[derive(PartialEq, Eq)]
pub(super) struct Tokens {
    digests: Vec<Digest>,
}

impl Tokens {
    /// Compares with every token, in a time that depends on none of them.
    fn contain(&self, token: &[u8]) -> bool {
        let given = digest_of(token);
        self.digests.iter().fold(false, |found, digest| verify_slices_are_equal(digest, &given).is_ok() | found)
    }
}

/// Decides which requests are taken. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::input) struct Access {
    tokens: Option<Arc<Watched<Tokens>>>,
    /// Whether the certificate of a client stands for a token.
    certificate_suffices: bool,
}

impl Access {
    /// For the input `input` with these settings.
    ///
    /// # Errors
    /// The tokens cannot be used.
    pub(in crate::input) fn new(input: &str, auth: &Auth, tls: &Tls) -> Result<Self, ConfigError> {
        if !auth.is_on() {
            return Ok(Self::default());
        }
        let files = auth.token_file.iter().cloned().collect();
        let load = {
            let auth = auth.clone();
            move || auth.read()
        };
        let tokens = Watched::open(format!("inputs.{input}.auth"), files, load)?;
        let certificate_suffices = tls.client_ca.is_some() && tls.client_auth == ClientAuth::Optional;
        Ok(Self { tokens: Some(Arc::new(tokens)), certificate_suffices })
    }

    /// Whether a request with `headers` is taken. `is_verified` is whether its connection has a client certificate.
    pub(in crate::input) fn check(&self, headers: &HeaderMap, is_verified: bool) -> Result<(), Unauthorized> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        if self.certificate_suffices && is_verified {
            return Ok(());
        }
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(if headers.contains_key(AUTHORIZATION) { Unauthorized::Wrong } else { Unauthorized::Missing });
        };
        let token = bearer(value.as_bytes()).ok_or(Unauthorized::Wrong)?;
        if tokens.get().contain(token) { Ok(()) } else { Err(Unauthorized::Wrong) }
    }

    /// Reads the tokens again when their file changes, until the inputs stop.
    pub(super) async fn watch(&self, context: &Context) {
        if let Some(tokens) = &self.tokens {
            tokens.watch(context.stopped()).await;
        }
    }
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use serde_json::json;

    use super::*;

    const ONE: &str = "0123456789abcdef";
    const TWO: &str = "fedcba9876543210-._~+/=";

    fn auth(tokens: &[&str], token_file: Option<&std::path::Path>) -> Auth {
        serde_json::from_value(json!({"tokens": tokens, "token_file": token_file})).unwrap()
    }

    fn tls(client_auth: &str) -> Tls {
        let value =
            json!({"client_ca": "ca.pem", "client_auth": client_auth, "client_names": [], "min_version": "TLSv1.2"});
        serde_json::from_value(value).unwrap()
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    /// Scenario: two tokens; requests with each, with the scheme in other cases, with others, with none, with two headers;
    /// with a certificate where it is optional and where it is required.
    /// Guarantees: exactly the requests with one of the tokens are taken, and those with a certificate where it stands for a
    /// token.
    #[test]
    fn which_requests_are_taken() {
        let required = Access::new("http", &auth(&[ONE, TWO], None), &tls("required")).unwrap();
        for token in [ONE, TWO] {
            for scheme in ["Bearer", "bearer", "BEARER"] {
                assert_eq!(required.check(&headers(&[&format!("{scheme} {token}")]), false), Ok(()));
            }
        }
        let prefix = format!("Bearer {}", &ONE[..15]);
        let longer = format!("Bearer {ONE}0");
        let good = format!("Bearer {ONE}");
        for values in [
            &["Bearer"][..],
            &["Bearer "],
            &["Basic MDEyMzQ1Njc4OWFiY2RlZg=="],
            &[ONE],
            &[&prefix],
            &[&longer],
            &[&good, &good],
        ] {
            assert_eq!(required.check(&headers(values), false), Err(Unauthorized::Wrong), "{values:?}");
        }
        assert_eq!(required.check(&headers(&[]), false), Err(Unauthorized::Missing));
        assert_eq!(required.check(&headers(&[]), true), Err(Unauthorized::Missing));
        let optional = Access::new("http", &auth(&[ONE], None), &tls("optional")).unwrap();
        assert_eq!(optional.check(&headers(&[]), true), Ok(()));
        assert_eq!(optional.check(&headers(&[]), false), Err(Unauthorized::Missing));
        assert_eq!(Access::default().check(&headers(&[]), false), Ok(()));
    }

    /// Scenario: tokens that are too short or cannot be sent, in the settings and in a file, a file without one, no file.
    /// Guarantees: each is refused with its place and without the token; a good file counts in addition to the settings.
    #[test]
    fn tokens_that_cannot_be_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        let error = |auth: &Auth| auth.read().err().unwrap().to_string().replace(path.to_str().unwrap(), "FILE");
        let short =
            "tokens[1]: the token has 15 bytes; it must have at least 16; create one with: openssl rand -hex 32";
        assert_eq!(error(&auth(&[ONE, &ONE[..15]], None)), short);
        assert!(error(&auth(&["0123456789 abcdef"], None)).starts_with("tokens[0]: the token has characters"));
        assert!(
            error(&auth(&[], Some("/nowhere/tokens".as_ref())))
                .starts_with("token_file: cannot read /nowhere/tokens: ")
        );
        std::fs::write(path, "\n \n").unwrap();
        assert!(error(&auth(&[ONE], Some(path))).starts_with("token_file: the file FILE has no token; "));
        std::fs::write(path, format!("{TWO}\nsecret\n")).unwrap();
        let text = error(&auth(&[], Some(path)));
        assert!(text.starts_with("token_file: line 2 of FILE: the token has 6 bytes"), "{text}");
        std::fs::write(path, format!("\n{TWO}\r\n")).unwrap();
        assert_eq!(auth(&[ONE], Some(path)).read().unwrap().digests.len(), 2);
        assert!(!format!("{:?}", auth(&[ONE], None)).contains(ONE));
    }
}
