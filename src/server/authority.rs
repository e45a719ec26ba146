//! Host and port as the headers `Host` and `Origin` name them, parsed whole: a text that only begins like an authority is
//! refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host with an optional port: `app.example.com`, `127.0.0.1:8000`, `[::1]:8000`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Authority {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
}

/// An address, or a name in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Host {
    Address(IpAddr),
    Name(String),
}

impl Authority {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`. `None` for anything else, user information included.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                let address = address.parse::<Ipv6Addr>().ok()?;
                let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
                (Host::Address(IpAddr::V6(address).to_canonical()), port)
            }
            None => match text.split_once(':') {
                Some((name, port)) => (Host::parse(name)?, Some(port)),
                None => (Host::parse(text)?, None),
            },
        };
        let port = match port {
            Some(digits) => Some(parse_port(digits)?),
            None => None,
        };
        Some(Self { host, port })
    }

    /// Whether a browser could have been led here under this name by its owner's name server: a name that is not `localhost`.
    /// Addresses lead where they say.
    pub(super) fn can_be_rebound(&self) -> bool {
        matches!(&self.host, Host::Name(name) if name != "localhost")
    }

    /// Whether the host is `localhost` or a loopback address.
    pub(super) fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        // Underscores: proxies name their upstreams so.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (!text.is_empty() && text.bytes().all(is_name)).then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

/// Digits alone: `u16::from_str` would take a sign.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The origin of a web page: a scheme and an authority, nothing before, between or behind them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) authority: Authority,
    default_port: u16,
}

impl Origin {
    /// Reads `http://HOST[:PORT]` or `https://HOST[:PORT]`. `None` for anything else, `null` included.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let default_port = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        Some(Self { authority: Authority::parse(authority)?, default_port })
    }

    /// Whether a page of this origin sends its requests to this authority.
    pub(super) fn is_of(&self, host: &Authority) -> bool {
        let port = |authority: &Authority| authority.port.unwrap_or(self.default_port);
        self.authority.host == host.host && port(&self.authority) == port(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_read_whole() {
        for (text, host, port) in [
            ("localhost", "localhost", None),
            ("LocalHost:8000", "localhost", Some(8000)),
            ("app_1.example.com", "app_1.example.com", None),
            ("127.0.0.1.evil.example:80", "127.0.0.1.evil.example", Some(80)),
        ] {
            let read = Authority { host: Host::Name(host.to_owned()), port };
            assert_eq!(Authority::parse(text), Some(read), "{text}");
        }
        for (text, host, port) in [
            ("127.0.0.1", "127.0.0.1", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]", "::1", None),
            ("[::1]:65535", "::1", Some(65535)),
            ("[::ffff:127.0.0.1]:8000", "127.0.0.1", Some(8000)),
        ] {
            let read = Authority { host: Host::Address(host.parse().unwrap()), port };
            assert_eq!(Authority::parse(text), Some(read), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_authority() {
        for text in [
            "",
            ":80",
            "localhost:",
            "localhost:80:80",
            "localhost:+80",
            "localhost:-1",
            "localhost:65536",
            "localhost:080x",
            "localhost: 80",
            "localhost ",
            "user@localhost",
            "localhost:80@evil.example",
            "localhost/x",
            "localhost#x",
            "localhost,evil.example",
            "127.0.0.1:80.evil.example",
            "::1",
            "[::1",
            "[::1]evil.example",
            "[::1].evil.example",
            "[::1]:80.evil.example",
            "[::1]:",
            "[127.0.0.1]",
            "[fe80::1%25lo]",
            "[]",
            "ünïcode.example",
            "%6cocalhost",
        ] {
            assert_eq!(Authority::parse(text), None, "{text}");
            assert_eq!(Origin::parse(&format!("http://{text}")), None, "{text}");
        }
        for text in ["null", "localhost", "//localhost", "http:/localhost", "http://localhost/", "file://localhost"] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_one_name() {
        for text in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]"] {
            assert!(Authority::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in ["localhost.", "a.localhost", "127.0.0.1.evil.example", "0.0.0.0", "128.0.0.1", "[::]", "127.1"] {
            assert!(!Authority::parse(text).unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn an_origin_is_of_its_host_and_port() {
        let of = |origin: &str, host: &str| Origin::parse(origin).unwrap().is_of(&Authority::parse(host).unwrap());
        assert!(of("http://a.example", "a.example") && of("http://A.example:8000", "a.EXAMPLE:8000"));
        assert!(of("https://a.example", "a.example:443") && of("https://a.example", "a.example"));
        assert!(!of("http://a.example", "a.example:8000") && !of("http://a.example:8000", "b.example:8000"));
    }
}
