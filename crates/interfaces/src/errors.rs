//! Errors any module can answer with, before its own rules are reached.

use alloy_sol_types::sol;

sol! {
    /// Refusals common to all modules.
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface ILedger {
        /// The module has no function with this selector.
        error UnknownSelector(bytes4 selector);
        /// The call data does not decode as the function's arguments.
        error MalformedCall(bytes4 selector);
        /// The function does not take OPEN with the call.
        error NotPayable();
        /// Calls between modules nest deeper than allowed.
        error CallTooDeep(uint256 limit);
        /// The module's own account does not hold what it owes: a defect, never a user's mistake.
        error Inconsistent(string what);
        /// A number left its range.
        error ArithmeticOverflow();
        /// A text is longer than the ledger stores.
        error TextTooLong(uint256 bytesGiven, uint256 bytesAllowed);
    }
}
