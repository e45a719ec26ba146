//! Numbers that neither a double nor 64 bits hold: they are matched and compared by their digits.

use super::*;

/// Whole numbers as text, rising, all different: around 2⁵³, 2⁶³ and 2⁶⁴, and with 40 digits.
const WHOLE: [&str; 27] = [
    "-9999999999999999999999999999999999999999",
    "-9999999999999999999999999999999999999998",
    "-18446744073709551617",
    "-18446744073709551616",
    "-18446744073709551615",
    "-9223372036854775809",
    "-9223372036854775808",
    "-9223372036854775807",
    "-9007199254740993",
    "-9007199254740992",
    "-1",
    "0",
    "1",
    "100",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "9223372036854775809",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551617",
    "18446744073709552000",
    "9999999999999999999999999999999999999998",
    "9999999999999999999999999999999999999999",
];

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a predicate says of `event.data.n`, `args.other` and `claims.n`, each given as JSON text.
fn says(source: &str, n: &str, other: &str, claim: &str) -> bool {
    let text = |name: &str, value: &str| read(&format!("{{\"{name}\":{value}}}"));
    let filter = predicate(source);
    let (data, args, claims) = (text("n", n), text("other", other), text("n", claim));
    let said = verdict(&filter, data.clone(), args.clone(), claims.clone());
    if said == Verdict::Deliver {
        assert!(finds(&filter, data, args, claims), "the index hides what {source} delivers: {n} {other} {claim}");
    }
    assert!(!matches!(said, Verdict::Failed(_)), "{source} with {n}, {other}, {claim}: {said:?}");
    said == Verdict::Deliver
}

#[test]
fn a_whole_number_matches_the_id_with_its_digits_and_no_other() {
    let filter = matching("id", "n");
    for found in WHOLE {
        for given in WHOLE {
            let (data, args) = (read(&format!("{{\"n\":{found}}}")), json!({"id": given}));
            let wanted = if found == given { Verdict::Deliver } else { Verdict::Suppress };
            assert_eq!(verdict(&filter, data.clone(), args.clone(), json!({})), wanted, "{found} for {given}");
            assert_eq!(finds(&filter, data, args, json!({})), found == given, "index: {found} for {given}");
        }
    }
}

#[test]
fn whole_numbers_are_equal_and_ordered_by_their_digits_wherever_they_stand() {
    for (at, left) in WHOLE.iter().enumerate() {
        for (than, right) in WHOLE.iter().enumerate() {
            for (operator, holds) in [
                ("==", at == than),
                ("!=", at != than),
                ("<", at < than),
                ("<=", at <= than),
                (">", at > than),
                (">=", at >= than),
            ] {
                for source in [
                    format!("event.data.n {operator} claims.n"),
                    format!("event.data.n {operator} args.other"),
                    format!("!!(event.data.n {operator} claims.n)"),
                    format!("(event.data.n {operator} args.other) || false"),
                ] {
                    assert_eq!(says(&source, left, right, right), holds, "{source}: {left} {right}");
                }
            }
            for source in ["event.data.n in [args.other]", "event.data.n in [claims.n] || false"] {
                assert_eq!(says(source, left, right, right), at == than, "{source}: {left} {right}");
            }
            let list = format!("[0.5,{right}]");
            assert_eq!(says("event.data.n in args.other", left, &list, "1"), at == than, "{left} in {list}");
            assert_eq!(says("[0.5, event.data.n] == args.other", left, &list, "1"), at == than, "{left} in {list}");
        }
    }
}

