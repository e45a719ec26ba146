use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

const SECRET: &[u8] = b"a secret of at least 32 bytes .....";

fn authenticator(anonymous: bool) -> Authenticator {
    let jwt = JwtConfig {
        secret: SECRET.to_vec(),
        issuer: Some("us".to_owned()),
        audience: None,
        leeway: 0,
        require_exp: true,
    };
    Authenticator::new(&Config { anonymous, jwt: Some(jwt), tenant_claim: "tenant_id".to_owned() })
}

fn token(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    let token = jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap();
    format!("Bearer {token}")
}

fn valid_claims() -> Value {
    json!({"sub": "alice", "iss": "us", "tenant_id": "acme", "exp": 4_000_000_000_u64})
}

fn payload(credential: &str) -> Map<String, Value> {
    json!({"authorization": credential}).as_object().unwrap().clone()
}

#[test]
fn a_valid_token_names_subject_and_tenant() {
    let credential = token(Algorithm::HS256, SECRET, &valid_claims());
    let principal = authenticator(false).authenticate(Some(&payload(&credential)), None).unwrap();
    assert_eq!(principal.subject.as_deref(), Some("alice"));
    assert_eq!(principal.tenant.as_deref(), Some("\"acme\""));
    assert_eq!(principal.expires_at, Some(4_000_000_000));
}

#[test]
fn the_credential_is_found_below_headers_and_in_the_http_header() {
    let credential = token(Algorithm::HS256, SECRET, &valid_claims());
    let nested = json!({"headers": {"Authorization": credential}});
    assert!(authenticator(false).authenticate(nested.as_object(), None).is_ok());
    assert!(authenticator(false).authenticate(None, Some(&credential)).is_ok());
}

#[test]
fn nobody_comes_in_without_a_credential_unless_anonymous_is_allowed() {
    assert!(matches!(authenticator(false).authenticate(None, None), Err(Refused::Missing)));
    let principal = authenticator(true).authenticate(None, None).unwrap();
    assert_eq!(principal.subject, None);
}

#[test]
fn a_bad_credential_never_falls_back_to_anonymous() {
    let foreign = token(Algorithm::HS256, b"another secret of some 32 bytes ....", &valid_claims());
    let other_algorithm = token(Algorithm::HS512, SECRET, &valid_claims());
    let expired = token(Algorithm::HS256, SECRET, &json!({"iss": "us", "exp": 1000}));
    let wrong_issuer = token(Algorithm::HS256, SECRET, &json!({"iss": "them", "exp": 4_000_000_000_u64}));
    let no_issuer = token(Algorithm::HS256, SECRET, &json!({"sub": "alice", "exp": 4_000_000_000_u64}));
    let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.".to_owned();
    for credential in [
        foreign,
        other_algorithm,
        expired,
        wrong_issuer,
        no_issuer,
        unsigned,
        "Basic abc".to_owned(),
        "Bearer".to_owned(),
    ] {
        assert!(authenticator(true).authenticate(Some(&payload(&credential)), None).is_err(), "{credential}");
    }
    let not_text = json!({"authorization": 7});
    assert!(matches!(authenticator(true).authenticate(not_text.as_object(), None), Err(Refused::Malformed)));
}

#[test]
fn a_token_is_refused_where_no_key_is_configured() {
    let authenticator =
        Authenticator::new(&Config { anonymous: true, jwt: None, tenant_claim: "tenant_id".to_owned() });
    assert!(matches!(authenticator.authenticate(None, Some("Bearer x.y.z")), Err(Refused::NotConfigured)));
}

#[test]
fn secrets_match_only_when_equal() {
    assert!(secret_matches("abc", "abc"));
    assert!(!secret_matches("abd", "abc"));
    assert!(!secret_matches("", "abc"));
}

fn claims_with(name: &str, value: &str) -> Value {
    serde_json::from_str(&format!("{{\"sub\":\"alice\",\"iss\":\"us\",\"exp\":4000000000,\"{name}\":{value}}}"))
        .unwrap()
}

