//! Instants and days, and how they are written: ISO 8601, UTC, milliseconds, always.
//!
//! Owns the calendar (proleptic Gregorian, no leap seconds) and its text form. Refuses to know
//! what time it is: instants arrive with the stamp, and there is no clock in this crate.
//!
//! No dependency: a calendar crate such as chrono would bring time zones, locales and formatting
//! languages, many times the code of this file, for the one form we write and read.
//!
//! Invariant: within the years 1970 to 9999 text and number stand for each other exactly. Earlier
//! instants have no number and are refused when read; later ones are written as [`Time::MAX`].

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

const DAY_MS: u64 = 86_400_000;

/// Days from 0000-03-01 to 1970-01-01. Counting years from March puts the leap day last, which
/// is what makes the arithmetic below free of cases.
const MARCH_ZERO_TO_EPOCH: u32 = 719_468;

/// Days in the 400 years after which the calendar repeats.
const ERA_DAYS: u32 = 146_097;

/// An instant: milliseconds since 1970-01-01T00:00:00.000Z, leap seconds not counted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// 9999-12-31T23:59:59.999Z, the last instant with four digits for its year.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Appends `2026-01-01T00:00:05.000Z`: 24 characters. Instants behind [`Time::MAX`] are
    /// written like it.
    pub fn push_iso(self, out: &mut String) {
        out.push_str(ascii(&self.iso()));
    }

    /// So many milliseconds later.
    #[must_use]
    pub const fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The text of [`push_iso`](Self::push_iso).
    pub fn to_iso(self) -> String {
        String::from(ascii(&self.iso()))
    }

    /// Appends the UTC day, `2026-01-01`: 10 characters.
    pub fn push_day(self, out: &mut String) {
        self.day().push_iso(out);
    }

    /// Reads `YYYY-MM-DDTHH:MM:SSZ`, with no fraction or `.` and one to three digits. `None` for
    /// any other form, for dates the calendar does not have, for leap seconds, for other zones,
    /// and for instants before 1970.
    pub fn parse_iso(text: &str) -> Option<Self> {
        let (day, time) = text.as_bytes().split_first_chunk::<10>()?;
        let [b'T', h1, h2, b':', m1, m2, b':', s1, s2, fraction @ .., b'Z'] = time else {
            return None;
        };
        let ms = match fraction {
            [] => 0,
            [b'.', a] => number(&[*a, b'0', b'0'])?,
            [b'.', a, b] => number(&[*a, *b, b'0'])?,
            [b'.', a, b, c] => number(&[*a, *b, *c])?,
            _ => return None,
        };
        let hour = number(&[*h1, *h2]).filter(|hour| *hour < 24)?;
        let minute = number(&[*m1, *m2]).filter(|minute| *minute < 60)?;
        let second = number(&[*s1, *s2]).filter(|second| *second < 60)?;
        // At most 86,399,999: far from wrapping.
        let minutes = hour.wrapping_mul(60).wrapping_add(minute);
        let seconds = minutes.wrapping_mul(60).wrapping_add(second);
        let in_day = seconds.wrapping_mul(1_000).wrapping_add(ms);
        let Self(midnight) = Day::parse(day)?.first();
        Some(Self(midnight.saturating_add(u64::from(in_day))))
    }

    /// The UTC day this instant falls on.
    pub fn day(self) -> Day {
        // Clamped so that the cast is exact whatever a caller put in.
        Day((self.0.min(Self::MAX.0) / DAY_MS) as u32)
    }

    fn iso(self) -> [u8; 24] {
        let Self(ms) = self.min(Self::MAX);
        // Below 86,400,000: the cast is exact, and 32-bit divisions are the cheaper ones.
        let in_day = (ms % DAY_MS) as u32;
        let [y1, y2, y3, y4, _, m1, m2, _, d1, d2] = self.day().iso();
        let [h1, h2] = pair(in_day / 3_600_000);
        let [i1, i2] = pair(in_day / 60_000 % 60);
        let [s1, s2] = pair(in_day / 1_000 % 60);
        let [_, f1] = pair(in_day % 1_000 / 100);
        let [f2, f3] = pair(in_day % 100);
        [
            y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2,
            b'.', f1, f2, f3, b'Z',
        ]
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(&self.iso()))
    }
}

