//! Whether a text is a point in time by RFC 3339 §5.6. Only the check: the text itself travels on, as it came.

/// `2026-01-31T12:00:00.123+01:00`; `t`, `z` and a space between date and time are allowed, as is a leap second.
pub(super) fn is_valid(text: &str) -> bool {
    parse(text.as_bytes()).is_some()
}

fn parse(text: &[u8]) -> Option<()> {
    let (date, rest) = text.split_at_checked(10)?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let month = within(two(m1, m2)?, 1, 12)?;
    within(two(d1, d2)?, 1, days(year, month))?;

    let (clock, rest) = rest.split_at_checked(9)?;
    let &[b'T' | b't' | b' ', h1, h2, b':', n1, n2, b':', s1, s2] = clock else { return None };
    hour_and_minute([h1, h2, n1, n2])?;
    within(two(s1, s2)?, 0, 60)?;

    let zone = match rest {
        [b'.', digits @ ..] => {
            let count = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
            digits.get(within(count, 1, digits.len())?..)?
        }
        zone => zone,
    };
    match *zone {
        [b'Z' | b'z'] => Some(()),
        [b'+' | b'-', h1, h2, b':', n1, n2] => hour_and_minute([h1, h2, n1, n2]),
        _ => None,
    }
}

fn days(year: usize, month: usize) -> usize {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn hour_and_minute([h1, h2, n1, n2]: [u8; 4]) -> Option<()> {
    within(two(h1, h2)?, 0, 23)?;
    within(two(n1, n2)?, 0, 59)?;
    Some(())
}

fn two(tens: u8, ones: u8) -> Option<usize> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn within(number: usize, least: usize, most: usize) -> Option<usize> {
    (least..=most).contains(&number).then_some(number)
}
