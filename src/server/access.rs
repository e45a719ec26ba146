//! Who may publish.
//!
//! With a token: whoever shows it. Without: only this very machine, and only directly. A proxy makes every peer look
//! like loopback, and any web page can make a browser on this machine send requests; both betray themselves by headers.

use std::net::SocketAddr;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN};

use crate::auth::secret_matches;

/// Who may use a route.
#[derive(Clone)]
pub(super) enum Access {
    /// Whoever shows this token as `Authorization: Bearer TOKEN`.
    Token(String),
    /// Requests that come directly from this machine.
    Loopback,
}

impl std::fmt::Debug for Access {
    /// Says nothing of the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::Loopback => "Loopback",
        })
    }
}

impl Access {
    /// Why the request may not, if it may not.
    pub(super) fn refuse(&self, headers: &HeaderMap, peer: SocketAddr) -> Option<&'static str> {
        match self {
            Self::Token(token) => {
                let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
                let shown = shown.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                let holds = shown.is_some_and(|(_, shown)| secret_matches(shown.trim(), token));
                (!holds).then_some("this route needs its token: send `Authorization: Bearer TOKEN` (subcast publish: --token, or SUBCAST_PUBLISH_TOKEN)")
            }
            Self::Loopback => (!is_direct_loopback(headers, peer)).then_some(
                "without a configured token this route answers only direct requests from the same machine: set [publish] token_env",
            ),
        }
    }
}

fn is_direct_loopback(headers: &HeaderMap, peer: SocketAddr) -> bool {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let relayed =
        headers.contains_key(FORWARDED) || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"));
    let foreign = headers.get(ORIGIN).is_some_and(|origin| !origin.to_str().is_ok_and(is_loopback_origin));
    peer.ip().to_canonical().is_loopback() && is_loopback_host(host) && !relayed && !foreign
}

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_loopback_origin(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, host)| is_loopback_host(host))
}

/// Whether a web page of this origin may open a WebSocket or send a query. Requests without `Origin` do not come from
/// web pages.
pub(super) fn origin_allowed(headers: &HeaderMap, allowed: Option<&[String]>) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if let Some(list) = allowed {
        return list.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
    }
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let same_host = origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host));
    // Pages under development are served from other ports of the same machine.
    same_host || (is_loopback_origin(origin) && is_loopback_host(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<hyper::header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn loopback(pairs: &[(&'static str, &str)], peer: &str) -> bool {
        Access::Loopback.refuse(&headers(pairs), peer.parse().unwrap()).is_none()
    }

    #[test]
    fn direct_requests_from_this_machine_may_publish() {
        for host in ["127.0.0.1:8000", "localhost", "[::1]:8000"] {
            assert!(loopback(&[("host", host)], "127.0.0.1:5000"), "{host}");
        }
        assert!(loopback(&[("host", "localhost")], "[::1]:5000"));
        assert!(loopback(&[("host", "localhost"), ("origin", "http://localhost:3000")], "127.0.0.1:5000"));
    }

    #[test]
    fn whatever_is_relayed_or_foreign_may_not() {
        assert!(!loopback(&[("host", "localhost")], "10.0.0.1:5000"));
        assert!(!loopback(&[("host", "app.example.com")], "127.0.0.1:5000"));
        assert!(!loopback(&[], "127.0.0.1:5000"));
        for relay in ["forwarded", "x-forwarded-for", "x-forwarded-host"] {
            assert!(!loopback(&[("host", "localhost"), (relay, "x")], "127.0.0.1:5000"), "{relay}");
        }
        for origin in ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.evil.example"]
        {
            assert!(!loopback(&[("host", "localhost"), ("origin", origin)], "127.0.0.1:5000"), "{origin}");
        }
    }

    #[test]
    fn a_configured_token_is_required_even_from_this_machine() {
        let access = Access::Token("secret".to_owned());
        let peer = "127.0.0.1:5000".parse().unwrap();
        assert!(access.refuse(&headers(&[("host", "localhost")]), peer).is_some());
        assert!(access.refuse(&headers(&[("authorization", "Bearer wrong")]), peer).is_some());
        assert!(access.refuse(&headers(&[("authorization", "Bearer secret")]), peer).is_none());
    }

    #[test]
    fn a_page_of_another_host_may_not_connect_unless_listed() {
        let from = |origin: &str| headers(&[("host", "api.example.com"), ("origin", origin)]);
        assert!(origin_allowed(&from("https://api.example.com"), None));
        assert!(!origin_allowed(&from("https://evil.example"), None));
        assert!(origin_allowed(&from("https://app.example.com"), Some(&["https://app.example.com".to_owned()])));
        assert!(!origin_allowed(&from("https://evil.example"), Some(&["https://app.example.com".to_owned()])));
        assert!(origin_allowed(&headers(&[("host", "api.example.com")]), None));
    }
}
