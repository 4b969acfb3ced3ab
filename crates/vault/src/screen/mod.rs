//! Screening: what should not go into a training set unseen.
//!
//! [`screen`] finds personal data ([`personal`]: pattern and, where the kind has one, checksum), secrets ([`secrets`]: the prefixes and
//! shapes of known credentials) and junk ([`junk`]: unreadable, machine-made or repeated text). A Datanet's [`Policy`] says for
//! each class whether findings are reported, redacted or reject the item. A finding keeps place and kind, never the
//! matched text, so a report can be shown to anybody.

pub mod junk;
pub mod personal;
pub mod secrets;

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An e-mail address outside the domains reserved for examples.
    Email,
    /// A telephone number in international form.
    Phone,
    /// A payment card number with a valid check digit.
    Card,
    /// A bank account number (IBAN) with valid check digits.
    BankAccount,
    /// A national identity number: US social security, Spanish DNI, Brazilian CPF.
    NationalId,
    /// A private key block.
    PrivateKey,
    /// An access token or API key of a known service.
    AccessToken,
    /// A signed web token (JWT).
    WebToken,
    /// Mostly unreadable characters.
    Unreadable,
    /// Encoded data: long runs without blanks, such as base64 or hexadecimal.
    EncodedData,
    /// The same lines or words over and over.
    Repetitive,
    /// Nothing to learn from: no letters at all.
    Empty,
}

/// The class of a kind, which a policy treats alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Data about a person.
    Personal,
    /// A credential.
    Secret,
    /// Nothing worth learning from.
    Junk,
}

impl Kind {
    /// Its class.
    pub const fn class(self) -> Class {
        match self {
            Kind::Email | Kind::Phone | Kind::Card | Kind::BankAccount | Kind::NationalId => Class::Personal,
            Kind::PrivateKey | Kind::AccessToken | Kind::WebToken => Class::Secret,
            Kind::Unreadable | Kind::EncodedData | Kind::Repetitive | Kind::Empty => Class::Junk,
        }
    }

    /// What a person calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Email => "e-mail",
            Kind::Phone => "phone",
            Kind::Card => "card",
            Kind::BankAccount => "bank account",
            Kind::NationalId => "national id",
            Kind::PrivateKey => "private key",
            Kind::AccessToken => "access token",
            Kind::WebToken => "web token",
            Kind::Unreadable => "unreadable characters",
            Kind::EncodedData => "encoded data",
            Kind::Repetitive => "repetitive text",
            Kind::Empty => "no text",
        }
    }

    /// What takes its place when redacted.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Kind::Email => "[email]",
            Kind::Phone => "[phone]",
            Kind::Card => "[card]",
            Kind::BankAccount => "[bank account]",
            Kind::NationalId => "[national id]",
            Kind::PrivateKey => "[private key]",
            Kind::AccessToken | Kind::WebToken => "[access token]",
            Kind::Unreadable | Kind::EncodedData | Kind::Repetitive | Kind::Empty => "",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One finding: what and where, in bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// Where; the whole text for junk.
    pub span: Range<usize>,
}

/// What a Datanet does with a class of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Keep the item and say so in the report.
    Report,
    /// Replace what was found by its kind. Junk cannot be redacted and is rejected instead.
    Redact,
    /// Leave the item out and say so in the report.
    Reject,
}

/// What a Datanet does with each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Personal data.
    pub personal: Action,
    /// Credentials.
    pub secret: Action,
    /// Junk.
    pub junk: Action,
}

impl Default for Policy {
    /// Personal data is redacted; items with secrets and junk are left out.
    fn default() -> Policy {
        Policy { personal: Action::Redact, secret: Action::Reject, junk: Action::Reject }
    }
}

impl Policy {
    /// The action for a class.
    pub const fn action(&self, class: Class) -> Action {
        match class {
            Class::Personal => self.personal,
            Class::Secret => self.secret,
            Class::Junk => self.junk,
        }
    }
}

/// Everything found in `text`, in order of place; spans do not overlap within a class of pattern.
pub fn screen(text: &str) -> Vec<Finding> {
    let mut findings = secrets::find(text);
    findings.extend(personal::find(text));
    findings.extend(junk::judge(text).map(|kind| Finding { kind, span: 0..text.len() }));
    findings.sort_by_key(|f| (f.span.start, f.span.end));
    findings
}

/// What a policy makes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes in as it is.
    Keep,
    /// Goes in as this text.
    Redacted {
        /// The text with placeholders.
        text: String,
        /// Where its prompt ends now.
        prompt_bytes: usize,
    },
    /// Stays out because of the first of these kinds.
    Reject(Kind),
}

/// Applies `policy` to the findings of a text whose first `prompt_bytes` are prompt.
pub fn apply(policy: &Policy, text: &str, prompt_bytes: usize, findings: &[Finding]) -> Verdict {
    for finding in findings {
        let class = finding.kind.class();
        let action = policy.action(class);
        if action == Action::Reject || (class == Class::Junk && action == Action::Redact) {
            return Verdict::Reject(finding.kind);
        }
    }
    let redact: Vec<_> =
        findings.iter().filter(|f| policy.action(f.kind.class()) == Action::Redact).collect();
    if redact.is_empty() {
        return Verdict::Keep;
    }
    let (mut out, mut at, mut prompt) = (String::with_capacity(text.len()), 0, prompt_bytes);
    for finding in redact {
        if finding.span.start < at {
            continue; // Inside what was replaced already.
        }
        let before = out.len() + finding.span.start - at;
        out.push_str(&text[at..finding.span.start]);
        out.push_str(finding.kind.placeholder());
        at = finding.span.end;
        if at <= prompt_bytes {
            prompt = prompt_bytes - at + out.len();
        } else if finding.span.start < prompt_bytes {
            prompt = before; // It crosses the border: what is left of it counts as completion.
        }
    }
    out.push_str(&text[at..]);
    Verdict::Redacted { text: out, prompt_bytes: prompt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redaction_replaces_what_was_found_and_moves_the_prompt_border() {
        let text = "write to ann@corp.net please\nwill do, bob@corp.net";
        let border = text.find("will").unwrap();
        let Verdict::Redacted { text: redacted, prompt_bytes } =
            apply(&Policy::default(), text, border, &screen(text))
        else {
            panic!("two addresses")
        };
        assert_eq!(redacted, "write to [email] please\nwill do, [email]");
        assert!(redacted[prompt_bytes..].starts_with("will"));
    }

    #[test]
    fn a_policy_that_only_reports_keeps_the_text() {
        let policy = Policy { personal: Action::Report, secret: Action::Report, junk: Action::Report };
        let text = "ann@corp.net";
        assert_eq!(apply(&policy, text, 0, &screen(text)), Verdict::Keep);
    }

    #[test]
    fn ordinary_prose_and_code_have_no_findings() {
        for text in [
            "Call `Vec::with_capacity(10)`; versions 1.2.3 and 2026-10-05 are fine, as is 192.168.0.1.",
            "# Title\n\nA paragraph of ordinary words about nothing in particular, twice as long as it needs to be.",
            "let x = a[0x7fff_ffff] + 12345678; // see user@example.com",
        ] {
            assert_eq!(screen(text), [], "{text}");
        }
    }
}
