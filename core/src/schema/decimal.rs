//! Numbers as they were sent: compared and divided exactly, whatever their length.
//!
//! Owns what a number token is worth. Refuses floating point: `0.0075` is a multiple of `0.0001`,
//! and 2^53 + 1 is not 2^53.
//!
//! Invariant: nothing here takes longer than reading the token, however large its exponent.

use core::cmp::Ordering;

/// Beyond this an exponent is not told apart from a larger one. [`minify`](crate::json::minify)
/// lets no number pass that is this large, only ones this small.
const EXPONENT_MAX: i64 = 1_000_000_000_000;

/// Digits of a divisor: with one more, a remainder would not fit into 64 bits.
const DIVISOR_DIGITS_MAX: usize = 18;

/// The value of a number token: ±0.d₁d₂d₃… × 10^point, the d's being all digits of `whole` and
/// then of `fraction`. Neither the first nor the last of them is zero; zero has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    point: i64,
}

impl<'a> Decimal<'a> {
    /// Reads a token.
    pub(super) fn of(token: &'a str) -> Self {
        let bytes = token.as_bytes();
        let (negative, bytes) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, bytes),
        };
        let end = bytes.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(bytes.len());
        let (mantissa, exponent) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        let dot = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
        let (whole, fraction) = mantissa.split_at_checked(dot).unwrap_or((mantissa, &[]));
        let whole = without_leading(whole);
        let fraction = without_trailing(fraction.get(1..).unwrap_or_default());
        let exponent = exponent_of(exponent.get(1..).unwrap_or_default());
        let mut made = Self { negative, whole, fraction, point: exponent };
        if whole.is_empty() {
            made.fraction = without_leading(fraction);
            let zeros = fraction.len().saturating_sub(made.fraction.len());
            made.point = exponent.saturating_sub_unsigned(zeros as u64);
        } else {
            made.point = exponent.saturating_add_unsigned(whole.len() as u64);
            if fraction.is_empty() {
                made.whole = without_trailing(whole);
            }
        }
        if made.is_zero() {
            (made.negative, made.point) = (false, 0);
        }
        made
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    fn count(&self) -> usize {
        self.whole.len().wrapping_add(self.fraction.len())
    }

    fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// Whether nothing is behind the point. `1.0` and `1e2` are integers.
    pub(super) fn is_integer(&self) -> bool {
        self.is_zero() || i64::try_from(self.count()).is_ok_and(|count| count <= self.point)
    }

    /// Whether it is above zero.
    pub(super) fn is_positive(&self) -> bool {
        !self.negative && !self.is_zero()
    }

    /// A whole number that is not negative; the largest there is when it is larger.
    pub(super) fn unsigned(&self) -> Option<u64> {
        if self.negative || !self.is_integer() {
            return None;
        }
        let mut left = self.point.clamp(0, 64);
        let mut n = 0_u64;
        let mut digits = self.digits();
        while left > 0 {
            let digit = digits.next().unwrap_or(b'0').wrapping_sub(b'0');
            n = n.saturating_mul(10).saturating_add(u64::from(digit));
            left = left.saturating_sub(1);
        }
        Some(n)
    }

    /// Writes the value so that equal numbers, and no others, have equal bytes.
    pub(super) fn canonical(&self, out: &mut alloc::vec::Vec<u8>) {
        out.push(if self.negative { b'-' } else { b'+' });
        out.extend(self.digits());
        out.push(b'e');
        out.extend(self.point.to_be_bytes());
    }

    /// How it compares with another.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let sign = |n: &Self| match (n.is_zero(), n.negative) {
            (true, _) => 0_i8,
            (false, true) => -1,
            (false, false) => 1,
        };
        let (own, others) = (sign(self), sign(other));
        let size = || self.point.cmp(&other.point).then_with(|| self.digits().cmp(other.digits()));
        own.cmp(&others).then_with(|| match own {
            0 => Ordering::Equal,
            1 => size(),
            _ => size().reverse(),
        })
    }

    /// 10 to what the last digit counts.
    fn last(&self) -> i64 {
        self.point.saturating_sub_unsigned(self.count() as u64)
    }
}

/// What a number can be divided by: digits × 10^exponent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor {
    digits: u64,
    exponent: i64,
}

impl Divisor {
    /// `None` when it is not above zero or has too many digits to calculate with.
    pub(super) fn of(token: &str) -> Option<Self> {
        let value = Decimal::of(token);
        if !value.is_positive() || value.count() > DIVISOR_DIGITS_MAX {
            return None;
        }
        let add = |n: u64, digit: u8| {
            n.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0')))
        };
        Some(Self { digits: value.digits().fold(0, add), exponent: value.last() })
    }

