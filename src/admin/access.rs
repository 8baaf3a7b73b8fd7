//! Who may use the Admin API, and what an answer shows to whom.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::error::{ApiError, ApiResult};
use crate::api::Client;

/// The header with the token in Kong Gateway Enterprise, which decK and Kong Manager can send.
const KONG_TOKEN: &str = "kong-admin-token";

/// What requests need. Without tokens and certificates, everyone who can connect may do everything.
#[derive(Clone, Default)]
pub(crate) struct Access {
    token: Option<String>,
    read_only_token: Option<String>,
    certificates: Certificates,
}

/// Which clients have a certificate. One that is there is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Certificates {
    /// Clients are not asked for any.
    #[default]
    None,
    /// A client may have one, which stands for the token.
    Optional,
    /// Every client has one, and needs the token besides, if there is one.
    Required,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    role: Role,
    client: Client,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Neither a token nor a certificate is needed.
    Anyone,
    /// The token gives all rights.
    Full,
    /// So does the certificate.
    Certified,
    ReadOnly,
}

impl Access {
    /// Requests need one of the tokens that are given, or a certificate.
    pub(crate) fn new(token: Option<String>, read_only_token: Option<String>, certificates: Certificates) -> Self {
        Self { token, read_only_token, certificates }
    }

    /// Who `client` is, which sends a request with `headers`.
    ///
    /// # Errors
    /// It has neither a token nor a certificate that it needs, or a wrong token.
    pub(crate) fn caller(&self, headers: &HeaderMap, client: Client) -> ApiResult<Caller> {
        self.caller_with(given(headers), client)
    }

    /// Who `client` is, which has given this token, if any.
    ///
    /// # Errors
    /// As [`Self::caller`].
    pub(crate) fn caller_with(&self, given: Option<&[u8]>, client: Client) -> ApiResult<Caller> {
        let is = |token: &Option<String>| match (token, given) {
            (Some(token), Some(given)) => verify_slices_are_equal(token.as_bytes(), given).is_ok(),
            _ => false,
        };
        let refused = |message| Err(ApiError::plain(StatusCode::UNAUTHORIZED, message));
        let has_tokens = self.token.is_some() || self.read_only_token.is_some();
        let role = if is(&self.token) {
            Role::Full
        } else if is(&self.read_only_token) {
            Role::ReadOnly
        } else if given.is_some() && has_tokens {
            return refused("Invalid token");
        } else if client.subject.is_some() && (self.token.is_none() || self.certificates == Certificates::Optional) {
            Role::Certified
        } else if self.token.is_none() && self.certificates == Certificates::None {
            // The read-only token alone takes nothing from others.
            Role::Anyone
        } else {
            return refused(match (&self.token, self.certificates) {
                (None, _) => "No certificate: the client needs one to use the Admin API",
                (_, Certificates::Optional) => {
                    "No token and no certificate: send the token as `Authorization: Bearer TOKEN` or `Kong-Admin-Token: TOKEN`"
                }
                _ => "No token: send it as `Authorization: Bearer TOKEN` or `Kong-Admin-Token: TOKEN`",
            });
        };
        Ok(Caller { role, client })
    }
}

impl Caller {
    /// Whether the request may change nothing.
    pub(crate) fn is_read_only(&self) -> bool {
        self.role == Role::ReadOnly
    }

    /// What it may do: `anyone` is who needs neither a token nor a certificate.
    pub(crate) fn role(&self) -> &'static str {
        match self.role {
            Role::Anyone => "anyone",
            Role::Full | Role::Certified => "full",
            Role::ReadOnly => "read-only",
        }
    }

    /// Whether the answer shows secrets: only to those who have the token or a certificate.
    pub(crate) fn sees_secrets(&self) -> bool {
        matches!(self.role, Role::Full | Role::Certified)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.client.address {
            write!(f, "{address} ")?;
        }
        if let Some(subject) = &self.client.subject {
            write!(f, "({subject}) ")?;
        }
        f.write_str(match self.role {
            Role::Anyone => "without a token",
            Role::Full => "with the token",
            Role::Certified => "with its certificate",
            Role::ReadOnly => "with the read-only token",
        })
    }
}