#[test]
fn a_fraction_or_an_exponent_changes_nothing_about_a_value() {
    for (left, right) in [
        ("1.0", "1"),
        ("1e2", "100"),
        ("100.00", "1E+2"),
        ("1200e-2", "12"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e9", "0"),
        ("9007199254740993.0", "9007199254740993"),
        ("18446744073709551617.0", "18446744073709551617"),
        ("1844674407370955161.7e1", "18446744073709551617"),
        ("1e400", "10e399"),
        ("0.1", "1e-1"),
        ("0.10000000000000001", "0.1"),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("1e-400", "0.1e-399"),
    ] {
        for (left, right) in [(left, right), (right, left)] {
            for source in ["event.data.n == args.other", "event.data.n == claims.n", "event.data.n >= claims.n"] {
                assert!(says(source, left, right, right), "{source}: {left} {right}");
            }
            assert!(!says("event.data.n != claims.n", left, right, right), "{left} {right}");
            assert!(!says("event.data.n < args.other", left, right, right), "{left} {right}");
        }
    }
}

#[test]
fn what_differs_beyond_a_double_is_not_equal() {
    for (left, right) in [
        ("9007199254740993.0", "9007199254740992"),
        ("9007199254740993", "9007199254740992.0"),
        ("18446744073709551617.0", "18446744073709551616"),
        ("18446744073709551616.5", "18446744073709551616"),
        ("1e400", "1e401"),
        ("1e400", "1.7976931348623157e308"),
        ("1e-400", "0"),
        ("1.00000000000000000001", "1"),
        ("0.1000000000000000055511151231257828", "0.1"),
    ] {
        for (left, right) in [(left, right), (right, left)] {
            for source in ["event.data.n == args.other", "event.data.n == claims.n", "event.data.n in [claims.n]"] {
                assert!(!says(source, left, right, right), "{source}: {left} {right}");
            }
            assert!(says("event.data.n != claims.n", left, right, right), "{left} {right}");
        }
    }
    assert!(says("event.data.n > args.other", "1e400", "1.7976931348623157e308", "1"));
    assert!(says("event.data.n < args.other", "-1e400", "-1e399", "1"));
    assert!(says("event.data.n > 0", "1e-400", "1", "1") && says("event.data.n < 0.5", "1e-400", "1", "1"));
}

#[test]
fn an_exponent_costs_no_memory_and_never_makes_a_wrong_match() {
    for huge in ["1e1000000000", "1e99999999999999999999999999", "-1e1000000000", "1e-1000000000"] {
        let filter = matching("id", "n");
        let data = read(&format!("{{\"n\":{huge}}}"));
        for id in ["1", "0", "", "1e1000000000", "Infinity", "inf"] {
            assert_eq!(verdict(&filter, data.clone(), json!({"id": id}), json!({})), Verdict::Suppress, "{huge} {id}");
        }
        for source in ["event.data.n == 0", "event.data.n == 1", "event.data.n == 1.7976931348623157e308"] {
            assert_ne!(verdict(&predicate(source), data.clone(), json!({}), json!({})), Verdict::Deliver, "{source}");
        }
    }
    // Two numbers whose exponents are beyond any counting are not known to be equal.
    let (one, other) = ("1e99999999999999999999999999", "1e99999999999999999999999998");
    for source in ["event.data.n == args.other", "!(event.data.n != args.other)", "event.data.n != args.other"] {
        let data = read(&format!("{{\"n\":{one}}}"));
        let said = verdict(&predicate(source), data, json!({"other": read(other)}), json!({}));
        assert_ne!(said, Verdict::Deliver, "{source}");
    }
}

#[test]
fn arithmetic_with_a_number_that_only_digits_hold_is_an_error() {
    for source in [
        "event.data.n + 1 > 0",
        "event.data.n * 2.0 > 0.0",
        "-event.data.n < 0",
        "int(event.data.n) > 0",
        "string(event.data.n) != ''",
        "double(event.data.n) > 0.0",
    ] {
        let said = verdict(&predicate(source), read("{\"n\":18446744073709551617}"), json!({}), json!({}));
        assert!(matches!(said, Verdict::Failed(_)), "{source}: {said:?}");
    }
}

#[test]
fn claims_that_differ_in_a_digit_are_other_access_keys() {
    let filter = predicate("event.data.n == claims.n");
    let key = |n: &str| filter.claims_read(&object(read(&format!("{{\"n\":{n}}}"))));
    assert_ne!(key("18446744073709551617"), key("18446744073709551616"));
}
