//! Rules for web pages: a browser runs code of any site, and sends that site's requests from inside.
//!
//! | request | is answered if |
//! |---|---|
//! | with `Origin` | the origin is listed in `[server] allowed_origins`; without a list, if it is that of `Host` and no name that was rebound, or if both are loopback, whatever the ports |
//! | `GET` without `Origin` | `Host` is no name that was rebound, or is the host of a listed origin |
//! | any other without `Origin` | always: browsers name the origin of a page with everything but its own `GET`s |
//!
//! A name other than `localhost` may have been rebound if the connection comes from this machine: its owner's name server then
//! leads a browser here. It looks like a name that a proxy on this machine passes on: the operator tells them apart by
//! listing the origin. A `Host` or `Origin` that is doubled or does not parse is refused. Headers of proxies
//! (`X-Forwarded-For`, `Forwarded`, `Via`) change nothing, since a page may set them.

use std::net::{IpAddr, Ipv4Addr};

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, HeaderValue, ORIGIN};

use super::authority::{Authority, Origin};

/// What is wrong with the sender of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Foreign {
    /// A page of an origin that is not allowed.
    Origin,
    /// A host that is not this one.
    Host,
}

impl Foreign {
    /// A sentence for the client.
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Origin => "pages of this origin may not use the API: add it to [server] allowed_origins",
            Self::Host => {
                "the header Host does not name this machine: use localhost or an address, or add the origin to [server] allowed_origins"
            }
        }
    }
}

/// What a browser tells of the page behind a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// The origin, always: of a WebSocket and of everything that is not a `GET`.
    Origin,
    /// No origin, if it is the page's own: of a `GET`.
    Nothing,
}

/// Refuses what a page of a foreign origin sends. `peer` is the address of the connection's other end; `allowed` is
/// `[server] allowed_origins`.
pub(super) fn check(headers: &HeaderMap, peer: IpAddr, allowed: Option<&[String]>, told: Told) -> Result<(), Foreign> {
    let host = match sole(headers, &HOST).map_err(|Unclear| Foreign::Host)? {
        Some(text) => Some(Authority::parse(text).ok_or(Foreign::Host)?),
        None => None,
    };
    let origin = sole(headers, &ORIGIN).map_err(|Unclear| Foreign::Origin)?;
    let is_here = peer.to_canonical().is_loopback();
    match (origin, allowed) {
        (Some(origin), Some(list)) if is_listed(list, origin) => Ok(()),
        (Some(origin), None) if is_own(origin, host.as_ref(), is_here) => Ok(()),
        (Some(_), _) => Err(Foreign::Origin),
        (None, _) if told == Told::Origin || !is_here => Ok(()),
        (None, _) => match host {
            Some(host) if host.can_be_rebound() && !is_host_of_listed(allowed, &host) => Err(Foreign::Host),
            _ => Ok(()),
        },
    }
}

fn is_listed(list: &[String], origin: &str) -> bool {
    list.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
}

fn is_host_of_listed(allowed: Option<&[String]>, host: &Authority) -> bool {
    let is_of_host = |origin: &String| origin == "*" || Origin::parse(origin).is_some_and(|origin| origin.is_of(host));
    allowed.is_some_and(|list| list.iter().any(is_of_host))
}

fn is_own(origin: &str, host: Option<&Authority>, is_here: bool) -> bool {
    let (Some(origin), Some(host)) = (Origin::parse(origin), host) else { return false };
    if host.is_loopback() {
        // Pages under development are served from other ports of the same machine.
        return origin.authority.is_loopback();
    }
    !(is_here && host.can_be_rebound()) && origin.is_of(host)
}

/// The header's value, if it has one.
pub(super) fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unclear),
        (Some(_), Some(_)) => Err(Unclear),
    }
}

/// A header that comes several times, or is not text.
#[derive(Debug)]
pub(super) struct Unclear;

