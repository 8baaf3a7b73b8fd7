//! Who may use the Admin API, and what an answer shows to whom.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::error::{ApiError, ApiResult};

/// The header with the token in Kong Gateway Enterprise, which decK and Kong Manager can send.
const KONG_TOKEN: &str = "kong-admin-token";

/// The tokens that requests need. Without one, everyone who can connect may do everything.
#[derive(Clone, Default)]
pub(crate) struct Access {
    token: Option<String>,
    read_only_token: Option<String>,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    role: Role,
    peer: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// No token is needed.
    Anyone,
    Full,
    ReadOnly,
}

impl Access {
    /// Requests need one of the tokens that are given.
    pub(crate) fn new(token: Option<String>, read_only_token: Option<String>) -> Self {
        Self { token, read_only_token }
    }

    /// Who sends a request with `headers` from `peer`.
    ///
    /// # Errors
    /// It has no token, or a wrong one.
    pub(crate) fn caller(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> ApiResult<Caller> {
        let given = given(headers);
        let is = |token: &Option<String>| match (token, given) {
            (Some(token), Some(given)) => verify_slices_are_equal(token.as_bytes(), given).is_ok(),
            _ => false,
        };
        let role = if is(&self.token) {
            Role::Full
        } else if is(&self.read_only_token) {
            Role::ReadOnly
        } else if self.token.is_none() && self.read_only_token.is_none() {
            Role::Anyone
        } else if self.token.is_none() && given.is_none() {
            // The read-only token alone takes nothing from others.
            Role::Anyone
        } else {
            let message = match given {
                Some(_) => "Invalid token",
                None => "No token: send it as `Authorization: Bearer TOKEN` or `Kong-Admin-Token: TOKEN`",
            };
            return Err(ApiError::plain(StatusCode::UNAUTHORIZED, message));
        };
        Ok(Caller { role, peer })
    }
}

impl Caller {
    /// Whether the request may change nothing.
    pub(crate) fn is_read_only(&self) -> bool {
        self.role == Role::ReadOnly
    }

    /// Whether the answer shows secrets: only to those who have the token.
    pub(crate) fn sees_secrets(&self) -> bool {
        self.role == Role::Full
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Anyone => "without a token",
            Role::Full => "with the token",
            Role::ReadOnly => "with the read-only token",
        };
        match self.peer {
            Some(peer) => write!(f, "{peer} {role}"),
            None => f.write_str(role),
        }
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

    fn role(access: &Access, header: Option<(&'static str, &'static str)>) -> Result<Role, u16> {
        let headers = header.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        access.caller(&headers, None).map(|caller| caller.role).map_err(|error| error.status.as_u16())
    }

    /// Scenario: both tokens, in both headers; a wrong one, none, and a service without tokens. Guarantees: each token gives its rights,
    /// everything else is refused if there is a token.
    #[test]
    fn tokens() {
        let both = Access::new(Some("all".into()), Some("read".into()));
        assert_eq!(role(&both, Some(("kong-admin-token", "all"))), Ok(Role::Full));
        assert_eq!(role(&both, Some(("authorization", "bearer read"))), Ok(Role::ReadOnly));
        assert_eq!(role(&both, Some(("authorization", "Bearer all"))), Ok(Role::Full));
        assert_eq!(role(&both, Some(("authorization", "Basic all"))), Err(401));
        assert_eq!(role(&both, Some(("kong-admin-token", "al"))), Err(401));
        assert_eq!(role(&both, None), Err(401));
        assert_eq!(role(&Access::default(), None), Ok(Role::Anyone));
        let reading = Access::new(None, Some("read".into()));
        assert_eq!(role(&reading, Some(("kong-admin-token", "read"))), Ok(Role::ReadOnly));
        assert_eq!(role(&reading, Some(("kong-admin-token", "other"))), Err(401));
        assert_eq!(role(&reading, None), Ok(Role::Anyone));
    }
}
