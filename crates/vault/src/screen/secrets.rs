//! Credentials by the shapes their issuers document.

use super::{Finding, Kind};
use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::LazyLock;

/// A token: its prefix, the alphabet that follows, and how many characters at least and at most.
struct Shape {
    prefix: &'static str,
    allowed: fn(u8) -> bool,
    least: usize,
    most: usize,
}

fn alphanumeric(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}
fn upper_or_digit(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}
fn url_safe(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

const SHAPES: &[Shape] = &[
    Shape { prefix: "AKIA", allowed: upper_or_digit, least: 16, most: 16 },
    Shape { prefix: "ASIA", allowed: upper_or_digit, least: 16, most: 16 },
    Shape { prefix: "ghp_", allowed: alphanumeric, least: 36, most: 36 },
    Shape { prefix: "gho_", allowed: alphanumeric, least: 36, most: 36 },
    Shape { prefix: "ghs_", allowed: alphanumeric, least: 36, most: 36 },
    Shape { prefix: "github_pat_", allowed: url_safe, least: 40, most: 100 },
    Shape { prefix: "glpat-", allowed: url_safe, least: 20, most: 64 },
    Shape { prefix: "xoxb-", allowed: url_safe, least: 20, most: 120 },
    Shape { prefix: "xoxp-", allowed: url_safe, least: 20, most: 120 },
    Shape { prefix: "AIza", allowed: url_safe, least: 35, most: 35 },
    Shape { prefix: "sk_live_", allowed: alphanumeric, least: 20, most: 120 },
    Shape { prefix: "rk_live_", allowed: alphanumeric, least: 20, most: 120 },
    Shape { prefix: "sk-ant-", allowed: url_safe, least: 40, most: 200 },
    Shape { prefix: "sk-proj-", allowed: url_safe, least: 40, most: 200 },
    Shape { prefix: "hf_", allowed: alphanumeric, least: 30, most: 60 },
    Shape { prefix: "npm_", allowed: alphanumeric, least: 36, most: 36 },
    Shape { prefix: "pypi-AgEIcHlwaS", allowed: url_safe, least: 40, most: 400 },
    Shape { prefix: "AGE-SECRET-KEY-1", allowed: upper_or_digit, least: 58, most: 58 },
    Shape { prefix: "SG.", allowed: |b| url_safe(b) || b == b'.', least: 60, most: 80 },
];

const KEY_BLOCK: &str = "-----BEGIN ";
const WEB_TOKEN: &str = "eyJ";

/// All that a credential can begin with, searched for at once: shapes by their number, then key blocks, then web tokens. None
/// begins with another.
static BEGINNINGS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let prefixes = SHAPES.iter().map(|shape| shape.prefix).chain([KEY_BLOCK, WEB_TOKEN]);
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(prefixes).expect("short literals")
});

/// All findings, in order.
pub fn find(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for beginning in BEGINNINGS.find_iter(text) {
        let start = beginning.start();
        found.extend(match SHAPES.get(beginning.pattern().as_usize()) {
            Some(shape) => token(text.as_bytes(), start, shape),
            None if text[start..].starts_with(WEB_TOKEN) => web_token(text, start),
            None => private_key(text, start),
        });
    }
    found
}

fn token(bytes: &[u8], start: usize, shape: &Shape) -> Option<Finding> {
    if start > 0 && url_safe(bytes[start - 1]) {
        return None;
    }
    let rest = &bytes[start + shape.prefix.len()..];
    let length = rest.iter().take(shape.most + 1).take_while(|b| (shape.allowed)(**b)).count();
    let fits = (shape.least..=shape.most).contains(&length) && varied(&rest[..length]);
    fits.then(|| Finding { kind: Kind::AccessToken, span: start..start + shape.prefix.len() + length })
}

/// Placeholders such as `xxxxxxxx` or `ABCABC` in documentation have few distinct characters.
fn varied(token: &[u8]) -> bool {
    let mut seen = [false; 256];
    token.iter().for_each(|b| seen[*b as usize] = true);
    seen.iter().filter(|s| **s).count() >= 8
}

fn private_key(text: &str, start: usize) -> Option<Finding> {
    let line = text[start..].lines().next().unwrap_or("");
    if !line.contains("PRIVATE KEY") {
        return None;
    }
    // A block without its body is documentation of the format.
    let body = &text[start + line.len()..];
    let encoded =
        body.trim_start().bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+/=\n\r".contains(b)).count();
    if encoded < 40 {
        return None;
    }
    let end = body.find("-----END ").map_or(text.len(), |at| {
        let end = start + line.len() + at;
        end + text[end..].find('\n').unwrap_or(text.len() - end)
    });
    Some(Finding { kind: Kind::PrivateKey, span: start..end })
}

/// Three base64url parts, the first two of which encode JSON objects.
fn web_token(text: &str, start: usize) -> Option<Finding> {
    let bytes = text.as_bytes();
    if start > 0 && (url_safe(bytes[start - 1]) || bytes[start - 1] == b'.') {
        return None;
    }
    let length = bytes[start..].iter().take(4096).take_while(|b| url_safe(**b) || **b == b'.').count();
    let parts: Vec<_> = text[start..start + length].split('.').collect();
    let fits =
        parts.len() == 3 && parts[1].starts_with(WEB_TOKEN) && parts[0].len() >= 16 && parts[2].len() >= 20;
    fits.then(|| Finding { kind: Kind::WebToken, span: start..start + length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_credentials_are_found() {
        // Written in two halves, so that scanners of this repository do not take them for real ones.
        for (text, kind) in [
            (format!("key={}{}", "AKIA", "Z3XQ7LM2PD9WV4KB"), Kind::AccessToken),
            (format!("token {}{}", "ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"), Kind::AccessToken),
            (
                format!(
                    "-----BEGIN {} KEY-----\n{}\n-----END X-----\n",
                    "PRIVATE", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"
                ),
                Kind::PrivateKey,
            ),
            (
                format!(
                    "eyJ{}.eyJ{}.{}",
                    "hbGciOiJIUzI1NiJ9", "zdWIiOiIxIn0", "c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw"
                ),
                Kind::WebToken,
            ),
        ] {
            let found = find(&text);
            assert_eq!(found.iter().map(|f| f.kind).collect::<Vec<_>>(), [kind], "{text}");
        }
    }

    #[test]
    fn no_beginning_hides_another() {
        // They are searched for at once, the leftmost wins: none may be part of another's beginning.
        for (i, a) in SHAPES.iter().enumerate() {
            for (j, b) in SHAPES.iter().enumerate() {
                assert!(i == j || !a.prefix.contains(b.prefix), "{} hides {}", a.prefix, b.prefix);
            }
        }
        let secret = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8";
        let text = format!("-----BEGIN {}{secret} SG.{}{secret}, {}{secret}", "ghp_", "gho_", "ghs_");
        assert_eq!(find(&text).len(), 3, "after a blank, a dot, a comma");
    }

    #[test]
    fn placeholders_in_documentation_are_not_credentials() {
        for text in [
            "AKIAXXXXXXXXXXXXXXXX",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "eyJ is how a token begins",
        ] {
            assert_eq!(find(text), [], "{text}");
        }
    }
}
