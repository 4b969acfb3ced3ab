//! Treasury: the protocol's numbers, its money, and what was burned.

use alloy_sol_types::sol;

sol! {
    /// Parameters, the treasury's balance and the pots that it keeps. Address `0x4f50…06`.
    ///
    /// Nothing here can be called to spend or to set: governance does so inside the ledger.
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface ITreasury {
        /// A protocol number with its bounds. `id` never changes meaning.
        struct Parameter { uint16 id; string name; uint256 value; uint256 least; uint256 most; }

        /// Money by purpose. `free` can be spent by governance; `validators` and `auditors` wait for their receivers.
        struct Balances { uint256 free; uint256 validators; uint256 auditors; }

        /// Totals since genesis: `received` from fees, `burned` of fees, `subsidies` and `spent` paid out, `toValidators` paid out.
        struct Totals { uint256 received; uint256 burned; uint256 subsidies; uint256 spent; uint256 toValidators; }

        function parameter(uint16 id) external view returns (Parameter memory);
        function parameters() external view returns (Parameter[] memory);
        function balances() external view returns (Balances memory);
        function totals() external view returns (Totals memory);
        /// What may still be paid as subsidies: half of what fees burned and paid in, less what was paid (R5).
        function subsidyAllowance() external view returns (uint256);

        event ParameterSet(uint16 indexed id, string name, uint256 before, uint256 value);
        event Received(bytes32 indexed source, uint256 treasury, uint256 validators, uint256 auditors, uint256 burned);
        event ValidatorPaid(address indexed validator, uint256 amount);
        event Spent(address indexed to, uint256 amount, bytes32 indexed purpose);
        event SubsidyPaid(address indexed to, uint256 amount, bytes32 indexed purpose);

        /// No parameter has this id.
        error UnknownParameter(uint16 id);
        /// The value is outside the parameter's bounds.
        error OutOfBounds(string name, uint256 value, uint256 least, uint256 most);
        /// The fee shares do not add up to the whole.
        error SharesNotWhole(uint256 bps);
        /// The treasury does not hold this much.
        error InsufficientTreasury(uint256 amount, uint256 free);
        /// Subsidies would pass half of what fees burned and paid in.
        error SubsidyCap(uint256 amount, uint256 allowance);
    }
}
