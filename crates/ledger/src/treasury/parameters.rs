//! The protocol's numbers, each with default and bounds.

use crate::{
    error::{Error, Result, ensure},
    storage::State,
    tables::PARAMETERS,
};
use alloy_primitives::U256;
use interfaces::{addresses, treasury::ITreasury};
use std::collections::BTreeMap;

macro_rules! parameters {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $default:expr, $least:expr, $most:expr;)*) => {
        /// A protocol number. Its id never changes meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Parameter { $($(#[$doc])* $variant = $id,)* }

        impl Parameter {
            /// Every parameter, in order of id.
            pub const ALL: &'static [Parameter] = &[$(Parameter::$variant,)*];

            /// Its name in genesis documents.
            pub const fn name(self) -> &'static str {
                match self { $(Parameter::$variant => $name,)* }
            }

            /// Its value unless genesis or governance set another.
            pub const fn default_value(self) -> u64 {
                match self { $(Parameter::$variant => $default,)* }
            }

            /// Least and most value it may take.
            pub const fn bounds(self) -> (u64, u64) {
                match self { $(Parameter::$variant => ($least, $most),)* }
            }
        }
    };
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

parameters! {
    /// Part of the fees that pays data contributors, in basis points (R1).
    DataBps = 1, "fee_data_bps", 4_000, 2_000, 8_000;
    /// Part of the fees that pays the model's developer (R1).
    DeveloperBps = 2, "fee_developer_bps", 2_000, 0, 5_000;
    /// Part of the fees that pays the operator, without the auditors' (R1).
    OperatorBps = 3, "fee_operator_bps", 2_300, 0, 5_000;
    /// Part of the fees that pays auditors, out of the operator's (R1).
    AuditorBps = 4, "fee_auditor_bps", 200, 0, 1_000;
    /// Part of the fees that pays validators (R1).
    ValidatorBps = 5, "fee_validator_bps", 500, 0, 2_000;
    /// Part of the fees that pays the treasury (R1).
    TreasuryBps = 6, "fee_treasury_bps", 500, 0, 2_000;
    /// Part of the fees that is burned (R1). Never zero: whoever owns every role still loses it.
    BurnBps = 7, "fee_burn_bps", 500, 100, 2_000;

    /// Least time between two epochs of an escrow, and the period of the validators' pay, in seconds (R14).
    EpochSeconds = 20, "epoch_seconds", HOUR, 1, DAY;
    /// Time to challenge a batch, in seconds (R14).
    ChallengeSeconds = 21, "challenge_seconds", DAY, 1, 30 * DAY;
    /// Time over which the later half of a payout vests, in seconds (R4).
    VestingSeconds = 22, "vesting_seconds", 30 * DAY, 30, 365 * DAY;
    /// Time stake takes to leave, in seconds (R8).
    UnbondingSeconds = 23, "unbonding_seconds", 21 * DAY, 1, 90 * DAY;
    /// Time from a commit until it counts as final and may be revealed, in seconds (R4).
    RevealDelaySeconds = 24, "reveal_delay_seconds", 2, 0, HOUR;
    /// Time from a commit until its reveal is too late, in seconds (R4).
    RevealWindowSeconds = 25, "reveal_window_seconds", DAY, 1, 7 * DAY;

    /// Shortest time in which a payer alone can withdraw from a channel, in seconds; the scheme's is 900 (R13).
    LeastWithdrawDelaySeconds = 26, "least_withdraw_delay_seconds", 15 * MINUTE, 1, DAY;

    /// Chance that a false receipt is audited and found, q = p(1 - r)d, in parts per million (R6).
    DetectionPpm = 40, "detection_ppm", 33_000, 1_000, 1_000_000;
    /// Least stake of an operator, in whole OPEN.
    LeastStakeOpen = 41, "operator_least_stake_open", 100, 0, 10_000_000;

    /// Most that a Datanet's shares may take of what its items earn, in basis points.
    DatanetShareBps = 60, "datanet_share_limit_bps", 2_000, 0, 5_000;
    /// Newest op set that disputes can execute; a training descriptor names one up to it.
    OpSet = 61, "op_set", 1, 1, 4_294_967_295;
}

/// The whole, in basis points.
pub const WHOLE_BPS: u64 = 10_000;

/// The fee shares, which add up to the whole.
pub const FEE_SHARES: [Parameter; 7] = [
    Parameter::DataBps,
    Parameter::DeveloperBps,
    Parameter::OperatorBps,
    Parameter::AuditorBps,
    Parameter::ValidatorBps,
    Parameter::TreasuryBps,
    Parameter::BurnBps,
];

impl Parameter {
    /// The parameter with this id.
    pub fn from_id(id: u16) -> Option<Parameter> {
        Parameter::ALL.iter().copied().find(|parameter| *parameter as u16 == id)
    }

