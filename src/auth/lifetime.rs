//! From when and until when a token is valid.

use serde_json::{Map, Value};

use super::Refused;

/// The last second of the year 9999. Later times are mistakes, such as milliseconds in the place of seconds.
const LAST: f64 = 253_402_300_799.0;

/// Checks `exp` and `nbf` at a time in seconds since 1970, which may differ by `leeway` from the issuer's. A time that is
/// `null` or no number is refused: read as absent, it would make a token valid for ever.
pub(super) fn check(claims: &Map<String, Value>, now: u64, leeway: u64, require_exp: bool) -> Result<(), Refused> {
    match time(claims, "exp")? {
        Some(expires) if now >= expires.saturating_add(leeway) => return Err(Refused::Expired),
        None if require_exp => return Err(Refused::NoExpiry),
        Some(_) | None => {}
    }
    match time(claims, "nbf")? {
        Some(begins) if begins > now.saturating_add(leeway) => Err(Refused::NotYet),
        Some(_) | None => Ok(()),
    }
}

/// A numeric date, which may have a fraction (RFC 7519 §2), in whole seconds.
pub(super) fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, Refused> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let seconds = claim.as_f64().filter(|seconds| (0.0..=LAST).contains(seconds)).ok_or(Refused::NotATime(name))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range, and rounded down")]
    Ok(Some(seconds as u64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(claims: Value, require_exp: bool) -> Option<&'static str> {
        let Value::Object(claims) = claims else { panic!("no object") };
        check(&claims, 1_000, 10, require_exp).err().map(|refused| refused.kind())
    }

    #[test]
    fn exp_is_required_unless_that_is_switched_off() {
        assert_eq!(checked(json!({}), true), Some("no-expiry"));
        assert_eq!(checked(json!({}), false), None);
        assert_eq!(checked(json!({"exp": 1_001}), true), None);
    }

    #[test]
    fn a_token_is_valid_from_nbf_until_exp_with_the_leeway() {
        for (claims, said) in [
            (json!({"exp": 991}), None),
            (json!({"exp": 990}), Some("expired")),
            (json!({"exp": 990.9}), Some("expired")),
            (json!({"exp": 0}), Some("expired")),
            (json!({"exp": 991.5, "nbf": 1_010.5}), None),
            (json!({"exp": 2_000, "nbf": 1_011}), Some("not-yet")),
            (json!({"exp": 253_402_300_799_u64}), None),
        ] {
            assert_eq!(checked(claims.clone(), true), said, "{claims}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_refused_whatever_is_required() {
        let wrong = [
            "null",
            "\"4000000000\"",
            "true",
            "[4000000000]",
            "{\"seconds\":4000000000}",
            "-1",
            "-0.5",
            "1e300",
            "1e999",
            "253402300800",
            "4000000000000",
            "18446744073709551617",
            "\"\"",
        ];
        for wrong in wrong {
            for name in ["exp", "nbf"] {
                let claims = if name == "exp" {
                    format!("{{\"exp\":{wrong}}}")
                } else {
                    format!("{{\"exp\":2000,\"nbf\":{wrong}}}")
                };
                let claims: Value = serde_json::from_str(&claims).unwrap();
                assert_eq!(checked(claims.clone(), true), Some("not-a-time"), "{claims}");
                assert_eq!(checked(claims.clone(), false), Some("not-a-time"), "{claims}");
            }
        }
    }
}