/// Whether a WebSocket may be opened that another server has received, by the same rules. Without a known peer it is taken
/// for one from this machine: those are looked at more closely.
#[must_use]
pub fn allows_origin(headers: &[(String, String)], peer: Option<IpAddr>, allowed: Option<&[String]>) -> bool {
    let pairs = headers.iter().map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?)));
    let Some(headers) = pairs.collect::<Option<Vec<(HeaderName, HeaderValue)>>>() else { return false };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value);
    }
    check(&map, peer.unwrap_or(Ipv4Addr::LOCALHOST.into()), allowed, Told::Origin).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1";
    const ELSEWHERE: &str = "192.0.2.1";

    fn judged(pairs: &[(&str, &str)], peer: &str, allowed: Option<&[&str]>, told: Told) -> Result<(), Foreign> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let allowed = allowed.map(|list| list.iter().map(|&origin| origin.to_owned()).collect::<Vec<_>>());
        check(&headers, peer.parse().unwrap(), allowed.as_deref(), told)
    }

    fn page(host: &str, origin: &str, peer: &str, allowed: Option<&[&str]>) -> bool {
        let judged = judged(&[("host", host), ("origin", origin)], peer, allowed, Told::Origin);
        // Naming an origin is never worth less than naming none.
        assert!(judged.is_ok() || judged == Err(Foreign::Origin), "{host} {origin}: {judged:?}");
        judged.is_ok()
    }

    #[test]
    fn a_page_of_another_host_may_not_connect_unless_listed() {
        let (api, app) = ("api.example.com", "https://app.example.com");
        assert!(page(api, "https://api.example.com", ELSEWHERE, None));
        assert!(!page(api, "https://evil.example", ELSEWHERE, None));
        assert!(!page(api, "https://api.example.com:8443", ELSEWHERE, None));
        assert!(page(api, app, ELSEWHERE, Some(&[app])) && page(api, app, HERE, Some(&[app])));
        assert!(!page(api, "https://evil.example", ELSEWHERE, Some(&[app])));
        assert!(!page(api, "null", ELSEWHERE, None) && page(api, "null", ELSEWHERE, Some(&["*"])));
        assert_eq!(judged(&[("host", api)], ELSEWHERE, Some(&[app]), Told::Origin), Ok(()));
        // Pages from outside of this machine are never pages under development on it.
        assert!(!page(api, "http://localhost:3000", ELSEWHERE, None));
    }

    #[test]
    fn a_name_that_leads_to_this_machine_is_rebound_unless_listed() {
        assert!(!page("evil.example:8000", "http://evil.example:8000", HERE, None));
        assert!(!page("evil.example:8000", "http://evil.example:8000", "::1", None));
        assert!(page("localhost:8000", "http://localhost:5173", HERE, None));
        assert!(!page("localhost:8000", "http://evil.example", HERE, None));
        assert!(!page("localhost:8000", "capacitor://localhost", HERE, None));
        // An address leads where it says.
        assert!(page("192.0.2.7:8000", "http://192.0.2.7:8000", HERE, None));
        assert!(!page("192.0.2.7:8000", "http://192.0.2.7:8001", HERE, None));
        assert!(!page("192.0.2.7:8000", "http://127.0.0.1:8000", HERE, None));
    }

    #[test]
    fn headers_of_proxies_change_nothing() {
        let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
        for relay in ["forwarded", "x-forwarded-for", "x-forwarded-host", "via", "x-real-ip", "cf-connecting-ip"] {
            let headers = [&rebound[..], &[(relay, "192.0.2.1")]].concat();
            assert_eq!(judged(&headers, HERE, None, Told::Origin), Err(Foreign::Origin), "{relay}");
            let read = [rebound[0], (relay, "192.0.2.1")];
            assert_eq!(judged(&read, HERE, None, Told::Nothing), Err(Foreign::Host), "{relay}");
        }
    }

    #[test]
    fn a_page_that_names_no_origin_is_known_by_its_host() {
        let get = |host: &str, peer: &str, allowed: Option<&[&str]>| {
            judged(&[("host", host)], peer, allowed, Told::Nothing).is_ok()
        };
        for host in ["localhost", "127.0.0.1:8000", "[::1]:8000", "192.0.2.1:8000"] {
            assert!(get(host, HERE, None), "{host}");
        }
        assert!(!get("evil.example:8000", HERE, None));
        assert!(get("metrics.example", ELSEWHERE, None));
        assert!(get("app.example.com", HERE, Some(&["https://app.example.com"])));
        assert!(!get("app.example.com:8000", HERE, Some(&["https://app.example.com"])));
        assert_eq!(judged(&[], HERE, None, Told::Nothing), Ok(()));
    }

    #[test]
    fn what_is_doubled_or_does_not_parse_is_refused() {
        let local = ("host", "localhost");
        for headers in
            [&[local, local][..], &[("host", "[::1].evil.example")], &[("host", "127.0.0.1:80.evil.example")]]
        {
            for (peer, told) in [(HERE, Told::Origin), (ELSEWHERE, Told::Nothing)] {
                assert_eq!(judged(headers, peer, None, told), Err(Foreign::Host), "{headers:?}");
            }
        }
        let origin = ("origin", "http://localhost");
        assert_eq!(judged(&[local, origin, origin], HERE, None, Told::Origin), Err(Foreign::Origin));
        for origin in
            ["http://[::1].evil.example", "http://127.0.0.1:80.evil.example", "http://localhost:80@evil.example"]
        {
            assert!(!page("localhost", origin, HERE, None), "{origin}");
        }
    }
}