    /// The parameter with this name.
    pub fn from_name(name: &str) -> Option<Parameter> {
        Parameter::ALL.iter().copied().find(|parameter| parameter.name() == name)
    }

    /// Its value now.
    pub fn get(self, state: &mut State) -> Result<u64> {
        let word = PARAMETERS.get(state, &(self as u16))?;
        Ok(if word.is_zero() { self.default_value() } else { (word - U256::from(1)).saturating_to() })
    }

    fn put(self, state: &mut State, value: u64) -> Result<()> {
        PARAMETERS.set(state, &(self as u16), U256::from(value) + U256::from(1))
    }

    fn admits(self, value: u64) -> bool {
        let (least, most) = self.bounds();
        (least..=most).contains(&value)
    }
}

/// Why a genesis document's parameters are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// No parameter has this name.
    #[error("no parameter is called `{0}`")]
    Unknown(String),
    /// Outside its bounds.
    #[error("parameter `{name}` is {value}; it must lie between {least} and {most}")]
    OutOfBounds { name: &'static str, value: u64, least: u64, most: u64 },
    /// The fee shares are not the whole.
    #[error("the fee shares add up to {0} basis points; they must be exactly 10000")]
    SharesNotWhole(u64),
    /// The window would close before it opens.
    #[error("`reveal_window_seconds` must be larger than `reveal_delay_seconds`")]
    RevealWindow,
}

/// Checks values by name, where those not named are the defaults.
pub fn check(values: &BTreeMap<String, u64>) -> std::result::Result<(), ParameterError> {
    for (name, value) in values {
        let parameter = Parameter::from_name(name).ok_or_else(|| ParameterError::Unknown(name.clone()))?;
        if !parameter.admits(*value) {
            let (least, most) = parameter.bounds();
            return Err(ParameterError::OutOfBounds { name: parameter.name(), value: *value, least, most });
        }
    }
    let value = |p: Parameter| values.get(p.name()).copied().unwrap_or(p.default_value());
    let shares = FEE_SHARES.iter().map(|p| value(*p)).sum();
    if shares != WHOLE_BPS {
        return Err(ParameterError::SharesNotWhole(shares));
    }
    if value(Parameter::RevealWindowSeconds) <= value(Parameter::RevealDelaySeconds) {
        return Err(ParameterError::RevealWindow);
    }
    Ok(())
}

/// Writes what genesis sets; runs in block 1.
pub(crate) fn at_genesis(state: &mut State, values: &BTreeMap<String, u64>) -> Result<()> {
    check(values).map_err(|_| Error::Inconsistent("the genesis document's parameters are invalid"))?;
    for (name, value) in values {
        if let Some(parameter) = Parameter::from_name(name) {
            parameter.put(state, *value)?;
        }
    }
    Ok(())
}

/// Moves parameters, all or none: governance's way in. Values are checked one by one and then together.
pub fn set(state: &mut State, changes: &[(Parameter, u64)]) -> Result<()> {
    for (parameter, value) in changes {
        let (least, most) = parameter.bounds();
        ensure(parameter.admits(*value), || {
            Error::rejected(ITreasury::OutOfBounds {
                name: parameter.name().into(),
                value: U256::from(*value),
                least: U256::from(least),
                most: U256::from(most),
            })
        })?;
    }
    let checkpoint = state.checkpoint();
    let outcome = put_all(state, changes);
    if outcome.is_err() {
        state.revert(checkpoint);
    }
    outcome
}

fn put_all(state: &mut State, changes: &[(Parameter, u64)]) -> Result<()> {
    for (parameter, value) in changes {
        let before = parameter.get(state)?;
        parameter.put(state, *value)?;
        state.emit(
            addresses::TREASURY,
            ITreasury::ParameterSet {
                id: *parameter as u16,
                name: parameter.name().into(),
                before: U256::from(before),
                value: U256::from(*value),
            },
        )?;
    }
    let mut shares = 0;
    for parameter in FEE_SHARES {
        shares += parameter.get(state)?;
    }
    ensure(shares == WHOLE_BPS, || Error::rejected(ITreasury::SharesNotWhole { bps: U256::from(shares) }))?;
    let delay = Parameter::RevealDelaySeconds;
    let (least, window) = (delay.get(state)? + 1, Parameter::RevealWindowSeconds.get(state)?);
    ensure(window >= least, || {
        Error::rejected(ITreasury::OutOfBounds {
            name: Parameter::RevealWindowSeconds.name().into(),
            value: U256::from(window),
            least: U256::from(least),
            most: U256::from(Parameter::RevealWindowSeconds.bounds().1),
        })
    })
}
