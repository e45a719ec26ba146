//! Judges what subscribers received by the sequence numbers inside the messages: nothing lost, nothing doubled, in order.

/// What is wrong with a received sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    Lost(u64),
    Doubled(u64),
    OutOfOrder { after: u64, came: u64 },
    Unexpected(u64),
}

/// Compares with `expected`, which must be strictly rising.
pub fn check(expected: &[u64], received: &[u64]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut highest = None;
    for &number in received {
        if !seen.insert(number) {
            faults.push(Fault::Doubled(number));
            continue;
        }
        if expected.binary_search(&number).is_err() {
            faults.push(Fault::Unexpected(number));
        }
        match highest {
            Some(after) if number < after => faults.push(Fault::OutOfOrder { after, came: number }),
            _ => highest = Some(number),
        }
    }
    faults.extend(expected.iter().filter(|number| !seen.contains(number)).map(|number| Fault::Lost(*number)));
    faults
}

#[test]
fn the_checker_accepts_a_perfect_sequence() {
    assert_eq!(check(&[1, 2, 3], &[1, 2, 3]), []);
}

#[test]
fn the_checker_finds_one_drop_one_double_and_one_inversion() {
    assert_eq!(check(&[1, 2, 3, 4], &[1, 2, 4]), [Fault::Lost(3)]);
    assert_eq!(check(&[1, 2, 3, 4], &[1, 2, 2, 3, 4]), [Fault::Doubled(2)]);
    assert_eq!(check(&[1, 2, 3, 4], &[1, 3, 2, 4]), [Fault::OutOfOrder { after: 3, came: 2 }]);
    assert_eq!(check(&[1, 2], &[1, 2, 9]), [Fault::Unexpected(9)]);
    assert_eq!(check(&[1, 2], &[]), [Fault::Lost(1), Fault::Lost(2)]);
}
