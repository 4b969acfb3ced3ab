//! Personal data by pattern and checksum.

use super::{Finding, Kind};
use std::ops::Range;

/// Domains that RFC 2606 and RFC 6761 reserve for examples, and hosts' no-reply addresses.
const EXAMPLE_DOMAINS: &[&str] = &["example.com", "example.org", "example.net", "users.noreply.github.com"];
const EXAMPLE_SUFFIXES: &[&str] = &[".example", ".test", ".invalid", ".localhost"];

/// All findings, in order.
pub fn find(text: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        emails(text).into_iter().map(|span| Finding { kind: Kind::Email, span }).collect();
    numbers(text.as_bytes(), &mut found);
    ibans(text.as_bytes(), &mut found);
    found.sort_by_key(|f| f.span.start);
    found
}

fn emails(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let local = |b: u8| b.is_ascii_alphanumeric() || b"._%+-".contains(&b);
    let host = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in memchr::memchr_iter(b'@', bytes) {
        let start = at - bytes[..at].iter().rev().take(64).take_while(|b| local(**b)).count();
        let mut end = at + 1 + bytes[at + 1..].iter().take(253).take_while(|b| host(**b)).count();
        while end > at + 1 && b".-".contains(&bytes[end - 1]) {
            end -= 1;
        }
        let domain = text[at + 1..end].to_ascii_lowercase();
        let Some((name, top)) = domain.rsplit_once('.') else { continue };
        let plausible = start < at
            && !name.is_empty()
            && (2..=24).contains(&top.len())
            && top.bytes().all(|b| b.is_ascii_alphabetic())
            && !domain.contains("..");
        // A user part of a URL (`git@host:`) names a service, not a person.
        let service = &text[start..at] == "git"
            || bytes.get(end) == Some(&b':') && start > 2 && bytes[start - 1] == b'/';
        let example = EXAMPLE_DOMAINS.contains(&domain.as_str())
            || EXAMPLE_SUFFIXES.iter().any(|s| domain.ends_with(s));
        if plausible && !service && !example && found.last().is_none_or(|last| last.end <= start) {
            found.push(start..end);
        }
    }
    found
}

/// The next place from `at` on with a digit or a plus sign. Looks at 32 bytes at a time, since most have none.
fn next_number(bytes: &[u8], mut at: usize) -> Option<usize> {
    let begins = |b: &u8| b.is_ascii_digit() | (*b == b'+');
    while let Some(block) = bytes.get(at..at + 32) {
        if block.iter().fold(false, |any, b| any | begins(b)) {
            break;
        }
        at += 32;
    }
    Some(at + bytes.get(at..)?.iter().position(begins)?)
}

/// Runs of digits joined by single blanks, dots, hyphens or brackets, classified as a whole.
fn numbers(bytes: &[u8], found: &mut Vec<Finding>) {
    let mut from = 0;
    while let Some(at) = next_number(bytes, from) {
        from = at + 1;
        if bytes[at] == b'+' && !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            continue;
        }
        if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || b"._/#=-".contains(&bytes[at - 1])) {
            continue; // Inside a word.
        }
        let (end, digits, count) = number_at(bytes, at);
        let digits = &digits[..count];
        let ends_in_word = bytes.get(end).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
        if !ends_in_word && let Some(kind) = classify(&bytes[at..end], digits) {
            found.push(Finding { kind, span: at..end });
        } else if ends_in_word && let Some(span) = spanish_id(bytes, at, end, digits) {
            found.push(Finding { kind: Kind::NationalId, span });
        }
        from = end.max(from);
    }
}

/// Longest run that is looked at, in bytes.
const MAX_NUMBER_BYTES: usize = 40;

/// Where the number that begins at `start` ends, its digits and how many.
fn number_at(bytes: &[u8], start: usize) -> (usize, [u8; MAX_NUMBER_BYTES], usize) {
    let (mut at, mut end, mut separators) = (start, start, 0);
    let (mut digits, mut count) = ([0; MAX_NUMBER_BYTES], 0);
    while at < bytes.len() && at - start < MAX_NUMBER_BYTES {
        match bytes[at] {
            b'0'..=b'9' => {
                digits[count] = bytes[at] - b'0';
                count += 1;
                separators = 0;
                end = at + 1;
            }
            b'+' if at == start => {}
            b' ' | b'-' | b'.' | b'(' | b')' if separators < 2 => separators += 1,
            _ => break,
        }
        at += 1;
    }
    (end, digits, count)
}

fn classify(run: &[u8], digits: &[u8]) -> Option<Kind> {
    let written = |pattern: &[usize], separator: u8| {
        run.split(|b| *b == separator).map(<[u8]>::len).eq(pattern.iter().copied())
    };
    if run[0] == b'+' {
        return (10..=15).contains(&digits.len()).then_some(Kind::Phone);
    }
    if (13..=19).contains(&digits.len()) && card_prefix(digits) && luhn(digits) && !run.contains(&b'.') {
        return Some(Kind::Card);
    }
    if digits.len() == 9 && written(&[3, 2, 4], b'-') {
        let (area, group, serial) = (&digits[..3], &digits[3..5], &digits[5..]);
        let valid =
            area != [0, 0, 0] && area != [6, 6, 6] && area[0] != 9 && group != [0, 0] && serial != [0; 4];
        return valid.then_some(Kind::NationalId);
    }
    if digits.len() == 11
        && run.len() == 14
        && run[3] == b'.'
        && run[7] == b'.'
        && run[11] == b'-'
        && cpf(digits)
    {
        return Some(Kind::NationalId);
    }
    // North American form: (415) 555-2671 without its opening bracket, or 415-555-2671.
    if digits.len() == 10 && written(&[3, 3, 4], b'-') && digits[0] >= 2 && digits[3] >= 2 {
        return Some(Kind::Phone);
    }
    None
}