/// The token of a request.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(token) = headers.get(KONG_TOKEN) {
        return Some(token.as_bytes());
    }
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Header = Option<(&'static str, &'static str)>;

    fn role_of(access: &Access, subject: Option<&str>, header: Header) -> Result<Role, u16> {
        let headers = header.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let client = Client { subject: subject.map(str::to_owned), address: None };
        access.caller(&headers, client).map(|caller| caller.role).map_err(|error| error.status.as_u16())
    }

    fn role(access: &Access, header: Header) -> Result<Role, u16> {
        role_of(access, None, header)
    }

    /// Scenario: both tokens, in both headers; a wrong one, none, and a service without tokens. Guarantees: each token gives its rights,
    /// everything else is refused if there is a token.
    #[test]
    fn tokens() {
        let both = Access::new(Some("all".into()), Some("read".into()), Certificates::None);
        assert_eq!(role(&both, Some(("kong-admin-token", "all"))), Ok(Role::Full));
        assert_eq!(role(&both, Some(("kong-admin-token", "read"))), Ok(Role::ReadOnly));
        assert_eq!(role(&both, Some(("authorization", "bearer read"))), Ok(Role::ReadOnly));
        assert_eq!(role(&both, Some(("authorization", "Bearer all"))), Ok(Role::Full));
        assert_eq!(role(&both, Some(("authorization", "Basic all"))), Err(401));
        assert_eq!(role(&both, Some(("kong-admin-token", "al"))), Err(401));
        assert_eq!(role(&both, None), Err(401));
        assert_eq!(role(&Access::default(), None), Ok(Role::Anyone));
        let reading = Access::new(None, Some("read".into()), Certificates::None);
        assert_eq!(role(&reading, Some(("kong-admin-token", "read"))), Ok(Role::ReadOnly));
        assert_eq!(role(&reading, Some(("kong-admin-token", "other"))), Err(401));
        assert_eq!(role(&reading, None), Ok(Role::Anyone));
    }

    /// Scenario: certificates that are required and that are optional, with a token and without one; clients with a certificate, with a token,
    /// with both, with neither. Guarantees: a certificate gives all rights, unless a token is needed besides; the read-only token is read-only
    /// with a certificate too; whoever has neither is refused.
    #[test]
    fn certificates() {
        let (edge, full) = (Some("CN=edge"), Some(("kong-admin-token", "all")));
        let (read, wrong) = (Some(("kong-admin-token", "read")), Some(("kong-admin-token", "other")));
        let with = |token: Option<&str>, certificates| {
            Access::new(token.map(str::to_owned), Some("read".to_owned()), certificates)
        };
        let alone = with(None, Certificates::Required);
        assert_eq!(role_of(&alone, edge, None), Ok(Role::Certified));
        assert_eq!(role_of(&alone, edge, read), Ok(Role::ReadOnly));
        assert_eq!(role_of(&alone, edge, wrong), Err(401));
        let both = with(Some("all"), Certificates::Required);
        assert_eq!(role_of(&both, edge, None), Err(401));
        assert_eq!(role_of(&both, edge, full), Ok(Role::Full));
        let either = with(Some("all"), Certificates::Optional);
        assert_eq!(role_of(&either, edge, None), Ok(Role::Certified));
        assert_eq!(role_of(&either, None, full), Ok(Role::Full));
        assert_eq!(role_of(&either, None, read), Ok(Role::ReadOnly));
        assert_eq!(role_of(&either, None, None), Err(401));
        let certificate = with(None, Certificates::Optional);
        assert_eq!(role_of(&certificate, None, None), Err(401));
        assert_eq!(role_of(&certificate, None, read), Ok(Role::ReadOnly));
        let untold = Access::new(None, None, Certificates::Optional);
        assert_eq!(role_of(&untold, edge, wrong), Ok(Role::Certified));
        assert_eq!(role_of(&untold, None, wrong), Err(401));
    }
}
