//! The exact value of a number in JSON text.
//!
//! `serde_json` keeps the text of every number (its feature `arbitrary_precision`), because neither a double nor 64 bits
//! hold `18446744073709551617`: rounded, it is another number, and an event or a tenant with that id would be another
//! one's. [`Exact`] is the value behind such a text: two numbers are equal exactly if their values are.
//!
//! A number with a fraction or an exponent is a double if the double, written with as many digits, reads the same: so
//! `0.1` is the double that every program means by it, and `18446744073709551617.0` is none. Work and memory are
//! proportional to the text, whatever its exponent says.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

/// Significant digits of the longest double; beyond them every double has zeros.
const DOUBLE_DIGITS: usize = 767;

/// So many digits every double of ordinary size keeps.
const SAFE_DIGITS: usize = 15;

/// Zeros that an exponent may add to an id. The largest double has 309 digits.
const MAX_ZEROS: usize = 400;

/// Exponents beyond this are not read, so that sums of exponents and lengths cannot overflow.
const MAX_EXPONENT: i64 = 1 << 50;

/// The value of a number. Each value has one representation, except that a double can be infinite or not a number, where
/// arithmetic has made it so.
#[derive(Clone, PartialEq, Debug)]
pub enum Exact {
    /// A whole number of 64 bits.
    Int(i64),
    /// A whole number beyond the range of [`Exact::Int`].
    Unsigned(u64),
    /// A double that is none of the above.
    Double(f64),
    /// Any other number.
    Digits(Decimal),
}

/// A decimal number, normalized: zero has no digits, others have no zero at either end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Decimal {
    negative: bool,
    digits: Box<str>,
    /// The value is 0.DIGITS × 10^exponent.
    exponent: i64,
}

impl Exact {
    /// The value of a number as JSON writes it; `None` for an exponent beyond ±2⁵⁰.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse() {
            return Some(Self::Int(value));
        }
        if let Ok(value) = text.parse() {
            return Some(Self::Unsigned(value));
        }
        let (decimal, written) = Decimal::read(text)?;
        if let Some(value) = held(text, &decimal, written) {
            return Some(Self::from(value));
        }
        Some(decimal.whole().unwrap_or(Self::Digits(decimal)))
    }

    /// The number as an ID: the digits of a whole number. `None` for other numbers, and for whole ones with so large an
    /// exponent that the text would be much longer than the number.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Int(value) => Some(value.to_string()),
            Self::Unsigned(value) => Some(value.to_string()),
            Self::Double(value) if value.is_finite() && value.fract() == 0.0 => Some(format!("{value:.0}")),
            Self::Double(_) => None,
            Self::Digits(decimal) => decimal.whole_digits(),
        }
    }

    /// The order by value; `None` with what is not a number.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2⁵³")]
        let small = |value: i64| (value.unsigned_abs() <= 1 << 53).then_some(value as f64);
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Unsigned(a), Self::Unsigned(b)) => Some(a.cmp(b)),
            (Self::Int(_), Self::Unsigned(_)) => Some(Ordering::Less),
            (Self::Unsigned(_), Self::Int(_)) => Some(Ordering::Greater),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Double(a), _) if !a.is_finite() => a.partial_cmp(&0.0),
            (_, Self::Double(b)) if !b.is_finite() => 0.0.partial_cmp(b),
            (Self::Double(a), Self::Int(b)) if let Some(b) = small(*b) => a.partial_cmp(&b),
            (Self::Int(a), Self::Double(b)) if let Some(a) = small(*a) => a.partial_cmp(b),
            (a, b) => Some(a.decimal()?.compare(&*b.decimal()?)),
        }
    }

    fn decimal(&self) -> Option<Cow<'_, Decimal>> {
        let text = match self {
            Self::Int(value) => value.to_string(),
            Self::Unsigned(value) => value.to_string(),
            Self::Double(value) => format!("{value:.DOUBLE_DIGITS$e}"),
            Self::Digits(decimal) => return Some(Cow::Borrowed(decimal)),
        };
        Decimal::read(&text).map(|(decimal, _)| Cow::Owned(decimal))
    }
}

