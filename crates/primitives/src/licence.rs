//! What licences allow: a table of SPDX licences and the uses each one grants.
//!
//! The table is small and careful: it answers for licences that data and models carry in practice, and a licence it does not know
//! grants nothing. It is a screen against mistakes that a licence's text makes plain, not advice on law.
//!
//! An expression (SPDX 2.3, annex D) joins ids with `AND`, `OR` and `WITH`, and may use parentheses. `AND` grants what both sides
//! grant, `OR` what either does (the user chooses), `WITH` an exception what its licence does.

/// A use that a model is offered for, or that an owner declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Use {
    /// To train a model on it, or to tune one from it.
    Train = 1,
    /// To charge for what the model answers.
    Commercial = 2,
    /// To hand out the model's weights.
    Distribute = 4,
    /// To show passages of it, word for word, beside answers.
    Quote = 8,
}

impl Use {
    /// Every use.
    pub const ALL: [Use; 4] = [Use::Train, Use::Commercial, Use::Distribute, Use::Quote];

    /// The bit of this use in a set.
    pub const fn bit(self) -> u32 {
        self as u32
    }

    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Use::Train => "training",
            Use::Commercial => "commercial use",
            Use::Distribute => "distribution of weights",
            Use::Quote => "quotation",
        }
    }
}

/// All uses as a set.
pub const ALL_USES: u32 = 15;
/// Longest expression that is read, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 1024;
/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 8;

/// What one licence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terms {
    /// Every use, with attribution at most.
    Permissive,
    /// Every use; what is derived and handed out carries the same licence.
    ShareAlike,
    /// Everything but to make money.
    NonCommercial,
    /// Everything but to make money; what is derived carries the same licence.
    NonCommercialShareAlike,
    /// May be passed on as it is, and nothing be made from it.
    NoDerivatives,
    /// As above and not for money.
    NonCommercialNoDerivatives,
}

impl Terms {
    fn grants(self) -> u32 {
        let all = ALL_USES;
        match self {
            Terms::Permissive | Terms::ShareAlike => all,
            Terms::NonCommercial | Terms::NonCommercialShareAlike => all & !Use::Commercial.bit(),
            Terms::NoDerivatives => Use::Commercial.bit() | Use::Quote.bit(),
            Terms::NonCommercialNoDerivatives => Use::Quote.bit(),
        }
    }

    fn shares_alike(self) -> bool {
        matches!(self, Terms::ShareAlike | Terms::NonCommercialShareAlike)
    }

    /// Why a use is not granted.
    fn reason(self, what: Use) -> &'static str {
        match (self, what) {
            (_, Use::Commercial) => "the licence is for non-commercial use only",
            (Terms::NoDerivatives | Terms::NonCommercialNoDerivatives, _) => {
                "the licence allows no derivatives"
            }
            _ => "the licence does not grant it",
        }
    }
}

/// Families of ids: a prefix up to the version, and its terms. The longest prefix wins.
const FAMILIES: &[(&str, Terms)] = &[
    ("0BSD", Terms::Permissive),
    ("AFL-", Terms::Permissive),
    ("AGPL-", Terms::ShareAlike),
    ("Apache-", Terms::Permissive),
    ("Artistic-2.0", Terms::Permissive),
    ("BSD-", Terms::Permissive),
    ("BSL-1.0", Terms::Permissive),
    ("CC-BY-", Terms::Permissive),
    ("CC-BY-NC-", Terms::NonCommercial),
    ("CC-BY-NC-ND-", Terms::NonCommercialNoDerivatives),
    ("CC-BY-NC-SA-", Terms::NonCommercialShareAlike),
    ("CC-BY-ND-", Terms::NoDerivatives),
    ("CC-BY-SA-", Terms::ShareAlike),
    ("CC-PDDC", Terms::Permissive),
    ("CC0-1.0", Terms::Permissive),
    ("CDLA-Permissive-", Terms::Permissive),
    ("CDLA-Sharing-", Terms::ShareAlike),
    ("ECL-2.0", Terms::Permissive),
    ("EPL-", Terms::ShareAlike),
    ("EUPL-", Terms::ShareAlike),
    ("GFDL-", Terms::ShareAlike),
    ("GPL-", Terms::ShareAlike),
    ("ISC", Terms::Permissive),
    ("LGPL-", Terms::ShareAlike),
    ("MIT", Terms::Permissive),
    ("MPL-", Terms::ShareAlike),
    ("ODC-By-", Terms::Permissive),
    ("ODbL-", Terms::ShareAlike),
    ("OGL-UK-", Terms::Permissive),
    ("PDDL-1.0", Terms::Permissive),
    ("PSF-2.0", Terms::Permissive),
    ("Python-2.0", Terms::Permissive),
    ("Unicode-", Terms::Permissive),
    ("Unlicense", Terms::Permissive),
    ("Zlib", Terms::Permissive),
];

/// Terms of one id; `None` when the table does not know it.
fn terms(id: &str) -> Option<Terms> {
    let id = id.strip_suffix('+').unwrap_or(id);
    let fits = |family: &str| match family.ends_with('-') {
        true => id.len() > family.len() && id.starts_with(family),
        false => id == family || id == "MIT-0" && family == "MIT",
    };
    let best = FAMILIES.iter().filter(|(family, _)| fits(family)).max_by_key(|(family, _)| family.len());
    best.map(|(_, terms)| *terms)
}

/// What forbids a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The use.
    pub what: Use,
    /// Why, in words.
    pub reason: &'static str,
}

/// The uses that a licence expression grants; none for one that cannot be read or is not known.
pub fn granted(expression: &str) -> u32 {
    evaluate(expression, None).map_or(0, |outcome| outcome.grants)
}

