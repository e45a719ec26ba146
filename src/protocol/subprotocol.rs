//! Which protocol is spoken on a WebSocket.

/// A subprotocol that is served.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subprotocol {
    /// `graphql-transport-ws`, what every current client speaks.
    GraphqlTransportWs,
}

impl Subprotocol {
    /// The name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GraphqlTransportWs => "graphql-transport-ws",
        }
    }
}

/// Chooses from the value of `Sec-WebSocket-Protocol` (several headers: joined with commas, RFC 9110 §5.3).
///
/// `graphql-transport-ws` wins wherever it stands: some clients offer the older `graphql-ws` first and speak both.
/// `None` means: accept the upgrade *without* a subprotocol, then close with [`super::CloseCode::SubprotocolNotAcceptable`];
/// a refused handshake would hide the reason from a browser.
#[must_use]
pub fn negotiate(offered: &str) -> Option<Subprotocol> {
    let preferred = [Subprotocol::GraphqlTransportWs];
    preferred.into_iter().find(|known| offered.split(',').any(|name| name.trim() == known.as_str()))
}
