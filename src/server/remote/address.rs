//! Where a host is: `http://HOST:PORT`, with or without the path of a route.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use thiserror::Error;

/// Where a host is. Routes are found below its base path, which is empty unless a proxy adds one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    host: String,
    port: u16,
    base: String,
}

/// Why a text is not the address of a host.
#[derive(Debug, Error)]
pub enum AddressError {
    /// Not a URL that can be used.
    #[error("{0:?} is not the URL of a host: write http://HOST:PORT, for example http://127.0.0.1:8000")]
    Malformed(String),
    /// `https` or `wss`.
    #[error("{0:?}: https and wss are not supported in this version; use http:// to a host in the same network")]
    Tls(String),
}

impl Address {
    /// Reads `http://HOST[:PORT]` or `ws://HOST[:PORT]`, with or without `/graphql` or `/events` at the end.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let uri: Uri = text.trim().parse().map_err(|_| malformed())?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => return Err(AddressError::Tls(text.to_owned())),
            _ => return Err(malformed()),
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(malformed)?;
        if authority.host().is_empty() || uri.query().is_some() {
            return Err(malformed());
        }
        let path = uri.path().trim_end_matches('/');
        let base = path.strip_suffix("/graphql").or_else(|| path.strip_suffix("/events")).unwrap_or(path);
        let port = match authority.port() {
            Some(port) => port.as_str().parse().map_err(|_| malformed())?,
            // A port that is none would be taken for the default one.
            None if authority.as_str() != authority.host() => return Err(malformed()),
            None => 80,
        };
        Ok(Self { host: authority.host().to_owned(), port, base: base.to_owned() })
    }

    /// `HOST:PORT`, as the header `Host` has it.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The host as the resolver wants it: an IPv6 address without brackets.
    pub(super) fn target(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }

    /// Whether the host is written as an address or as `localhost`: names that only the resolver of the user's choice
    /// translates could lead elsewhere the next time.
    pub(super) fn is_plain(&self) -> bool {
        let (host, _) = self.target();
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    }

    /// The path of a route, `/graphql` or `/events`.
    pub(super) fn path(&self, route: &str) -> String {
        format!("{}{route}", self.base)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_with_or_without_a_route() {
        for text in [
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "ws://127.0.0.1:8000/graphql",
            "http://127.0.0.1:8000/events",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), "http://127.0.0.1:8000", "{text}");
        }
        let address = Address::parse("http://example.com/live/graphql/").unwrap();
        assert_eq!(
            (address.to_string().as_str(), address.path("/events").as_str()),
            ("http://example.com:80/live", "/live/events")
        );
        assert_eq!(Address::parse("http://[::1]:9").unwrap().target(), ("::1", 9));
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for text in [
            "",
            "localhost",
            "127.0.0.1:8000",
            "ftp://a",
            "http://",
            "http://u:p@h",
            "http://a:99999",
            "http://a:",
            "http://a/graphql?x",
            "/graphql",
        ] {
            let refused = Address::parse(text).unwrap_err().to_string();
            assert!(refused.contains("write http://HOST:PORT"), "{text}: {refused}");
        }
        for text in ["https://example.com", "wss://example.com/graphql"] {
            assert!(Address::parse(text).unwrap_err().to_string().contains("not supported in this version"), "{text}");
        }
    }
}
