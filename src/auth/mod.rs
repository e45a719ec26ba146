//! Who is it? Turns a credential into a [`Principal`], or refuses it.
//!
//! Today: tokens signed with a shared secret (HS256), nobody in particular where anonymous access is allowed, or whatever
//! the application says that embeds the host ([`Ask`]). A credential that is given must be valid; a bad one never falls
//! back to anonymous.

mod ask;
mod lifetime;
mod refused;
#[cfg(test)]
mod tests;

use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation};
use serde_json::{Map, Value};

pub use ask::{Ask, Decision, Shown};
pub use refused::{Refusals, Refused};

use crate::number::Exact;
use crate::outcome::Tenant;
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
    /// Whether a token without `exp` is refused.
    pub require_exp: bool,
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

/// Checks credentials. Cheap to share behind an [`Arc`].
pub struct Authenticator {
    anonymous: Option<Arc<Principal>>,
    jwt: Option<Verifier>,
    tenant_claim: String,
    ask: Option<Ask>,
    refusals: Refusals,
}

/// Checks tokens.
struct Verifier {
    key: DecodingKey,
    /// Signature, issuer and audience. Times are checked here, since the crate takes a wrong one for none.
    validation: Validation,
    leeway: u64,
    require_exp: bool,
}

impl Authenticator {
    /// An authenticator for this configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let jwt = config.jwt.as_ref().map(|jwt| {
            let mut validation = Validation::new(Algorithm::HS256);
            validation.validate_exp = false;
            validation.validate_nbf = false;
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
            let key = DecodingKey::from_secret(&jwt.secret);
            Verifier { key, validation, leeway: jwt.leeway, require_exp: jwt.require_exp }
        });
        // One value for all anonymous subscribers: there are many, and they do not differ.
        let anonymous = config.anonymous.then(|| Arc::new(Principal::anonymous()));
        let tenant_claim = config.tenant_claim.clone();
        Self { anonymous, jwt, tenant_claim, ask: None, refusals: Refusals::default() }
    }

    /// The same, but the application decides.
    #[must_use]
    pub fn asking(self, ask: Option<Ask>) -> Self {
        Self { ask, ..self }
    }

    /// Where refusals are reported.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
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
        let Verifier { key, validation, leeway, require_exp } = self.jwt.as_ref().ok_or(Refused::NotConfigured)?;
        let TokenData { header, claims, .. } =
            jsonwebtoken::decode::<Map<String, Value>>(token.trim(), key, validation)?;
        // RFC 7515, section 4.1.11: extensions that must be understood, and none is.
        if header.crit.is_some() {
            return Err(Refused::Critical);
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        lifetime::check(&claims, now, *leeway, *require_exp)?;
        Ok(principal(claims, &self.tenant_claim))
    }
}

/// Who has these claims; nobody in particular, if there are none. `tenant_claim` names the claim with the tenant.
#[must_use]
pub fn principal(claims: Map<String, Value>, tenant_claim: &str) -> Arc<Principal> {
    let subject = claims.get("sub").and_then(Value::as_str).map(Arc::from);
    let tenant = claims.get(tenant_claim).and_then(tenant);
    let expires_at = lifetime::time(&claims, "exp").ok().flatten();
    Arc::new(Principal::new(subject, claims, tenant, expires_at))
}

/// The tenant that a claim names, as JSON text, so that `1` and `"1"` are two: text, or a whole number by its digits.
/// Numbers with a fraction or an exponent have several spellings, and any other value names nobody.
fn tenant(claim: &Value) -> Tenant {
    match claim {
        Value::String(_) => Some(claim.to_string().into()),
        Value::Number(number) if !number.as_str().contains(['.', 'e', 'E']) => {
            Exact::read(number.as_str()).and_then(|exact| exact.id()).map(Arc::from)
        }
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
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