/// First digits of the card networks in use.
fn card_prefix(digits: &[u8]) -> bool {
    let two = digits[0] * 10 + digits[1];
    match digits.len() {
        15 => matches!(two, 34 | 37),
        14 => matches!(two, 36 | 38 | 39),
        _ => {
            digits[0] == 4
                || (51..=55).contains(&two)
                || (22..=27).contains(&two)
                || matches!(two, 60 | 62 | 65 | 35)
        }
    }
}

/// ISO/IEC 7812-1 check digit.
fn luhn(digits: &[u8]) -> bool {
    let doubled = |d: u8| if d > 4 { d * 2 - 9 } else { d * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| u32::from(if i % 2 == 1 { doubled(*d) } else { *d }))
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|d| *d != digits[0])
}

/// Check digits of a Brazilian CPF.
fn cpf(digits: &[u8]) -> bool {
    let check = |upto: usize| {
        let sum: u32 = digits[..upto]
            .iter()
            .enumerate()
            .map(|(i, d)| u32::from(*d) * (upto as u32 + 1 - i as u32))
            .sum();
        (sum * 10 % 11 % 10) as u8
    };
    digits[9] == check(9) && digits[10] == check(10) && digits.iter().any(|d| *d != digits[0])
}

/// Eight digits and the letter that 23 divides out (Spanish DNI).
fn spanish_id(bytes: &[u8], start: usize, end: usize, digits: &[u8]) -> Option<Range<usize>> {
    const LETTERS: &[u8] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let letter = bytes.get(end).is_some_and(u8::is_ascii_uppercase);
    let closes = letter && bytes.get(end + 1).is_none_or(|b| !b.is_ascii_alphanumeric());
    if digits.len() != 8 || end - start != 8 || !closes {
        return None;
    }
    let number = digits.iter().fold(0u32, |n, d| n * 10 + u32::from(*d));
    (LETTERS[number as usize % 23] == bytes[end]).then_some(start..end + 1)
}

/// ISO 13616: two letters, two check digits, up to 30 letters and digits in groups; the number mod 97 is 1.
fn ibans(bytes: &[u8], found: &mut Vec<Finding>) {
    let mut from = 0;
    // The check digits are what is searched for: digits are rarer than capitals.
    while let Some(digit) = next_number(bytes, from) {
        from = digit + 1;
        let Some(at) = digit.checked_sub(2) else { continue };
        let starts = bytes[at].is_ascii_uppercase()
            && bytes[at + 1].is_ascii_uppercase()
            && bytes[digit].is_ascii_digit()
            && bytes.get(digit + 1).is_some_and(u8::is_ascii_digit)
            && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
        if starts && let Some(end) = iban_end(bytes, at) {
            found.push(Finding { kind: Kind::BankAccount, span: at..end });
            from = end;
        }
    }
}

/// Where the IBAN that begins at `at` ends.
fn iban_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (mut compact, mut count, mut end) = ([0; 34], 0, at);
    while end < bytes.len() && count < compact.len() {
        match bytes[end] {
            b if b.is_ascii_digit() || b.is_ascii_uppercase() => {
                compact[count] = b;
                count += 1;
            }
            b' ' if count % 4 == 0 => {}
            _ => break,
        }
        end += 1;
        if count >= 15
            && bytes.get(end).is_none_or(|b| !b.is_ascii_alphanumeric())
            && mod_97(&compact[..count]) == 1
        {
            return Some(end);
        }
    }
    None
}

fn mod_97(iban: &[u8]) -> u32 {
    iban[4..].iter().chain(&iban[..4]).fold(0, |rest, b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        _ => (rest * 100 + u32::from(b - b'A') + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        find(text).iter().map(|f| f.kind).collect()
    }

    #[test]
    fn each_kind_is_found_where_it_stands() {
        for (text, kind) in [
            ("mail <ann.lee+x@mail.corp.co.uk>.", Kind::Email),
            ("tel +44 20 7946 0958 now", Kind::Phone),
            ("call 415-555-2671 now", Kind::Phone),
            ("card 4111 1111 1111 1111.", Kind::Card),
            ("IBAN DE89 3704 0044 0532 0130 00, please", Kind::BankAccount),
            ("GB82WEST12345698765432", Kind::BankAccount),
            ("ssn 219-09-9999", Kind::NationalId),
            ("dni 12345678Z", Kind::NationalId),
            ("cpf 529.982.247-25", Kind::NationalId),
        ] {
            assert_eq!(kinds(text), [kind], "{text}");
        }
        let found = find("mail ann@corp.net, thanks");
        assert_eq!(found[0].span, 5..17);
    }

    #[test]
    fn a_wrong_check_digit_is_not_a_finding() {
        for text in ["4111 1111 1111 1112", "DE89 3704 0044 0532 0130 01", "12345678A", "529.982.247-26"] {
            assert_eq!(kinds(text), [], "{text}");
        }
    }

    #[test]
    fn examples_and_services_are_not_people() {
        for text in
            ["user@example.com", "git@github.com:a/b", "a@b", "foo @bar.com", "x@y..com", "@decorator.name"]
        {
            assert_eq!(kinds(text), [], "{text}");
        }
    }

    #[test]
    fn any_bytes_are_scanned_without_panic() {
        for text in ["@", "+", "+1", "AA00", "é@ü.com", "1(((((((((2", "\u{0}\u{ffff}@a.bc"] {
            let _ = find(text);
        }
    }
}
