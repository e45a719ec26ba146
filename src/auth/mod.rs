//! Who is it? Turns a credential into a [`Principal`], or refuses it.
//!
//! Today: tokens signed with a shared secret (HS256), nobody in particular where anonymous access is allowed, or whatever
//! the application says that embeds the host ([`Ask`]). A credential that is given must be valid; a bad one never falls
//! back to anonymous.

mod ask;
#[cfg(test)]
mod tests;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use thiserror::Error;

pub use ask::{Ask, Decision, Shown};

use crate::principal::Principal;

/// How tokens are checked.
#[derive(Clone)]
pub struct JwtConfig {
    /// Shared secret of HS256.
    pub secret: Vec<u8>,
    /// Required `iss`, if any.
    pub issuer: Option<String>,
    /// Required `aud`, if any.
    pub audience: Option<String>,
    /// Tolerated clock difference, in seconds.
    pub leeway: u64,
}

impl std::fmt::Debug for JwtConfig {
    /// Says nothing of the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtConfig")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Who may come in, and how they show who they are.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether someone without a credential may come in.
    pub anonymous: bool,
    /// How tokens are checked; without it every token is refused.
    pub jwt: Option<JwtConfig>,
    /// Claim that names the tenant.
    pub tenant_claim: String,
}

/// Why a credential was refused. For the log: the client learns only that it was.
#[derive(Debug, Error)]
pub enum Refused {
    /// Nothing was shown.
    #[error("no credential, and anonymous access is off")]
    Missing,
    /// Something was shown that is not `Bearer TOKEN`.
    #[error("the credential is not of the form `Bearer TOKEN`")]
    Malformed,
    /// A token was shown, but the host has no key for it.
    #[error("a token was shown, but [auth] jwt is not configured")]
    NotConfigured,
    /// The token does not hold.
    #[error("the token was refused: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The application does not let them in.
    #[error("the application refused: {0}")]
    Application(String),
}

/// Checks credentials. Cheap to share behind an [`Arc`].
pub struct Authenticator {
    anonymous: Option<Arc<Principal>>,
    jwt: Option<(DecodingKey, Validation)>,
    tenant_claim: String,
    ask: Option<Ask>,
}

impl Authenticator {
    /// An authenticator for this configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let jwt = config.jwt.as_ref().map(|jwt| {
            let mut validation = Validation::new(Algorithm::HS256);
            validation.leeway = jwt.leeway;
            validation.validate_nbf = true;
            validation.set_required_spec_claims::<&str>(&[]);
            validation.validate_aud = jwt.audience.is_some();
            if let Some(audience) = &jwt.audience {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            if let Some(issuer) = &jwt.issuer {
                validation.set_issuer(&[issuer]);
                validation.required_spec_claims.insert("iss".to_owned());
            }
            (DecodingKey::from_secret(&jwt.secret), validation)
        });
        // One value for all anonymous subscribers: there are many, and they do not differ.
        let anonymous = config.anonymous.then(|| Arc::new(Principal::anonymous()));
        Self { anonymous, jwt, tenant_claim: config.tenant_claim.clone(), ask: None }
    }

    /// The same, but the application decides.
    #[must_use]
    pub fn asking(self, ask: Option<Ask>) -> Self {
        Self { ask, ..self }
    }

    /// Whether this header of a client's request has a part in the decision. Names are in lower case.
    #[must_use]
    pub fn reads(&self, header: &str) -> bool {
        self.ask.is_some() || header == "authorization"
    }

    /// Decides about what was shown: at once, or when the application has answered.
    #[must_use]
    pub fn decide(&self, shown: Shown) -> Decision {
        match &self.ask {
            Some(ask) => ask(shown),
            None => Box::pin(ready(self.authenticate(shown.payload.as_ref(), shown.header("authorization")))),
        }
    }

    /// The principal behind the payload of `connection_init` (`authorization` or `Authorization`, at its top or below
    /// `headers`), or else behind the `Authorization` header of the request.
    fn authenticate(
        &self,
        payload: Option<&Map<String, Value>>,
        header: Option<&str>,
    ) -> Result<Arc<Principal>, Refused> {
        let credential = match payload.and_then(credential_in) {
            Some(Value::String(text)) => Some(text.as_str()),
            Some(_) => return Err(Refused::Malformed),
            None => header,
        };
        match credential {
            None => self.anonymous.clone().ok_or(Refused::Missing),
            Some(text) => self.verify(text),
        }
    }

    fn verify(&self, credential: &str) -> Result<Arc<Principal>, Refused> {
        let (scheme, token) = credential.trim().split_once(' ').ok_or(Refused::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refused::Malformed);
        }
        let (key, validation) = self.jwt.as_ref().ok_or(Refused::NotConfigured)?;
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token.trim(), key, validation)?.claims;
        Ok(principal(claims, &self.tenant_claim))
    }
}

/// Who has these claims; nobody in particular, if there are none. `tenant_claim` names the claim with the tenant.
#[must_use]
pub fn principal(claims: Map<String, Value>, tenant_claim: &str) -> Arc<Principal> {
    let subject = claims.get("sub").and_then(Value::as_str).map(Arc::from);
    let tenant = claims.get(tenant_claim).and_then(tenant);
    let expires_at = claims.get("exp").and_then(Value::as_f64).and_then(whole_seconds);
    Arc::new(Principal::new(subject, claims, tenant, expires_at))
}

/// The tenant that a claim names. Numbers and booleans name one, too, by their JSON text: taken for no tenant, all of
/// them would be lumped together.
fn tenant(claim: &Value) -> Option<Arc<str>> {
    match claim {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(_) | Value::Bool(_) => Some(claim.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A numeric date may have a fraction (RFC 7519 §2).
fn whole_seconds(date: f64) -> Option<u64> {
    Duration::try_from_secs_f64(date).ok().map(|since_epoch| since_epoch.as_secs())
}

impl std::fmt::Debug for Authenticator {
    /// Says nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("anonymous", &self.anonymous.is_some())
            .field("jwt", &self.jwt.is_some())
            .field("ask", &self.ask.is_some())
            .finish_non_exhaustive()
    }
}

/// Compares a shown secret with the expected one in a time that does not tell where they differ.
#[must_use]
pub fn secret_matches(shown: &str, expected: &str) -> bool {
    use sha2::{Digest, Sha256};
    Sha256::digest(shown).iter().zip(Sha256::digest(expected)).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn credential_in(payload: &Map<String, Value>) -> Option<&Value> {
    find_authorization(payload).or_else(|| find_authorization(payload.get("headers")?.as_object()?))
}

fn find_authorization(map: &Map<String, Value>) -> Option<&Value> {
    map.iter()
        .find(|(key, value)| key.eq_ignore_ascii_case("authorization") && !value.is_null())
        .map(|(_, value)| value)
}
