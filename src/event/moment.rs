//! Times as events, logs and command lines have them, read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in RFC 3339: `2026-11-22T10:00:00.000001Z`, with an offset from UTC in the place of Z,
/// or shorter, which is in UTC: `2026-11-22`, `2026-11-22T10:00`. None where the text is none, or
/// before 1970.
pub fn moment(text: &str) -> Option<SystemTime> {
    let microseconds = microseconds(text)?;
    Some(UNIX_EPOCH + Duration::from_micros(microseconds))
}

/// The same in microseconds since 1970.
pub fn microseconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', ' ']).map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2).filter(|month| (1..=12).contains(month))?;
    let day = digits(parts.next()?, 2).filter(|day| (1..=31).contains(day))?;
    let days = days(i64::from(year), i64::from(month), i64::from(day))?;
    let (seconds, microseconds) = time.map_or(Some((0, 0)), time_of_day)?;
    let seconds = u64::try_from(days.checked_mul(86_400)?.checked_add(seconds)?).ok()?;
    Some(seconds * 1_000_000 + microseconds)
}

/// Seconds since midnight in UTC, which an offset may bring to another day, and microseconds.
fn time_of_day(text: &str) -> Option<(i64, u64)> {
    let (clock, offset) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => (&text[..at], offset(&text[at..])?),
        None => (text, 0),
    };
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, part)| (clock, Some(part)));
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = parts.next().map_or(Some(0), |second| digits(second, 2).filter(|second| *second <= 60))?;
    if parts.next().is_some() {
        return None;
    }
    let microseconds = match fraction {
        None => 0,
        Some(part) if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) => part
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(6)
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
        Some(_) => return None,
    };
    Some((i64::from(hour * 3600 + minute * 60 + second) - offset, microseconds))
}

/// An offset from UTC, in seconds.
fn offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let (hours, minutes) = text[1..].split_once(':')?;
    let hours = digits(hours, 2).filter(|hours| *hours < 24)?;
    let minutes = digits(minutes, 2).filter(|minutes| *minutes < 60)?;
    let seconds = i64::from(hours * 3600 + minutes * 60);
    Some(if text.starts_with('-') { -seconds } else { seconds })
}

fn digits(text: &str, count: usize) -> Option<u32> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.bytes().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

/// Days since 1970-01-01 in the Gregorian calendar: Howard Hinnant's `days_from_civil`. None where
/// the month has no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > length {
        return None;
    }
    // Years begin in March here, so that the leap day comes last.
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::super::time::utc;
    use super::*;

    #[test]
    fn what_events_write_is_read_back() {
        for seconds in (0..400 * 366 * 86_400u64).step_by(86_399 * 17) {
            let time = UNIX_EPOCH + Duration::from_micros(seconds * 1_000_000 + seconds % 1_000_000);
            assert_eq!(moment(&utc(time)), Some(time), "{}", utc(time));
        }
    }

    #[test]
    fn shorter_forms_and_offsets_are_read() {
        for (text, same) in [
            ("2026-11-22", "2026-11-22T00:00:00.000000Z"),
            ("2026-11-22T10:00", "2026-11-22T10:00:00.000000Z"),
            ("2026-11-22 10:00:01", "2026-11-22T10:00:01.000000Z"),
            ("2026-11-22T10:00:00.5Z", "2026-11-22T10:00:00.500000Z"),
            ("2026-11-22T10:00:00.123456789z", "2026-11-22T10:00:00.123456Z"),
            ("2026-11-22T01:30:00+02:00", "2026-11-21T23:30:00.000000Z"),
            ("2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00.000000Z"),
            ("2024-02-29", "2024-02-29T00:00:00.000000Z"),
        ] {
            assert_eq!(moment(text).map(utc).as_deref(), Some(same), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-02-29",
            "2026-11-31",
            "26-11-22",
            "2026-11-22T",
            "2026-11-22T24:00",
            "2026-11-22T10",
            "2026-11-22T10:60",
            "2026-11-22T10:00:00.Z",
            "1969-12-31",
            "2026-11-22T10:00:00+2",
            "2026-11-22T10:00:00:00",
            "yesterday",
            "2026-11-22T10:00:00Zx",
            "2026-1١-22",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
