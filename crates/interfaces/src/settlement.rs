//! Settlement: batches of answered queries, the fee split and payouts (RULEBOOK R1, R14).

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::sol;

sol! {
    /// Settlement batches and the payouts they carry. Address `0x4f50…05`.
    ///
    /// Epochs of an escrow are numbered from 1 and last at least the epoch's time. One goes: `close` takes its income,
    /// `post` accounts for it, the challenge window passes, `finalise` splits the fees, `claim` pays the leaves.
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface ISettlement {
        /// `Closed`: income taken, no batch yet. `Posted`: in the challenge window. `Finalised`: paid. `Refuted`: a
        /// dispute was won against it.
        enum Status { None, Closed, Posted, Finalised, Refuted }

        /// When a leaf pays: at once, or linearly over the vesting time from finalisation on.
        enum Kind { Liquid, Vesting }

        /// What an operator posts for a closed epoch.
        ///
        /// `firstSequence` and `count` are the dense sequence numbers of the receipts, `receipts` their Merkle root,
        /// `folds` the root of the partial sums, `fees` their total, which is the epoch's income. `payouts` is the
        /// Merkle-sum root of the payout leaves, `payoutTotal` their sum and `payoutCount` their number.
        struct Batch {
            bytes32 model;
            uint64 epoch;
            uint64 firstSequence;
            uint64 count;
            bytes32 receipts;
            bytes32 folds;
            uint256 fees;
            bytes32 payouts;
            uint256 payoutTotal;
            uint64 payoutCount;
        }

        /// A batch as it stands. `bond` is the part of the operator's stake bound to it, `claimed` what its leaves have paid.
        struct Record {
            Status status;
            address operator;
            Batch batch;
            uint256 bond;
            uint64 postedAt;
            uint64 finaliseAt;
            uint64 finalisedAt;
            uint256 claimed;
        }

        /// A step of a Merkle-sum path: the sibling's digest and sum.
        struct SumNode { bytes32 digest; uint256 sum; }

        /// One payout leaf with its proof. The leaf's key is `keccak256("openledger payout v1" ‖ account ‖ kind)`.
        struct Leaf { uint64 index; address account; Kind kind; uint256 amount; SumNode[] path; }

        /// How a batch's fees are divided; the parts add up to the fees exactly.
        struct Split {
            uint256 data;
            uint256 developer;
            uint256 operator;
            uint256 auditors;
            uint256 validators;
            uint256 treasury;
            uint256 burned;
        }

        /// Ends the sender's epoch for a model: takes what its escrow holds as the income to account for. At most once
        /// an epoch and not while an earlier one is unposted. Later payments belong to the next.
        function close(bytes32 model) external returns (uint64 epoch, uint256 income);

        /// Posts the sender's batch for its closed epoch. The bond, fees / q, is bound in the sender's stake; the value
        /// sent is added to that stake first.
        function post(Batch calldata batch) external payable returns (bytes32 id);

        /// Splits the fees of a batch whose challenge window has passed. Anyone may call.
        function finalise(bytes32 id) external;

        /// Pays leaves of a finalised batch to the accounts they name, at most 256 a call. Anyone may call. A leaf paid already fails the call.
        function claim(bytes32 id, Leaf[] calldata leaves) external returns (uint256 paid);

        /// Pays `account` what has vested, looking at no more than 64 grants. Anyone may call.
        function release(address account) external returns (uint256 paid);

        function batch(bytes32 id) external view returns (Record memory);
        function batchId(address operator, bytes32 model, uint64 epoch) external view returns (bytes32);
        function isClaimed(bytes32 id, uint64 index) external view returns (bool);
        /// The next receipt's sequence number, the epoch closed last (from 1; 0: none), the time from which the next may be
        /// closed, and the income that waits for its batch.
        function progress(address operator, bytes32 model) external view returns (uint64 nextSequence, uint64 epoch, uint64 closeFrom, uint256 unposted);
        /// How the ledger would split these fees now, with nothing left of the data share.
        function quoteSplit(uint256 fees) external view returns (Split memory);
        /// Granted, vested so far and paid so far.
        function vesting(address account) external view returns (uint256 granted, uint256 vested, uint256 paid);
        /// The bond that a batch of these fees binds.
        function bondFor(uint256 fees) external view returns (uint256);

        event EpochClosed(address indexed operator, bytes32 indexed model, uint64 indexed epoch, uint256 income);
        event BatchPosted(bytes32 indexed id, address indexed operator, bytes32 indexed model, uint64 epoch, uint64 firstSequence, uint64 count, bytes32 receipts, uint256 fees, bytes32 payouts, uint256 payoutTotal, uint64 finaliseAt);
        event BatchFinalised(bytes32 indexed id, uint256 data, uint256 developer, uint256 operator, uint256 auditors, uint256 validators, uint256 treasury, uint256 burned);
        event BatchRefuted(bytes32 indexed id);
        event PayoutClaimed(bytes32 indexed id, address indexed account, uint64 index, Kind kind, uint256 amount);
        event VestingReleased(address indexed account, uint256 amount);
        event VestingClawedBack(address indexed account, uint256 amount);

        /// The sender has not offered this model.
        error NotOffered(address operator, bytes32 model);
        /// The last epoch was closed less than an epoch ago: wait.
        error EpochTooShort(uint64 closeFrom, uint64 time);
        /// An earlier epoch is closed and not posted.
        error EpochUnposted(uint64 epoch);
        /// The escrow holds nothing.
        error NoIncome(address escrow);
        /// The sender has no closed epoch of this number that waits for a batch.
        error EpochNotClosed(uint64 epoch);
        /// The batch's fees differ from the escrow's income of the epoch.
        error FeesDifferFromIncome(uint256 fees, uint256 income);
        /// Sequence numbers are dense: the batch must start where the last one ended, and hold a receipt.
        error SequenceGap(uint64 firstSequence, uint64 expected);
        /// A number is zero or past its limit.
        error LimitExceeded(string what, uint256 value, uint256 limit);
        /// The payouts add up to more than the data share.
        error PayoutsExceedData(uint256 payoutTotal, uint256 data);
        /// A root is missing, or one stands for nothing.
        error BadRoot(string which);
        /// No batch has this id.
        error UnknownBatch(bytes32 id);
        /// The batch is in another state than this needs.
        error WrongStatus(bytes32 id, Status status);
        /// The challenge window is open.
        error WindowOpen(uint64 finaliseAt, uint64 time);
        /// The leaf is not in the batch's payouts.
        error BadProof(bytes32 id, uint64 index);
        /// The leaf is paid already.
        error AlreadyClaimed(bytes32 id, uint64 index);
    }
}

/// The id of the batch of `operator`, `model` and `epoch`.
pub fn batch_id(operator: Address, model: B256, epoch: u64) -> B256 {
    keccak256(
        [b"openledger batch v1".as_slice(), operator.as_slice(), model.as_slice(), &epoch.to_be_bytes()]
            .concat(),
    )
}

/// The key of a payout leaf in the Merkle-sum tree: `primitives::merkle_sum::leaf(&payout_key(..), amount)`.
pub fn payout_key(account: Address, kind: ISettlement::Kind) -> B256 {
    keccak256([b"openledger payout v1".as_slice(), account.as_slice(), &[kind as u8]].concat())
}