#[test]
fn a_tenant_is_text_or_a_whole_number_with_all_its_digits() {
    let tenant_of = |tenant: &str| {
        let credential = token(Algorithm::HS256, SECRET, &claims_with("tenant_id", tenant));
        let principal = authenticator(false).authenticate(Some(&payload(&credential)), None).unwrap();
        principal.tenant.as_deref().map(str::to_owned)
    };
    let named = [
        "\"\"",
        "\"a\"",
        "\"1\"",
        "1",
        "-1",
        "\"null\"",
        "\"7\"",
        "7",
        "9007199254740992",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551617",
        "1234567890123456789012345678901234567890",
        "1234567890123456789012345678901234567891",
    ];
    let tenants: std::collections::BTreeSet<_> = named.map(tenant_of).into_iter().map(Option::unwrap).collect();
    assert_eq!(tenants.len(), named.len(), "each is a tenant of its own: {tenants:?}");
    assert_eq!(tenant_of("-0"), tenant_of("0"));
    for none in ["null", "[1]", "[]", "{\"a\":1}", "true", "1.0", "1.5", "1e2", "9007199254740993.0", "1e400"] {
        assert_eq!(tenant_of(none), None, "{none}");
    }
    let credential = token(Algorithm::HS256, SECRET, &json!({"iss": "us", "exp": 4_000_000_000_u64}));
    assert_eq!(authenticator(false).authenticate(Some(&payload(&credential)), None).unwrap().tenant, None);
}

#[test]
fn a_token_with_critical_extensions_is_refused() {
    let jwt = JwtConfig { secret: SECRET.to_vec(), issuer: None, audience: None, leeway: 0, require_exp: true };
    let config = Config { anonymous: true, jwt: Some(jwt), tenant_claim: "tenant_id".to_owned() };
    let header = Header { crit: Some(vec!["x".to_owned()]), ..Header::new(Algorithm::HS256) };
    let key = EncodingKey::from_secret(SECRET);
    let credential = format!("Bearer {}", jsonwebtoken::encode(&header, &valid_claims(), &key).unwrap());
    let refused = Authenticator::new(&config).authenticate(Some(&payload(&credential)), None);
    assert_eq!(refused.map_err(|refused| refused.kind()).err(), Some("critical"));
}

#[test]
fn a_token_needs_an_expiry_that_is_one() {
    let without = |name: &str| {
        let mut claims = valid_claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let checked = |claims: &Value, require_exp| {
        let jwt = JwtConfig { secret: SECRET.to_vec(), issuer: None, audience: None, leeway: 0, require_exp };
        let config = Config { anonymous: true, jwt: Some(jwt), tenant_claim: "tenant_id".to_owned() };
        let credential = token(Algorithm::HS256, SECRET, claims);
        let principal = Authenticator::new(&config).authenticate(Some(&payload(&credential)), None);
        principal.map(|principal| principal.expires_at).map_err(|refused| refused.kind())
    };
    assert_eq!(checked(&without("exp"), true), Err("no-expiry"));
    assert_eq!(checked(&without("exp"), false), Ok(None));
    assert_eq!(checked(&valid_claims(), true), Ok(Some(4_000_000_000)));
    assert_eq!(checked(&json!({"exp": 4_000_000_000.75}), true), Ok(Some(4_000_000_000)));
    for wrong in ["null", "\"4000000000\"", "true", "[]", "{}", "-1", "1e300", "1e999", "253402300800"] {
        let claims: Value = serde_json::from_str(&format!("{{\"exp\":{wrong}}}")).unwrap();
        for require_exp in [true, false] {
            assert_eq!(checked(&claims, require_exp), Err("not-a-time"), "{claims}");
        }
    }
    assert_eq!(checked(&json!({"exp": 1_000}), false), Err("expired"));
    assert_eq!(checked(&json!({"exp": 4_000_000_000_u64, "nbf": 3_900_000_000_u64}), true), Err("not-yet"));
}
