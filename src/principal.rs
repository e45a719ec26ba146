//! Who the subscriber is. Travels from the socket to the dispatch of each event.

use std::sync::Arc;

use serde_json::{Map, Value, json};

/// A subscriber's identity, as authentication established it. Cheap to share: always behind an [`Arc`].
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// The token's `sub`; `None` for anonymous principals.
    pub subject: Option<Arc<str>>,
    /// All claims of the token; empty for anonymous principals.
    pub claims: Map<String, Value>,
    /// Subject and claims as JSON text, canonical (keys sorted): what resolvers that take `context` see.
    pub json: Arc<str>,
    /// The tenant by the configured claim, as JSON text, if that is a text or a whole number.
    pub tenant: Option<Arc<str>>,
    /// Seconds since the Unix epoch after which the principal is no longer valid.
    pub expires_at: Option<u64>,
}

impl Principal {
    /// Someone who showed no credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(None, Map::new(), None, None)
    }

    /// A principal with these claims. `serde_json::Map` keeps its keys sorted, so the JSON text is canonical.
    #[must_use]
    pub fn new(
        subject: Option<Arc<str>>,
        claims: Map<String, Value>,
        tenant: Option<Arc<str>>,
        expires_at: Option<u64>,
    ) -> Self {
        let json = json!({"subject": subject.as_deref(), "claims": claims}).to_string().into();
        Self { subject, claims, json, tenant, expires_at }
    }

    /// Whether this is the same subject with the same rights, so that it may take over the other's subscriptions: all
    /// claims are equal but those that every new token has new.
    #[must_use]
    pub fn may_replace(&self, other: &Self) -> bool {
        const PER_TOKEN: [&str; 4] = ["exp", "iat", "jti", "nbf"];
        let rights = |principal: &Self| {
            let mut claims = principal.claims.clone();
            claims.retain(|name, _| !PER_TOKEN.contains(&name.as_str()));
            claims
        };
        self.subject.is_some() && self.subject == other.subject && rights(self) == rights(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(claims: &Value) -> Principal {
        let claims = claims.as_object().unwrap().clone();
        Principal::new(claims.get("sub").and_then(Value::as_str).map(Arc::from), claims, None, None)
    }

    #[test]
    fn only_the_same_subject_with_the_same_rights_may_take_over() {
        let current = principal(&json!({"sub": "a", "role": "r", "exp": 1}));
        assert!(principal(&json!({"sub": "a", "role": "r", "exp": 2, "jti": "x"})).may_replace(&current));
        assert!(!principal(&json!({"sub": "b", "role": "r"})).may_replace(&current));
        assert!(!principal(&json!({"sub": "a", "role": "other"})).may_replace(&current));
        assert!(!Principal::anonymous().may_replace(&Principal::anonymous()));
    }
}
