//! Operators: who serves models, with which stake and at which prices (RULEBOOK R6).

use alloy_sol_types::sol;

sol! {
    /// Operators, their stake and their offers. Address `0x4f50…04`.
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface IOperators {
        /// `Active`: may offer and be paid. `Jailed`: convicted of a fault. `Leaving`: everything is unbonding.
        enum Status { None, Active, Jailed, Leaving }

        /// An operator. `stake` answers for faults; `locked` of it is bound as bonds of open batches; `unbonding` has left the
        /// stake and can still be slashed until it is paid out.
        struct Operator {
            Status status;
            uint64 registeredAt;
            uint256 stake;
            uint256 locked;
            uint256 unbonding;
            uint64 models;
            string endpoint;
        }

        /// An offer of a model. `escrow` is the account that buyers pay. `active` is false once withdrawn.
        struct Offer { bool active; address escrow; uint256 rateIn; uint256 rateOut; uint256 platformFee; }

        /// Stake on its way out: paid to the operator from `freeAt` on.
        struct Unbonding { uint256 amount; uint64 freeAt; }

        /// Registers the sender with the value sent as stake. `endpoint` is an https or http address of at most 256 bytes.
        function register(string calldata endpoint) external payable;

        /// Adds the value sent to the sender's stake.
        function addStake() external payable;

        /// Changes the sender's endpoint.
        function setEndpoint(string calldata endpoint) external;

        /// Offers a model at these rates, none below its developer's; changes them when offered already.
        function offer(bytes32 model, uint256 rateIn, uint256 rateOut, uint256 platformFee) external;

        /// Ends an offer. What its escrow holds is still settled.
        function withdrawOffer(bytes32 model) external;

        /// Starts to unbond stake that no batch and no unsettled revenue needs. The whole stake ends the registration.
        function unbond(uint256 amount) external returns (uint64 id);

        /// Pays out an unbonding whose time has passed. Anyone may call.
        function completeUnbond(address operator, uint64 id) external;

        function operator(address operator) external view returns (Operator memory);
        function offerOf(address operator, bytes32 model) external view returns (Offer memory);
        function unbonding(address operator, uint64 id) external view returns (Unbonding memory);
        /// The account that is paid for answers of `model` by `operator`: the last 20 bytes of
        /// `keccak256("openledger escrow v1" ‖ operator ‖ model)`. Only settlement spends it.
        function escrow(address operator, bytes32 model) external view returns (address);
        /// Unsettled revenue U: what its escrows hold and what its open batches carry.
        function unsettled(address operator) external view returns (uint256);
        /// The limit q * S on unsettled revenue.
        function limit(address operator) external view returns (uint256);
        /// Number of operators, and the `index`-th registered.
        function count() external view returns (uint64);
        function operatorAt(uint64 index) external view returns (address);
        /// The `index`-th model that an operator ever offered.
        function modelOf(address operator, uint64 index) external view returns (bytes32);

        event OperatorRegistered(address indexed operator, uint256 stake, string endpoint);
        event StakeAdded(address indexed operator, uint256 amount, uint256 stake);
        event EndpointSet(address indexed operator, string endpoint);
        event Offered(address indexed operator, bytes32 indexed model, address indexed escrow, uint256 rateIn, uint256 rateOut, uint256 platformFee);
        event OfferWithdrawn(address indexed operator, bytes32 indexed model);
        event UnbondStarted(address indexed operator, uint64 indexed id, uint256 amount, uint64 freeAt);
        event UnbondCompleted(address indexed operator, uint64 indexed id, uint256 amount);
        event StakeLocked(address indexed operator, bytes32 indexed batch, uint256 amount);
        event StakeUnlocked(address indexed operator, bytes32 indexed batch, uint256 amount);
        event Slashed(address indexed operator, uint256 amount);
        event Jailed(address indexed operator);

        /// The account is no operator.
        error NotOperator(address account);
        /// The account is registered already: use `addStake`.
        error AlreadyOperator(address account);
        /// The operator is jailed or leaving.
        error NotActive(address operator, Status status);
        /// The stake is below the least.
        error StakeTooSmall(uint256 stake, uint256 least);
        /// A text or list is empty or past its limit.
        error LimitExceeded(string what, uint256 value, uint256 limit);
        /// The endpoint is not an http or https address.
        error BadEndpoint(string endpoint);
        /// The model cannot be served: it does not exist, is not finalised, or is retired.
        error ModelNotReady(bytes32 model);
        /// The offer's rate is below the developer's.
        error RateTooLow(string rate, uint256 offered, uint256 least);
        /// The model is not offered by this operator.
        error NotOffered(address operator, bytes32 model);
        /// More is asked than is free: `free` is the stake that neither batches nor unsettled revenue need.
        error StakeInUse(uint256 amount, uint256 free);
        /// No such unbonding.
        error UnknownUnbonding(address operator, uint64 id);
        /// The unbonding's time has not passed.
        error StillUnbonding(uint64 freeAt, uint64 time);
        /// Unsettled revenue would pass the limit q * S (R6): add stake or settle first.
        error RevenueLimit(address operator, uint256 unsettled, uint256 limit);
    }
}
