//! Who may publish, and who may administer.
//!
//! With a token: whoever shows it. Without: only this very machine, and only directly. A proxy makes every peer look
//! like loopback, and any web page can make a browser on this machine send requests; both betray themselves by headers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hyper::header::{AUTHORIZATION, FORWARDED, HOST, HeaderName, HeaderValue, ORIGIN, VIA};
use hyper::{HeaderMap, Request, Version};

use crate::auth::{Authenticator, secret_matches};
use crate::runtime::config::Secret;

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
    /// Whoever shows the token; without one, whoever is here.
    pub(super) fn new(token: Option<&Secret>) -> Self {
        token.map_or(Self::Loopback, |token| Self::Token(token.reveal().to_owned()))
    }

    /// Why the request may not, if it may not.
    pub(super) fn refuse<B>(&self, request: &Request<B>, peer: SocketAddr, route: &Route) -> Option<&'static str> {
        let headers = request.headers();
        match self {
            Self::Token(token) => {
                let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
                let shown = shown.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                let holds = shown.is_some_and(|(_, shown)| secret_matches(shown.trim(), token));
                (!holds).then_some(route.token)
            }
            Self::Loopback => (!is_direct_loopback(request, peer, route.local_pages)).then_some(route.loopback),
        }
    }
}

/// What is particular to a route.
#[derive(Debug)]
pub(super) struct Route {
    token: &'static str,
    loopback: &'static str,
    /// Whether pages that come from another port of this machine may use the route, as those under development do.
    local_pages: bool,
}

/// For `POST /events`.
pub(super) static PUBLISH: Route = Route {
    token: "this route needs its token: send `Authorization: Bearer TOKEN` (subcast publish: --token, or SUBCAST_PUBLISH_TOKEN)",
    loopback: "without a configured token this route answers only direct requests from the same machine: set [publish] token_env",
    local_pages: true,
};

/// For `/admin`.
pub(super) static ADMIN: Route = Route {
    token: "this route needs its token: send `Authorization: Bearer TOKEN` (subcast deploy: --token, or SUBCAST_ADMIN_TOKEN)",
    loopback: "without a configured token this route answers only direct requests from the same machine: set [admin] token_env",
    local_pages: false,
};

/// Whether the request comes from a program on this machine, and neither through a proxy nor from a foreign web page.
fn is_direct_loopback<B>(request: &Request<B>, peer: SocketAddr, local_pages: bool) -> bool {
    let headers = request.headers();
    // Proxies speak 1.0 to what is behind them; what speaks it directly can as well speak 1.1.
    let direct = request.version() > Version::HTTP_10 && !is_relayed(headers);
    let named = request.uri().authority().is_none_or(|authority| is_loopback_host(authority.as_str()));
    let host = sole(headers, &HOST).is_ok_and(|host| host.is_some_and(is_loopback_host));
    let page = |origin: &str| {
        let own = sole(headers, &HOST).is_ok_and(|host| host.is_some_and(|host| is_origin_of(origin, host)));
        own || local_pages && is_loopback_origin(origin)
    };
    let origin = sole(headers, &ORIGIN).is_ok_and(|origin| origin.is_none_or(page));
    peer.ip().to_canonical().is_loopback() && direct && named && host && origin
}

/// Headers of proxies that say so in their own way.
const RELAYED: [&str; 6] = [
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "cf-connecting-ip",
    "true-client-ip",
];

/// Whether a proxy says that it passed the request on. A web page cannot say so on a WebSocket.
fn is_relayed(headers: &HeaderMap) -> bool {
    let by_name = |name: &HeaderName| name.as_str().starts_with("x-forwarded") || RELAYED.contains(&name.as_str());
    headers.contains_key(FORWARDED) || headers.contains_key(VIA) || headers.keys().any(by_name)
}

/// The header's value, if it has one.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unclear),
        (Some(_), Some(_)) => Err(Unclear),
    }
}

/// A header comes several times, or is not text.
struct Unclear;

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    !host.contains('@')
        && (name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

fn is_origin_of(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
}

fn is_loopback_origin(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, host)| is_loopback_host(host))
}

/// What of a request's headers tells who sent it.
pub(super) fn shown(headers: &HeaderMap, authenticator: &Authenticator) -> Vec<(String, String)> {
    let read = headers.iter().filter(|(name, _)| authenticator.reads(name.as_str()));
    read.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect()
}

/// Whether a web page of this origin may open a WebSocket or send a query. Requests without `Origin` do not come from
/// web pages.
pub(super) fn origin_allowed(headers: &HeaderMap, peer: SocketAddr, allowed: Option<&[String]>) -> bool {
    let Ok(origin) = sole(headers, &ORIGIN) else { return false };
    let Some(origin) = origin else { return true };
    if let Some(list) = allowed {
        return list.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
    }
    let Ok(Some(host)) = sole(headers, &HOST) else { return false };
    if is_loopback_host(host) {
        // Pages under development are served from other ports of the same machine.
        return is_loopback_origin(origin);
    }
    // A foreign name that leads a browser on this machine to this machine was rebound, unless a proxy stands between.
    let rebound = peer.ip().to_canonical().is_loopback() && !is_relayed(headers);
    !rebound && is_origin_of(origin, host)
}