    /// Whether the number is a whole multiple.
    pub(super) fn divides(&self, number: &Decimal<'_>) -> bool {
        if number.is_zero() {
            return true;
        }
        // The number's last digit is not zero, so 10 does not divide it: when the divisor's last
        // digit counts more, there is no multiple.
        let Ok(tens) = u64::try_from(number.last().saturating_sub(self.exponent)) else {
            return false;
        };
        // Below 10^18, times 10, plus 9: fits.
        let shift = |rest: u64, digit: u8| {
            let digit = u64::from(digit.wrapping_sub(b'0'));
            rest.wrapping_mul(10).wrapping_add(digit).checked_rem(self.digits).unwrap_or(0)
        };
        let rest = number.digits().fold(0, shift);
        self.times(rest, self.power(tens)) == 0
    }

    fn times(&self, a: u64, b: u64) -> u64 {
        let product = u128::from(a).wrapping_mul(u128::from(b));
        let rest = product.checked_rem(u128::from(self.digits)).unwrap_or(0);
        // Smaller than the divisor, which has 64 bits.
        rest as u64
    }

    /// 10^exponent, by squaring.
    fn power(&self, exponent: u64) -> u64 {
        let (mut made, mut square, mut left) = (self.times(1, 1), self.times(10, 1), exponent);
        while left > 0 {
            if left & 1 == 1 {
                made = self.times(made, square);
            }
            square = self.times(square, square);
            left >>= 1;
        }
        made
    }
}

fn without_leading(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

fn without_trailing(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    digits.get(..digits.len().saturating_sub(zeros)).unwrap_or_default()
}

fn exponent_of(digits: &[u8]) -> i64 {
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, digits),
    };
    let add = |n: i64, digit: &u8| {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        n.saturating_mul(10).saturating_add(digit).min(EXPONENT_MAX)
    };
    let size = digits.iter().fold(0, add);
    if negative { size.saturating_neg() } else { size }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        let ascending = [
            "-1e308",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1",
            "-0.1",
            "-1e-400",
            "0",
            "1e-9999999999999999999999",
            "1e-400",
            "0.00999",
            "0.01",
            "0.9",
            "1",
            "1.0000000000000000000000001",
            "9.99",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e20",
            "1.7976931348623157e308",
        ];
        for (index, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                let found = Decimal::of(a).compare(&Decimal::of(b));
                assert_eq!(found, index.cmp(&other), "{a} and {b}");
            }
        }
        let equal = [
            ["1", "1.0", "1e0", "10e-1", "0.1e1", "0.0001E+4", "1.000"],
            ["0", "0.0", "-0", "0e5", "-0.000e-7", "0E999999999999", "0"],
            ["1200", "1.2e3", "12e2", "0.0012e6", "1200.0", "120000e-2", "12e+2"],
            ["-0.05", "-5e-2", "-0.5e-1", "-0.050", "-50e-3", "-0.005e1", "-5.0E-2"],
        ];
        for group in equal {
            let bytes = |token: &str| {
                let mut out = Vec::new();
                Decimal::of(token).canonical(&mut out);
                out
            };
            for other in group {
                let compared = Decimal::of(group[0]).compare(&Decimal::of(other));
                assert_eq!(compared, Ordering::Equal, "{other}");
                assert_eq!(bytes(group[0]), bytes(other), "{other}");
            }
        }
    }

    #[test]
    fn integers_are_known_and_read() {
        for (token, expected) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("2.0", Some(2)),
            ("1e3", Some(1000)),
            ("1.5e1", Some(15)),
            ("18446744073709551615", Some(u64::MAX)),
            ("1e300", Some(u64::MAX)),
            ("-1", None),
            ("1.5", None),
            ("1e-1", None),
            ("1e-999999999999999999", None),
        ] {
            assert_eq!(Decimal::of(token).unsigned(), expected, "{token}");
        }
        assert!(Decimal::of("-3.0").is_integer() && !Decimal::of("-3.01").is_integer());
    }

    #[test]
    fn multiples_are_exact() {
        let cases = [
            ("0.0075", "0.0001", true),
            ("0.00751", "0.0001", false),
            ("4.5", "1.5", true),
            ("35", "1.5", false),
            ("1e308", "0.123456789", false),
            ("12391239123", "1e-8", true),
            ("-21", "7", true),
            ("-22", "7", false),
            ("19.99", "0.01", true),
            ("9007199254740993", "2", false),
            ("123456789012345678901234567890", "30", true),
            ("100", "1e2", true),
            ("110", "1e2", false),
            ("0", "3", true),
            ("1e-5", "1e5", false),
            ("1e300", "999999999999999999", false),
            ("999999999999999999e12", "999999999999999999", true),
        ];
        for (number, divisor, expected) in cases {
            let divisor = Divisor::of(divisor).expect(divisor);
            assert_eq!(divisor.divides(&Decimal::of(number)), expected, "{number} {divisor:?}");
        }
        for token in ["0", "-1", "1234567890123456789", "0.0"] {
            assert!(Divisor::of(token).is_none(), "{token}");
        }
        assert!(Divisor::of("1000000000000000000000").is_some(), "only digits that matter count");
    }
}
