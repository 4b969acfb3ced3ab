//! How values are shown to people.

use alloy_primitives::{Address, B256, U256};
use primitives::Amount;

/// `0x1234…cdef`.
pub fn short(text: &str) -> String {
    if text.len() <= 14 || !text.is_ascii() {
        return text.to_string();
    }
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

/// A hash or address in short form.
pub fn short_hash(hash: &B256) -> String {
    short(&hash.to_string())
}

/// An address in short form.
pub fn short_address(address: &Address) -> String {
    short(&address.to_string())
}

/// Units as OPEN with at most six digits after the point.
pub fn open(units: U256) -> String {
    let Some(amount) = Amount::from_word(units) else { return format!("{units} units") };
    let text = amount.to_string();
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.len() > 6 => {
            let cut = fraction[..6].trim_end_matches('0');
            match (whole, cut) {
                ("0", "") => "< 0.000001".into(),
                (_, "") => group(whole),
                _ => format!("{}.{cut}", group(whole)),
            }
        }
        Some((whole, fraction)) => format!("{}.{fraction}", group(whole)),
        None => group(&text),
    }
}

/// Digits in groups of three.
pub fn group(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Parts per million as a percentage.
pub fn percent(ppm: u32) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

/// Unix seconds as `2026-11-20 12:00:00 UTC` (proleptic Gregorian calendar; Howard Hinnant, "chrono-compatible low-level date
/// algorithms", civil_from_days).
pub fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days as i64 + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_cut_and_grouped() {
        assert_eq!(open(Amount::open(1_234_567).to_word()), "1,234,567");
        assert_eq!(open(U256::from(1)), "< 0.000001");
        assert_eq!(open(U256::from(1_500_000_000_000_000_000u128)), "1.5");
        assert_eq!(open(U256::from(1_234_567_890_123_456_789u128)), "1.234567");
    }

    #[test]
    fn times_are_calendar_times() {
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(time(1_795_132_799), "2026-11-19 23:59:59 UTC");
    }

    #[test]
    fn parts_per_million_are_percentages() {
        assert_eq!(percent(123_456), "12.34 %");
    }
}