/// The same for a request that came another way. Without a known peer it is taken for one from this machine: those are
/// looked at more closely.
#[must_use]
pub fn allows_origin(headers: &[(String, String)], peer: Option<IpAddr>, allowed: Option<&[String]>) -> bool {
    let pairs = headers.iter().map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?)));
    let Some(headers) = pairs.collect::<Option<Vec<(HeaderName, HeaderValue)>>>() else { return false };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value);
    }
    origin_allowed(&map, SocketAddr::new(peer.unwrap_or(Ipv4Addr::LOCALHOST.into()), 0), allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    fn request(pairs: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in pairs {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn loopback(pairs: &[(&'static str, &str)], peer: &str) -> bool {
        Access::Loopback.refuse(&request(pairs), peer.parse().unwrap(), &PUBLISH).is_none()
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
    fn a_page_of_another_port_may_not_administer() {
        let peer = "127.0.0.1:5000".parse().unwrap();
        let may = |origin: &str| {
            let request = request(&[("host", "localhost:8000"), ("origin", origin)]);
            Access::Loopback.refuse(&request, peer, &ADMIN).is_none()
        };
        assert!(may("http://localhost:8000"));
        assert!(!may("http://localhost:3000"));
    }

    #[test]
    fn whatever_is_relayed_or_foreign_may_not() {
        assert!(!loopback(&[("host", "localhost")], "10.0.0.1:5000"));
        assert!(!loopback(&[("host", "app.example.com")], "127.0.0.1:5000"));
        assert!(!loopback(&[], "127.0.0.1:5000"));
        for relay in ["forwarded", "x-forwarded-for", "x-forwarded", "via", "x-real-ip", "cf-connecting-ip", "host"] {
            assert!(!loopback(&[("host", "localhost"), (relay, "x")], "127.0.0.1:5000"), "{relay}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://localhost:80@evil.example",
        ] {
            assert!(!loopback(&[("host", "localhost"), ("origin", origin)], "127.0.0.1:5000"), "{origin}");
        }
    }

    #[test]
    fn what_a_proxy_sends_may_not_either() {
        let peer = "127.0.0.1:5000".parse().unwrap();
        let mut old = request(&[("host", "localhost")]);
        *old.version_mut() = Version::HTTP_10;
        assert!(Access::Loopback.refuse(&old, peer, &PUBLISH).is_some());
        let mut absolute = request(&[("host", "localhost")]);
        *absolute.uri_mut() = "http://evil.example/events".parse().unwrap();
        assert!(Access::Loopback.refuse(&absolute, peer, &PUBLISH).is_some());
    }

    #[test]
    fn a_configured_token_is_required_even_from_this_machine() {
        let access = Access::Token("secret".to_owned());
        let peer = "127.0.0.1:5000".parse().unwrap();
        assert!(access.refuse(&request(&[("host", "localhost")]), peer, &ADMIN).is_some());
        assert!(access.refuse(&request(&[("authorization", "Bearer wrong")]), peer, &ADMIN).is_some());
        assert!(access.refuse(&request(&[("authorization", "Bearer secret")]), peer, &ADMIN).is_none());
    }

    #[test]
    fn a_page_of_another_host_may_not_connect_unless_listed() {
        let peer = "192.0.2.1:5000".parse().unwrap();
        let from = |origin: &str| headers(&[("host", "api.example.com"), ("origin", origin)]);
        let listed = ["https://app.example.com".to_owned()];
        assert!(origin_allowed(&from("https://api.example.com"), peer, None));
        assert!(!origin_allowed(&from("https://evil.example"), peer, None));
        assert!(origin_allowed(&from("https://app.example.com"), peer, Some(&listed)));
        assert!(!origin_allowed(&from("https://evil.example"), peer, Some(&listed)));
        assert!(origin_allowed(&headers(&[("host", "api.example.com")]), peer, None));
    }

    #[test]
    fn a_name_that_was_rebound_to_this_machine_opens_nothing() {
        let peer = "127.0.0.1:5000".parse().unwrap();
        let page = [("host", "evil.example:8000"), ("origin", "http://evil.example:8000")];
        assert!(!origin_allowed(&headers(&page), peer, None));
        let proxied = [page[0], page[1], ("x-forwarded-for", "192.0.2.1")];
        assert!(origin_allowed(&headers(&proxied), peer, None));
        let local = [("host", "localhost:8000"), ("origin", "http://localhost:5173")];
        assert!(origin_allowed(&headers(&local), peer, None));
    }
}
