//! Licences: SPDX expressions.

use crate::vault::VaultError;
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
}