impl From<f64> for Exact {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within the range")]
    fn from(value: f64) -> Self {
        const END: f64 = 9_223_372_036_854_775_808.0;
        if value.fract() != 0.0 {
            return Self::Double(value);
        }
        if (-END..END).contains(&value) {
            Self::Int(value as i64)
        } else if (END..2.0 * END).contains(&value) {
            Self::Unsigned(value as u64)
        } else {
            Self::Double(value)
        }
    }
}

impl Decimal {
    /// The number, and how many digits were written from the first one that is not zero.
    fn read(text: &str) -> Option<(Self, usize)> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let written = digits.trim_start_matches('0');
        let significant = written.trim_end_matches('0');
        if significant.is_empty() {
            return Some((Self { negative: false, digits: "".into(), exponent: 0 }, 0));
        }
        let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
        if exponent.abs() > MAX_EXPONENT {
            return None;
        }
        let before = i64::try_from(whole.len()).ok()? - i64::try_from(digits.len() - written.len()).ok()?;
        Some((Self { negative, digits: significant.into(), exponent: exponent + before }, written.len()))
    }

    /// The number as a whole one of 64 bits, if it is one.
    fn whole(&self) -> Option<Exact> {
        // No number of 64 bits has more digits.
        if self.exponent > 20 {
            return None;
        }
        let digits = self.whole_digits()?;
        digits.parse().map(Exact::Int).or_else(|_| digits.parse().map(Exact::Unsigned)).ok()
    }

    fn whole_digits(&self) -> Option<String> {
        let zeros = usize::try_from(self.exponent).ok()?.checked_sub(self.digits.len())?;
        if self.digits.is_empty() {
            return Some("0".to_owned());
        }
        let sign = if self.negative { "-" } else { "" };
        (zeros <= MAX_ZEROS).then(|| [sign, &self.digits, &"0".repeat(zeros)].concat())
    }

    fn compare(&self, other: &Self) -> Ordering {
        let sign = |decimal: &Self| match (decimal.digits.is_empty(), decimal.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let by_size = || (self.exponent, &self.digits).cmp(&(other.exponent, &other.digits));
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal if self.negative => by_size().reverse(),
            Ordering::Equal => by_size(),
            order => order,
        }
    }
}

/// The double that a number's text stands for; `None` if no double holds it.
#[must_use]
pub fn double(text: &str) -> Option<f64> {
    let (decimal, written) = Decimal::read(text)?;
    held(text, &decimal, written)
}

