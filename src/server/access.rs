//! Credential check of the publish and admin routes.
//!
//! Both want a credential from everybody: neither address nor headers show that a request comes from this machine, since
//! that of a plain proxy looks the same. The credential is the configured token, or one that the host has drawn
//! ([`super::credential`]). Refusals are answered 401 and told in the log, a few per second.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};

use super::credential::{CredentialError, Folders, Left};
use super::pages::sole;
use super::response::{Reply, refusal};
use crate::auth::{Authenticator, secret_matches};
use crate::runtime::config::{Config, Publish, Secret};
use crate::throttle::Throttle;

/// Refusals per second that the log tells.
const TOLD_PER_SECOND: u32 = 5;

/// A group of routes that share a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Routes {
    /// `POST /events`
    Publish,
    /// `/admin/…`
    Admin,
}

/// Who may use a group of routes.
pub(super) struct Access {
    routes: Routes,
    rule: Rule,
    told: Throttle,
}

enum Rule {
    /// Everybody: `[publish] anonymous = true`.
    Anonymous,
    /// Whoever shows the token that `token_env` names.
    Configured(String),
    /// Whoever shows the token that was drawn at start; with the URL by which commands on this machine find it, if they do.
    Drawn { token: String, url: Option<String> },
}

impl std::fmt::Debug for Access {
    /// Says nothing of the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rule = match self.rule {
            Rule::Anonymous => "Anonymous",
            Rule::Configured(_) => "Configured",
            Rule::Drawn { .. } => "Drawn",
        };
        f.debug_struct("Access").field("routes", &self.routes).field("rule", &rule).finish_non_exhaustive()
    }
}

impl Access {
    /// Routes that are open to everybody.
    pub(super) fn anonymous(routes: Routes) -> Self {
        Self::new(routes, Rule::Anonymous)
    }

    /// Routes that want a configured token.
    pub(super) fn configured(routes: Routes, token: &Secret) -> Self {
        Self::new(routes, Rule::Configured(token.reveal().to_owned()))
    }

    /// Routes that want the token which a host that listens on `address` has drawn.
    pub(super) fn drawn(routes: Routes, token: &str, address: SocketAddr) -> Self {
        Self::new(routes, Rule::Drawn { token: token.to_owned(), url: local_url(address) })
    }

    fn new(routes: Routes, rule: Rule) -> Self {
        Self { routes, rule, told: Throttle::new(TOLD_PER_SECOND) }
    }

    /// Whether a request with these headers shows the credential.
    pub(super) fn is_shown(&self, headers: &HeaderMap) -> bool {
        self.check(headers).is_ok()
    }

    /// The refusal of a request that does not show the credential.
    pub(super) fn refuse(&self, headers: &HeaderMap, peer: SocketAddr) -> Option<Reply> {
        let denied = self.check(headers).err()?;
        if self.told.may_write() {
            tracing::warn!(%peer, routes = self.routes.name(), reason = denied.message(), "refused a request");
        }
        let message = format!("{}: {}", denied.message(), self.advice());
        let mut reply = refusal(StatusCode::UNAUTHORIZED, &message);
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(denied.challenge()));
        Some(reply)
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let (Rule::Configured(token) | Rule::Drawn { token, .. }) = &self.rule else { return Ok(()) };
        let shown = sole(headers, &AUTHORIZATION).map_err(|_| Denied::Wrong)?.ok_or(Denied::Missing)?;
        let shown = shown.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let holds = shown.is_some_and(|(_, shown)| secret_matches(shown.trim(), token));
        if holds { Ok(()) } else { Err(Denied::Wrong) }
    }

    /// Where the credential is, and how to show it.
    fn advice(&self) -> String {
        let (command, section, variable) = match self.routes {
            Routes::Publish => ("publish", "publish", "SUBCAST_PUBLISH_TOKEN"),
            Routes::Admin => ("deploy", "admin", "SUBCAST_ADMIN_TOKEN"),
        };
        match &self.rule {
            Rule::Drawn { url: None, .. } => format!(
                "it is in the file that the host names when it starts; send it as `Authorization: Bearer TOKEN`, or configure a \
                 token with [{section}] token_env"
            ),
            Rule::Drawn { url: Some(url), .. } => format!(
                "as the user of the host and on its machine, `subcast {command}` finds the host's credential by itself, and \
                 `subcast token {url}` prints it for other programs, which send `Authorization: Bearer TOKEN`; \
                 [{section}] token_env configures a token"
            ),
            Rule::Configured(_) | Rule::Anonymous => format!(
                "send the token that [{section}] token_env names as `Authorization: Bearer TOKEN` (subcast {command}: --token, \
                 or {variable})"
            ),
        }
    }
}