/// Checks that what is under `expression` may go into something under `target` that is offered for `uses`. The first use
/// forbidden is named.
pub fn check(expression: &str, uses: u32, target: &str) -> Result<(), Forbidden> {
    let first = Use::ALL.into_iter().find(|what| uses & what.bit() != 0).unwrap_or(Use::Train);
    let Some(outcome) = evaluate(expression, Some(target)) else {
        return Err(Forbidden {
            what: first,
            reason: "the licence is not known to the table, which then grants nothing",
        });
    };
    match Use::ALL.into_iter().find(|what| uses & what.bit() & !outcome.grants != 0) {
        Some(what) => {
            Err(Forbidden { what, reason: outcome.reason.unwrap_or("the licence does not grant it") })
        }
        None => Ok(()),
    }
}

/// What an expression comes to: uses granted, and why the first missing one is missing.
#[derive(Clone, Copy)]
struct Outcome {
    grants: u32,
    reason: Option<&'static str>,
}

fn evaluate(expression: &str, target: Option<&str>) -> Option<Outcome> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        return None;
    }
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, at: 0, target };
    let outcome = parser.either(0)?;
    (parser.at == tokens.len()).then_some(outcome)
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    at: usize,
    target: Option<&'a str>,
}

impl Parser<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|next| *next == token);
        self.at += usize::from(found);
        found
    }

    fn either(&mut self, depth: usize) -> Option<Outcome> {
        let mut left = self.both(depth)?;
        while self.eat("OR") {
            let right = self.both(depth)?;
            // The user chooses one side for all uses: the one that grants more.
            if right.grants.count_ones() > left.grants.count_ones() {
                left = right;
            }
        }
        Some(left)
    }

    fn both(&mut self, depth: usize) -> Option<Outcome> {
        let mut left = self.one(depth)?;
        while self.eat("AND") {
            let right = self.one(depth)?;
            left = Outcome { grants: left.grants & right.grants, reason: left.reason.or(right.reason) };
        }
        Some(left)
    }

    fn one(&mut self, depth: usize) -> Option<Outcome> {
        if self.eat("(") {
            let inner = (depth < MAX_DEPTH).then(|| self.either(depth + 1)).flatten()?;
            return self.eat(")").then_some(inner);
        }
        let id = *self.tokens.get(self.at)?;
        self.at += 1;
        if self.eat("WITH") {
            self.tokens.get(self.at)?;
            self.at += 1;
        }
        self.outcome(id, terms(id)?)
    }

    fn outcome(&self, id: &str, terms: Terms) -> Option<Outcome> {
        let grants = terms.grants();
        // What is derived under a sharing licence is handed out under the same one.
        let other = self.target.is_some_and(|target| target != id);
        if terms.shares_alike() && other {
            let grants = grants & !Use::Distribute.bit();
            let commercial = terms.grants() & Use::Commercial.bit() == 0;
            let reason = if commercial { terms.reason(Use::Commercial) } else { SAME_LICENCE };
            return Some(Outcome { grants, reason: Some(reason) });
        }
        let missing = Use::ALL.into_iter().find(|what| grants & what.bit() == 0);
        Some(Outcome { grants, reason: missing.map(|what| terms.reason(what)) })
    }
}

const SAME_LICENCE: &str = "what is derived must be handed out under the same licence";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_each_kind_of_licence_forbids() {
        let forbids = |licence, target| check(licence, ALL_USES, target).map_err(|f| (f.what, f.reason));
        for licence in ["MIT", "Apache-2.0", "CC-BY-4.0", "CC0-1.0", "MIT-0", "BSD-3-Clause"] {
            assert_eq!(forbids(licence, "MIT"), Ok(()), "{licence}");
        }
        let reason = |licence, target| forbids(licence, target).map_err(|(what, _)| what);
        assert_eq!(reason("CC-BY-NC-4.0", "MIT"), Err(Use::Commercial));
        assert_eq!(reason("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0"), Err(Use::Commercial));
        assert_eq!(reason("CC-BY-ND-4.0", "MIT"), Err(Use::Train));
        assert_eq!(reason("CC-BY-NC-ND-4.0", "MIT"), Err(Use::Train));
        assert_eq!(forbids("CC-BY-SA-4.0", "MIT"), Err((Use::Distribute, SAME_LICENCE)));
        assert_eq!(forbids("CC-BY-SA-4.0", "CC-BY-SA-4.0"), Ok(()));
        assert_eq!(reason("LicenseRef-mine", "MIT"), Err(Use::Train));
        assert_eq!(reason("MITx", "MIT"), Err(Use::Train));
    }

    #[test]
    fn expressions_choose_with_or_and_join_with_and() {
        assert_eq!(granted("MIT OR CC-BY-NC-4.0"), ALL_USES);
        assert_eq!(granted("MIT AND CC-BY-NC-4.0"), ALL_USES & !Use::Commercial.bit());
        assert_eq!(granted("(MIT OR Apache-2.0) AND CC-BY-4.0"), ALL_USES);
        assert_eq!(granted("GPL-2.0-only WITH Classpath-exception-2.0"), ALL_USES);
        for broken in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT Apache-2.0", "MIT AND OR MIT"] {
            assert_eq!(granted(broken), 0, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[A-Z()+. -]{0,60}|.{0,60}", uses: u32, target in ".{0,20}") {
            let _ = (granted(&text), check(&text, uses, &target));
        }

        #[test]
        fn joining_never_grants_more(a in 0..FAMILIES.len(), b in 0..FAMILIES.len()) {
            let id = |i: usize| format!("{}1.0", FAMILIES[i].0);
            let joined = granted(&format!("{} AND {}", id(a), id(b)));
            prop_assert_eq!(joined, granted(&id(a)) & granted(&id(b)));
        }
    }
}