/// A UTC day: days since 1970-01-01.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Day(pub u32);

impl Day {
    /// 9999-12-31.
    pub const MAX: Self = Self(2_932_896);

    /// Appends `2026-01-01`: 10 characters. Days behind [`Day::MAX`] are written like it.
    pub fn push_iso(self, out: &mut String) {
        out.push_str(ascii(&self.iso()));
    }

    /// Reads exactly `YYYY-MM-DD`. `None` for any other form, for dates the calendar does not
    /// have, and for days before 1970.
    pub fn parse_iso(text: &str) -> Option<Self> {
        Self::parse(text.as_bytes().try_into().ok()?)
    }

    /// The day's first instant.
    pub fn first(self) -> Time {
        Time(u64::from(self.0).wrapping_mul(DAY_MS))
    }

    /// The day's last instant: bounds are inclusive in this system.
    pub fn last(self) -> Time {
        let Time(first) = self.first();
        Time(first.wrapping_add(DAY_MS - 1))
    }

    /// `YYYY-MM-DD` of the day count, by way of eras of 400 years that begin in March.
    fn iso(self) -> [u8; 10] {
        let days = self.0.min(Self::MAX.0).wrapping_add(MARCH_ZERO_TO_EPOCH);
        let era = days / ERA_DAYS;
        let day_of_era = days % ERA_DAYS;
        // Takes back the leap days (every 4 years, not every 100, but every 400) to divide by 365.
        let leap_days = (day_of_era / 1_460)
            .wrapping_sub(day_of_era / 36_524)
            .wrapping_add(day_of_era / 146_096);
        let year_of_era = day_of_era.wrapping_sub(leap_days) / 365;
        let day_of_year = day_of_era.wrapping_sub(days_before_year(year_of_era));
        // From March on, five months have 153 days: 31, 30, 31, 30, 31.
        let march_month = day_of_year.wrapping_mul(5).wrapping_add(2) / 153;
        let day = day_of_year.wrapping_sub(days_before_month(march_month)).wrapping_add(1);
        let (month, next_year) = match march_month {
            0..10 => (march_month.wrapping_add(3), 0),
            _ => (march_month.wrapping_sub(9), 1),
        };
        let year = era.wrapping_mul(400).wrapping_add(year_of_era).wrapping_add(next_year);
        let [y1, y2] = pair(year / 100);
        let [y3, y4] = pair(year % 100);
        let [m1, m2] = pair(month);
        let [d1, d2] = pair(day);
        [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]
    }

    fn parse(text: &[u8; 10]) -> Option<Self> {
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
        let year = number(&[*y1, *y2, *y3, *y4])?;
        let month = number(&[*m1, *m2])?;
        let day = number(&[*d1, *d2])?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let month_days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if year < 1970 || day == 0 || day > month_days {
            return None;
        }
        // The inverse of `iso`, in the same eras.
        let (march_month, march_year) = match month {
            3.. => (month.wrapping_sub(3), year),
            _ => (month.wrapping_add(9), year.wrapping_sub(1)),
        };
        let days = (march_year / 400)
            .wrapping_mul(ERA_DAYS)
            .wrapping_add(days_before_year(march_year % 400))
            .wrapping_add(days_before_month(march_month))
            .wrapping_add(day.wrapping_sub(1));
        days.checked_sub(MARCH_ZERO_TO_EPOCH).map(Self)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(&self.iso()))
    }
}

/// Days of an era before its year `year` (0 to 399).
fn days_before_year(year: u32) -> u32 {
    year.wrapping_mul(365).wrapping_add(year / 4).wrapping_sub(year / 100)
}

/// Days of a year from March before its month `month` (0 to 11).
fn days_before_month(month: u32) -> u32 {
    month.wrapping_mul(153).wrapping_add(2) / 5
}

