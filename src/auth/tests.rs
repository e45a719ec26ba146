use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

const SECRET: &[u8] = b"a secret of at least 32 bytes .....";

fn authenticator(anonymous: bool) -> Authenticator {
    let jwt = JwtConfig { secret: SECRET.to_vec(), issuer: Some("us".to_owned()), audience: None, leeway: 0 };
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
    assert_eq!(principal.tenant.as_deref(), Some("acme"));
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
    let wrong_issuer = token(Algorithm::HS256, SECRET, &json!({"iss": "them"}));
    let no_issuer = token(Algorithm::HS256, SECRET, &json!({"sub": "alice"}));
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

#[test]
fn a_tenant_may_be_a_number_and_structures_are_none() {
    let tenant_of = |tenant: Value| {
        let claims = json!({"sub": "alice", "iss": "us", "tenant_id": tenant});
        let principal =
            authenticator(false).authenticate(Some(&payload(&token(Algorithm::HS256, SECRET, &claims))), None);
        principal.unwrap().tenant.as_deref().map(str::to_owned)
    };
    assert_eq!(tenant_of(json!(7)).as_deref(), Some("7"));
    assert_eq!(tenant_of(json!(true)).as_deref(), Some("true"));
    assert_eq!(tenant_of(json!("")).as_deref(), Some(""));
    for none in [json!(null), json!([1]), json!({"a": 1})] {
        assert_eq!(tenant_of(none), None);
    }
}
