//! Licences: SPDX expressions, what they oblige to, and whether a declared use is allowed.
//!
//! What each licence grants stands in [`primitives::licence`], which the ledger enforces; here are the expressions around it: their
//! canonical form, the choices they offer, and the obligations that a data card names. A licence without an SPDX id is written
//! `LicenseRef-Name`; the table does not know it, so it grants nothing until its terms are declared as [`CustomTerms`].

use crate::vault::VaultError;
use primitives::licence::{self as table, Use};
use serde::{Deserialize, Serialize};
use spdx::{Expression, ParseMode};

/// Longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 1024;

/// `expression` in canonical SPDX form: `MIT/Apache-2.0` becomes `MIT OR Apache-2.0`, deprecated GNU ids get their suffix.
///
/// # Errors
/// [`VaultError::Licence`] when it is not an SPDX expression. Licences without an SPDX id are written `LicenseRef-Name`.
pub fn normal(expression: &str) -> Result<String, VaultError> {
    let refuse =
        |reason: String| VaultError::Licence { expression: expression.chars().take(80).collect(), reason };
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(refuse(format!("longer than {MAX_EXPRESSION_BYTES} bytes")));
    }
    let canonical = Expression::canonicalize(expression)
        .map_err(|e| refuse(e.reason.to_string()))?
        .unwrap_or_else(|| expression.trim().to_string());
    Expression::parse_mode(&canonical, ParseMode::STRICT).map_err(|e| refuse(e.reason.to_string()))?;
    Ok(canonical)
}

/// Whether an item under `licence` may go into a Datanet that accepts `accepted` (nothing named: everything). Some choice
/// that the expression offers must consist of accepted licences alone.
pub fn accepted(licence: &str, accepted: &[String]) -> bool {
    if accepted.is_empty() || accepted.iter().any(|a| a == licence) {
        return true;
    }
    let Ok(expression) = Expression::parse_mode(licence, ParseMode::STRICT) else { return false };
    expression.evaluate(|requirement| accepted.iter().any(|a| *a == requirement.to_string()))
}

/// Terms of a licence that has no SPDX id, as its Datanet's owner declares them under bond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomTerms {
    /// Its `LicenseRef-` id.
    pub id: String,
    /// Uses that it grants, as bits of [`primitives::licence::Use`].
    pub grants: u32,
    /// Whether its authors must be named.
    pub attribution: bool,
    /// Whether what is derived must carry it.
    pub share_alike: bool,
    /// Share of revenue that it asks for, in hundredths of a percent.
    pub revenue_share_bps: u16,
    /// Uses that it forbids by name, as OpenRAIL licences do.
    pub restrictions: Vec<String>,
}

/// What a model will be used for, and the licence it will carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredUse {
    /// Uses, as bits of [`primitives::licence::Use`].
    pub uses: u32,
    /// The model's licence: a share-alike licence allows handing weights out under itself alone.
    pub target: String,
    /// Terms of licences without an SPDX id.
    pub custom: Vec<CustomTerms>,
}

impl DeclaredUse {
    /// Whether items under `expression` may be trained on for this use.
    ///
    /// # Errors
    /// The first use that is forbidden, with the reason in words.
    pub fn check(&self, expression: &str) -> Result<(), String> {
        if let Some(terms) = self.custom.iter().find(|terms| terms.id == expression) {
            return self.check_custom(terms);
        }
        table::check(expression, self.uses, &self.target)
            .map_err(|forbidden| format!("{}: {}", forbidden.what.name(), forbidden.reason))
    }

    fn check_custom(&self, terms: &CustomTerms) -> Result<(), String> {
        let mut granted = terms.grants;
        if terms.share_alike && self.target != terms.id {
            granted &= !Use::Distribute.bit();
        }
        match Use::ALL.into_iter().find(|what| self.uses & what.bit() & !granted != 0) {
            Some(what) => Err(format!("{}: the declared terms of {} do not grant it", what.name(), terms.id)),
            None => Ok(()),
        }
    }
}