/// The last two decimal digits of `n`.
fn pair(n: u32) -> [u8; 2] {
    // Remainders below 10: the casts are exact, and OR-ing onto '0' adds.
    [b'0' | (n / 10 % 10) as u8, b'0' | (n % 10) as u8]
}

/// The number that `digits` write, at most four of them.
fn number(digits: &[u8]) -> Option<u32> {
    let mut n = 0_u32;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    Some(n)
}

/// The bytes as text; everything written here is ASCII.
fn ascii(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    /// Instants and their texts, checked by hand against `date -u`.
    const PAIRS: &[(u64, &str)] = &[
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (86_399_999, "1970-01-01T23:59:59.999Z"),
        (86_400_000, "1970-01-02T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
        (1_767_225_605_000, "2026-01-01T00:00:05.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799_998, "9999-12-31T23:59:59.998Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ];

    #[test]
    fn text_and_number_stand_for_each_other() {
        for (ms, text) in PAIRS {
            assert_eq!(Time(*ms).to_iso(), *text);
            assert_eq!(Time(*ms).to_string(), *text);
            assert_eq!(Time::parse_iso(text), Some(Time(*ms)), "{text}");
            let mut out = String::from("x");
            Time(*ms).push_iso(&mut out);
            Time(*ms).push_day(&mut out);
            assert_eq!(out, format!("x{text}{}", text.split_at(10).0));
        }
        assert_eq!(Time::parse_iso("9999-12-31T23:59:59.999Z"), Some(Time::MAX));
    }

    #[test]
    fn instants_behind_the_last_are_written_like_it() {
        for ms in [Time::MAX.0, Time::MAX.0 + 1, u64::MAX] {
            assert_eq!(Time(ms).to_iso(), "9999-12-31T23:59:59.999Z");
            assert_eq!(Time(ms).day(), Day::MAX);
        }
        assert_eq!(Day(u32::MAX).to_string(), "9999-12-31");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..=Day::MAX.0 {
            let text = Day(number).to_string();
            assert_eq!(text, format!("{year:04}-{month:02}-{day:02}"));
            assert_eq!(Day::parse_iso(&text), Some(Day(number)));
            // The next day, by the schoolbook.
            let leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
            let days = [31, 28 + i32::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            day += 1;
            if day > days[month - 1] {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 1, 1));
    }

    #[test]
    fn fractions_may_be_short_or_missing() {
        for (fraction, ms) in
            [("", 0), (".0", 0), (".5", 500), (".50", 500), (".05", 50), (".005", 5), (".999", 999)]
        {
            let text = format!("1970-01-01T00:00:00{fraction}Z");
            assert_eq!(Time::parse_iso(&text), Some(Time(ms)), "{text}");
        }
    }

    #[test]
    fn other_forms_and_other_dates_are_refused() {
        for text in [
            "",
            "Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00z",
            "2026-01-01t00:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.0000Z",
            "2026-01-01T00:00:00,5Z",
            "2026-01-01T00:00:00.-5Z",
            " 2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z ",
            "2026-1-01T00:00:00Z",
            "+2026-01-01T00:00:00Z",
            "20260101T000000Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59.999Z",
            "0001-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "202\u{ff16}-01-01T00:00:00Z",
            "2026-01-01T0\u{661}:00:00Z",
            "1767225605000",
        ] {
            assert_eq!(Time::parse_iso(text), None, "{text}");
        }
        for text in ["", "2026-01-1", "2026-01-011", "2026/01/01", "2026-02-29", "1969-12-31"] {
            assert_eq!(Day::parse_iso(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_holds_its_instants() {
        for day in [Day(0), Day(20_454), Day::MAX] {
            assert_eq!((day.first().day(), day.last().day()), (day, day));
            assert_eq!(day.last().0 - day.first().0, 86_399_999);
        }
        assert_eq!(Day::MAX.last(), Time::MAX);
    }

    #[test]
    fn stored_as_its_number() {
        assert_eq!(serde_json::to_string(&Time(5)).ok().as_deref(), Some("5"));
        assert_eq!(serde_json::from_str::<Time>("5").ok(), Some(Time(5)));
    }
}