/// Whether every number in the value can be read: none has a fraction or an exponent and is beyond the range of doubles,
/// which most programs (Python among them) read as infinite.
#[must_use]
pub fn all_readable(value: &Value) -> bool {
    match value {
        Value::Number(number) => is_readable(number.as_str()),
        Value::Array(items) => items.iter().all(all_readable),
        Value::Object(members) => members.values().all(all_readable),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// The same of one number.
#[must_use]
pub fn is_readable(text: &str) -> bool {
    // Nearly all are short and have no exponent.
    let is_plain = !text.contains(['e', 'E']) && (text.len() <= 300 || !text.contains('.'));
    is_plain || (text.parse().is_ok_and(f64::is_finite) && Decimal::read(text).is_some())
}

/// The double nearest to the text, if it reads the same when it is written with as many digits.
fn held(text: &str, decimal: &Decimal, written: usize) -> Option<f64> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    if decimal.digits.is_empty() {
        return Some(0.0);
    }
    if written <= SAFE_DIGITS && (1e-290..1e290).contains(&value.abs()) {
        return Some(value);
    }
    let places = written.min(DOUBLE_DIGITS + 1) - 1;
    let (shown, _) = Decimal::read(&format!("{value:.places$e}"))?;
    (shown == *decimal).then_some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Exact {
        Exact::read(text).unwrap_or_else(|| panic!("{text} is not read"))
    }

    #[test]
    fn each_value_has_one_representation() {
        for (texts, exact) in [
            (&["0", "-0", "0.0", "-0.0", "0e5", "0E-400", "0e99999999999999999999"][..], Exact::Int(0)),
            (&["100", "1e2", "1.00E+2", "10000e-2", "100.0"], Exact::Int(100)),
            (&["-9223372036854775808", "-9223372036854775808.0"], Exact::Int(i64::MIN)),
            (&["18446744073709551615", "1844674407370955161.5e1"], Exact::Unsigned(u64::MAX)),
            (&["18446744073709551616", "1.8446744073709552e19"], Exact::Double(18_446_744_073_709_551_616.0)),
            (&["0.1", "1e-1", "0.10000000000000001", "0.1000000000000000055511151231257827"], Exact::Double(0.1)),
            (&["5e-324", "4.9e-324"], Exact::Double(5e-324)),
            (&["99999999999999991611392", "1e23"], Exact::Double(1e23)),
        ] {
            for text in texts {
                assert_eq!(read(text), exact, "{text}");
            }
        }
        assert_eq!(read("18446744073709551617"), read("18446744073709551617.0"));
        assert_eq!(read("1e400"), read("10e399"));
        for (one, other) in [
            ("18446744073709551617", "18446744073709551616"),
            ("18446744073709552000", "1.8446744073709552e19"),
            ("1e-400", "0"),
            ("1e-400", "1e-401"),
            ("1.00000000000000000001", "1"),
        ] {
            assert_ne!(read(one), read(other), "{one} {other}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let rising = [
            "-1e400",
            "-1.7976931348623157e308",
            "-18446744073709551617",
            "-18446744073709551616",
            "-9223372036854775809",
            "-9223372036854775808",
            "-1.5",
            "-1",
            "-1e-400",
            "0",
            "1e-400",
            "5e-324",
            "0.1",
            "0.1000000000000000055511151231257828",
            "1",
            "9007199254740992",
            "9007199254740992.5",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551616.5",
            "18446744073709551617",
            "1e23",
            "100000000000000000000000",
            "1e400",
        ];
        for (at, one) in rising.iter().enumerate() {
            for (than, other) in rising.iter().enumerate() {
                assert_eq!(read(one).compare(&read(other)), Some(at.cmp(&than)), "{one} {other}");
            }
        }
        assert_eq!(Exact::Double(f64::NAN).compare(&Exact::Int(0)), None);
        assert_eq!(Exact::Double(f64::INFINITY).compare(&read("1e400")), Some(Ordering::Greater));
        assert_eq!(read("1e400").compare(&Exact::Double(f64::NEG_INFINITY)), Some(Ordering::Greater));
    }

    #[test]
    fn the_id_of_a_number_has_its_digits() {
        let id = |text: &str| read(text).id();
        let forty = "1234567890123456789012345678901234567890";
        for (text, digits) in [
            ("-7", "-7"),
            ("1e2", "100"),
            ("-0.0", "0"),
            ("18446744073709551617", "18446744073709551617"),
            ("18446744073709551617.0", "18446744073709551617"),
            ("-1844674407370955161.7e1", "-18446744073709551617"),
            (forty, forty),
        ] {
            assert_eq!(id(text).as_deref(), Some(digits), "{text}");
        }
        assert_eq!(id("1e400").map(|id| id.len()), Some(401));
        for none in ["1.5", "1e-400", "1e402", "1e1000000000", "18446744073709551616.5"] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn a_double_holds_what_reads_the_same() {
        for held in
            ["0.1", "3.141592653589793", "1e23", "9007199254740992", "0.10000000000000000555", "1.7976931348623157e308"]
        {
            assert_eq!(double(held), Some(held.parse().unwrap()), "{held}");
        }
        for lost in ["9007199254740993", "18446744073709551617", "18446744073709552000", "1e400", "1e-400"] {
            assert_eq!(double(lost), None, "{lost}");
        }
        let long = format!("9007199254740992.{}", "0".repeat(900));
        assert_eq!(double(&long), Some(9_007_199_254_740_992.0), "zeros do not count");
        assert_eq!(double(&format!("{long}1")), None);
    }

    #[test]
    fn what_no_double_reaches_is_not_readable() {
        assert!(all_readable(&json!({"a": [1, 0.5, {"b": "1e999"}], "c": null})));
        let forty: Value = serde_json::from_str("[1234567890123456789012345678901234567890, 1e-400]").unwrap();
        assert!(all_readable(&forty));
        for beyond in ["1e999", "[[-1e309]]", "{\"a\":1e1000000000}", "1e-99999999999999999999"] {
            assert!(!all_readable(&serde_json::from_str(beyond).unwrap()), "{beyond}");
        }
    }
}