/// What a licence asks of those who use it, for data cards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Obligations {
    /// To name the authors.
    pub attribution: bool,
    /// To hand out what is derived under the same licence.
    pub share_alike: bool,
    /// Not to earn money.
    pub non_commercial: bool,
    /// Not to derive anything.
    pub no_derivatives: bool,
    /// Whether the table knows every part of the expression.
    pub known: bool,
}

/// Licences that ask for nothing at all.
const WITHOUT_ATTRIBUTION: &[&str] = &["CC0-1.0", "0BSD", "MIT-0", "Unlicense", "PDDL-1.0", "CC-PDDC"];

/// Obligations of the lightest choice that an expression offers.
pub fn obligations(expression: &str) -> Obligations {
    let granted = table::granted(expression);
    let grants = |what: Use| granted & what.bit() != 0;
    let Ok(parsed) = Expression::parse_mode(expression, ParseMode::STRICT) else {
        return Obligations::default();
    };
    let free = parsed.evaluate(|r| WITHOUT_ATTRIBUTION.contains(&r.license.to_string().as_str()));
    // Handing out under a licence of one's own shows whether the expression insists on its own.
    let alike = grants(Use::Distribute)
        && table::check(expression, Use::Distribute.bit(), "LicenseRef-another").is_err();
    Obligations {
        attribution: !free,
        share_alike: alike,
        non_commercial: granted != 0 && !grants(Use::Commercial),
        no_derivatives: granted != 0 && !grants(Use::Train),
        known: granted != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_become_canonical_or_are_refused() {
        assert_eq!(normal("MIT/Apache-2.0").unwrap(), "MIT OR Apache-2.0");
        assert_eq!(normal("LicenseRef-OpenRAIL-M").unwrap(), "LicenseRef-OpenRAIL-M");
        for wrong in ["", "do what you want", "MIT AND", "(MIT", &"MIT OR ".repeat(500)] {
            assert!(matches!(normal(wrong), Err(VaultError::Licence { .. })), "{wrong}");
        }
    }

    #[test]
    fn one_offered_choice_must_be_accepted_as_a_whole() {
        let list = ["MIT".to_string(), "CC-BY-4.0".to_string()];
        assert!(accepted("MIT OR GPL-3.0-only", &list));
        assert!(!accepted("MIT AND GPL-3.0-only", &list));
        assert!(accepted("MIT AND CC-BY-4.0", &list));
        assert!(accepted("GPL-3.0-only", &[]));
    }

    #[test]
    fn a_declared_use_is_checked_with_its_reason() {
        let sell = DeclaredUse { uses: table::ALL_USES, target: "MIT".into(), custom: vec![] };
        assert_eq!(sell.check("MIT OR GPL-3.0-only"), Ok(()));
        assert!(sell.check("CC-BY-NC-4.0").unwrap_err().contains("non-commercial"));
        assert!(sell.check("CC-BY-SA-4.0").unwrap_err().contains("same licence"));
        assert!(sell.check("LicenseRef-OpenRAIL-M").unwrap_err().contains("not known"));
        let terms = CustomTerms {
            id: "LicenseRef-OpenRAIL-M".into(),
            grants: Use::Train.bit() | Use::Commercial.bit(),
            attribution: true,
            share_alike: false,
            revenue_share_bps: 0,
            restrictions: vec!["surveillance".into()],
        };
        let serve = DeclaredUse {
            uses: Use::Train.bit() | Use::Commercial.bit(),
            custom: vec![terms],
            ..sell.clone()
        };
        assert_eq!(serve.check("LicenseRef-OpenRAIL-M"), Ok(()));
        let hand_out = DeclaredUse { uses: table::ALL_USES, ..serve };
        assert!(hand_out.check("LicenseRef-OpenRAIL-M").unwrap_err().contains("distribution"));
    }

    #[test]
    fn obligations_are_those_of_the_lightest_choice() {
        assert_eq!(obligations("CC0-1.0"), Obligations { known: true, ..Obligations::default() });
        assert!(obligations("MIT").attribution && !obligations("MIT").share_alike);
        assert!(obligations("CC-BY-SA-4.0").share_alike);
        assert!(obligations("CC-BY-NC-4.0").non_commercial);
        assert!(obligations("CC-BY-ND-4.0").no_derivatives);
        assert!(!obligations("LicenseRef-mine").known);
    }
}