impl Routes {
    const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Admin => "admin",
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Denied {
    Missing,
    Wrong,
}

impl Denied {
    const fn message(self) -> &'static str {
        match self {
            Self::Missing => "this route needs a credential",
            Self::Wrong => "the credential is wrong",
        }
    }

    /// `WWW-Authenticate` (RFC 6750 §3).
    const fn challenge(self) -> &'static str {
        match self {
            Self::Missing => "Bearer realm=\"subcast\"",
            Self::Wrong => "Bearer realm=\"subcast\", error=\"invalid_token\"",
        }
    }
}

/// The URL by which programs of the same machine reach a host that listens on this address, if it can be reached at loopback.
#[must_use]
pub fn local_url(address: SocketAddr) -> Option<String> {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    ip.is_loopback().then(|| format!("http://{}", SocketAddr::new(ip, address.port())))
}

/// Access to the publish and to the admin routes of a host that listens on `address`, and the credential that was drawn if
/// either has no configured token.
pub(super) fn of_routes(
    config: &Config,
    address: SocketAddr,
) -> Result<(Access, Access, Option<Left>), CredentialError> {
    let mut drawn: Option<Left> = None;
    let mut access = |routes, token: Option<&Secret>| {
        if let Some(token) = token {
            return Ok(Access::configured(routes, token));
        }
        let left = match drawn.take() {
            Some(left) => left,
            None => Left::new(&Folders::new(config.server.runtime_dir.as_deref()), address)?,
        };
        let access = Access::drawn(routes, left.token(), address);
        drawn = Some(left);
        Ok(access)
    };
    let admin = access(Routes::Admin, config.admin.token.as_ref())?;
    let publish = match &config.publish {
        Publish { anonymous: true, .. } => Access::anonymous(Routes::Publish),
        Publish { token, .. } => access(Routes::Publish, token.as_ref())?,
    };
    if let Some(left) = &drawn {
        tracing::info!(file = %left.path().display(), "drew a credential for routes without a configured token");
    }
    Ok((publish, admin, drawn))
}

/// What of a request's headers tells who sent it.
pub(super) fn shown(headers: &HeaderMap, authenticator: &Authenticator) -> Vec<(String, String)> {
    let read = headers.iter().filter(|(name, _)| authenticator.reads(name.as_str()));
    read.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    fn drawn() -> Access {
        Access::drawn(Routes::Admin, "0123456789abcdef", "0.0.0.0:8000".parse().unwrap())
    }

    #[test]
    fn only_the_whole_credential_opens() {
        let access = drawn();
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "BEARER  0123456789abcdef"] {
            assert_eq!(access.check(&headers(&[right])), Ok(()), "{right}");
        }
        assert_eq!(access.check(&headers(&[])), Err(Denied::Missing));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789ABCDEF",
            "Bearer 0123456789abcdef, Bearer x",
        ] {
            assert_eq!(access.check(&headers(&[wrong])), Err(Denied::Wrong), "{wrong:?}");
        }
        let doubled = ["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"];
        assert_eq!(access.check(&headers(&doubled)), Err(Denied::Wrong));
    }

    #[test]
    fn a_refusal_says_where_the_credential_is_and_not_what_it_is() {
        let peer = "192.0.2.1:5000".parse().unwrap();
        let refused = drawn().refuse(&headers(&[]), peer).unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers()[WWW_AUTHENTICATE], "Bearer realm=\"subcast\"");
        assert!(drawn().advice().contains("`subcast token http://127.0.0.1:8000`"));
        let refused = drawn().refuse(&headers(&["Bearer x"]), peer).unwrap();
        assert_eq!(refused.headers()[WWW_AUTHENTICATE], "Bearer realm=\"subcast\", error=\"invalid_token\"");
        assert!(
            !drawn().advice().contains("0123456789abcdef") && !format!("{:?}", drawn()).contains("0123456789abcdef")
        );
    }

    #[test]
    fn anonymous_routes_ask_for_nothing() {
        let access = Access::anonymous(Routes::Publish);
        assert!(access.is_shown(&headers(&[])) && access.is_shown(&headers(&["Bearer x"])));
    }

    #[test]
    fn a_host_on_all_addresses_is_reached_at_loopback() {
        for (listening, url) in [
            ("127.0.0.1:1", Some("http://127.0.0.1:1")),
            ("0.0.0.0:1", Some("http://127.0.0.1:1")),
            ("[::]:1", Some("http://[::1]:1")),
            ("192.0.2.1:1", None),
        ] {
            assert_eq!(local_url(listening.parse().unwrap()).as_deref(), url);
        }
    }
}
