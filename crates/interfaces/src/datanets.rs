//! Datanets: collections of licensed data, contributed by commit and reveal (RULEBOOK R4).

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::sol;

sol! {
    /// Datanets, the contributions to them and their frozen versions. Address `0x4f50…02`.
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface IDatanets {
        /// Who admits a contribution: `Open` admits whatever is bonded and licensed as allowed, `Curated` asks a curator.
        enum Policy { Open, Curated }

        /// Where a contribution stands. `None`: not known. `Pending`: revealed, waiting for a curator.
        enum Status { None, Pending, Accepted, Rejected, Withdrawn }

        /// Part of what a Datanet's items earn that goes to `account` (its creator, its curators), in basis points.
        /// Proportional, hence neutral to how units are grouped into owners.
        struct Share { address account; uint16 bps; }

        /// What a Datanet is. `licences` are the SPDX expressions it allows, in the order given at creation.
        struct Datanet {
            address creator;
            Policy policy;
            uint64 createdAt;
            uint256 bondPerByte;
            bytes32 metadata;
            uint64 contributions;
            uint64 accepted;
            uint64 withdrawn;
            uint64 items;
            uint64 size;
            uint32 versions;
            string name;
            string[] licences;
            Share[] shares;
        }

        /// What an owner reveals. `root` is the Merkle root over the item leaves, `count` their number, `size`
        /// the plaintext bytes, `licence` one of the Datanet's, `uses` the declared uses (`primitives::licence`
        /// bits), `signatures` the root of the near-duplicate signatures (R3; zero if none).
        struct Reveal {
            bytes32 root;
            uint64 count;
            uint64 size;
            bytes32 salt;
            uint32 uses;
            bytes32 signatures;
            string licence;
        }

        /// A revealed contribution. `sequence` is the global position of its commit: the smaller one is the
        /// original. `bond` is what is still held; `duplicates` counts items settled as copies.
        struct Contribution {
            bytes32 datanet;
            address owner;
            Status status;
            uint64 sequence;
            uint64 commitHeight;
            uint64 commitTime;
            bytes32 root;
            uint64 count;
            uint64 size;
            uint32 uses;
            bytes32 signatures;
            uint256 bond;
            uint64 duplicates;
            uint64 bondFreeAt;
            string licence;
        }

        /// A commitment that waits for its reveal.
        struct Commitment { bytes32 datanet; uint64 sequence; uint64 height; uint64 time; uint256 bond; }

        /// A frozen version: every contribution accepted and not withdrawn when it was frozen. `accepted` and
        /// `withdrawn` are the roots of two Merkle mountain ranges over contribution leaves; `root` binds both
        /// and the counts. `licences` is a bit per allowed licence that the version's contributions carry.
        struct Version {
            bytes32 root;
            bytes32 accepted;
            uint64 acceptedCount;
            bytes32 withdrawn;
            uint64 withdrawnCount;
            uint64 items;
            uint64 size;
            uint64 frozenAt;
            uint32 licences;
        }

        /// Evidence that one leaf of a contribution holds an item: the facts that the leaf hashes (`vault`: salt, item,
        /// owner, licence, bytes of text, bytes of prompt) and its Merkle path, lowest sibling first.
        struct ItemEvidence {
            bytes32 contribution;
            uint64 index;
            bytes32 salt;
            address owner;
            string licence;
            uint64 size;
            uint64 promptSize;
            bytes32[] path;
        }

        /// Creates a Datanet owned by the sender; its id is `keccak256("openledger datanet v1" ‖ sender ‖ salt)`.
        /// At most 8 licences of 1 KiB, a name of 1 to 64 bytes, 8 shares that sum to the governed limit.
        function create(
            bytes32 salt,
            string name,
            Policy policy,
            string[] licences,
            uint256 bondPerByte,
            bytes32 metadata,
            Share[] shares
        ) external returns (bytes32 datanet);

        /// Lets `curator` accept and reject, or no longer. The creator alone, who is always a curator.
        function setCurator(bytes32 datanet, address curator, bool allowed) external;

        /// Commits to a contribution: `commitment = BLAKE3("openledger contribution commitment v1", root ‖ salt ‖
        /// owner)`. The value sent is the bond. The commit's place in the ledger is the contribution's priority.
        function commit(bytes32 datanet, bytes32 commitment) external payable returns (uint64 sequence);

        /// Reveals a commitment of the sender, not before it is final and within the reveal window. The bond must
        /// reach `size * bondPerByte`: send what is missing; what is too much returns. The contribution's id is its commitment.
        function reveal(bytes32 commitment, Reveal calldata what) external payable;

        /// Returns the bond of a commitment that was not revealed in time. Anyone may call.
        function expire(address owner, bytes32 commitment) external;

        /// Admits a pending contribution of a curated Datanet.
        function accept(bytes32 contribution) external;

        /// Refuses a pending contribution and returns its bond; `reason` is the hash of the published reason.
        function reject(bytes32 contribution, bytes32 reason) external;

        /// Takes a contribution out of later versions. Versions already frozen keep it; the bond stays for the unbonding time.
        function withdraw(bytes32 contribution) external;

        /// Returns the bond of a withdrawn contribution once it is free. Anyone may call.
        function releaseBond(bytes32 contribution) external;

        /// Proves that an item of a contribution stands in one committed earlier: both leaves open to `item`. The
        /// later item earns nothing from then on and its part of the bond is slashed.
        function reportDuplicate(bytes32 item, ItemEvidence calldata earlier, ItemEvidence calldata later) external;

        /// Freezes what is accepted now as the next version. Anyone may call; nothing new since the last is refused.
        function freeze(bytes32 datanet) external returns (uint32 version);

        function datanet(bytes32 datanet) external view returns (Datanet memory);
        function isCurator(bytes32 datanet, address account) external view returns (bool);
        function commitment(address owner, bytes32 commitment) external view returns (Commitment memory);
        function contribution(bytes32 contribution) external view returns (Contribution memory);
        /// The id of the `index`-th contribution revealed to a Datanet, from 0.
        function contributionAt(bytes32 datanet, uint64 index) external view returns (bytes32);
        /// The id of the `index`-th withdrawn contribution of a Datanet, from 0.
        function withdrawnAt(bytes32 datanet, uint64 index) external view returns (bytes32);
        /// Version `number`, from 1.
        function version(bytes32 datanet, uint32 number) external view returns (Version memory);
        /// The original of an item, or zero when it is not known as a copy.
        function duplicateOf(bytes32 contribution, uint64 index) external view returns (bytes32 original, uint64 originalIndex);
        /// Number of Datanets, and the `index`-th created.
        function count() external view returns (uint64);
        function datanetAt(uint64 index) external view returns (bytes32);

        event DatanetCreated(bytes32 indexed datanet, address indexed creator, Policy policy, uint256 bondPerByte, bytes32 metadata, string name);
        event CuratorSet(bytes32 indexed datanet, address indexed curator, bool allowed);
        event Committed(bytes32 indexed datanet, address indexed owner, bytes32 indexed commitment, uint64 sequence, uint256 bond);
        event Revealed(bytes32 indexed datanet, address indexed owner, bytes32 indexed contribution, bytes32 root, uint64 count, uint64 size, string licence);
        event Expired(bytes32 indexed datanet, address indexed owner, bytes32 indexed commitment, uint256 bond);
        event Accepted(bytes32 indexed datanet, bytes32 indexed contribution, address curator);
        event Rejected(bytes32 indexed datanet, bytes32 indexed contribution, address curator, bytes32 reason);
        event Withdrawn(bytes32 indexed datanet, bytes32 indexed contribution, uint64 bondFreeAt);
        event BondReleased(bytes32 indexed contribution, address indexed owner, uint256 amount);
        event DuplicateSettled(bytes32 indexed contribution, uint64 index, bytes32 indexed original, uint64 originalIndex, uint256 slashed, address indexed reporter);
        event VersionFrozen(bytes32 indexed datanet, uint32 indexed version, bytes32 root, uint64 contributions, uint64 items, uint64 size);

        /// No Datanet has this id.
        error UnknownDatanet(bytes32 datanet);
        /// The sender created a Datanet with this salt already.
        error DatanetExists(bytes32 datanet);
        /// A text or list is empty or past its limit.
        error LimitExceeded(string what, uint256 value, uint256 limit);
        /// The shares ask for more than the governed limit.
        error SharesTooLarge(uint256 bps, uint256 limit);
        /// Only the creator may do this.
        error NotCreator(bytes32 datanet, address sender);
        /// Only a curator may do this.
        error NotCurator(bytes32 datanet, address sender);
        /// The sender has committed to this already.
        error AlreadyCommitted(bytes32 commitment);
        /// Nothing waits under this owner and commitment.
        error UnknownCommitment(address owner, bytes32 commitment);
        /// The revealed values hash to something else than was committed.
        error CommitmentMismatch(bytes32 committed, bytes32 computed);
        /// The commit is not final yet.
        error RevealTooEarly(uint64 openAt, uint64 time);
        /// The reveal window has closed: expire the commitment and commit again.
        error RevealTooLate(uint64 closedAt, uint64 time);
        /// The reveal window is still open.
        error NotExpired(uint64 expiresAt, uint64 time);
        /// The bond does not reach the size times the bond per byte.
        error BondTooSmall(uint256 bond, uint256 required);
        /// The Datanet does not allow this licence.
        error LicenceNotAllowed(bytes32 datanet, string licence);
        /// The licence does not grant a use that the owner declares.
        error UseNotGranted(string licence, uint32 uses, uint32 granted);
        /// No contribution has this id.
        error UnknownContribution(bytes32 contribution);
        /// The contribution is in another state than this needs.
        error WrongStatus(bytes32 contribution, Status status);
        /// Only the owner may do this.
        error NotOwner(bytes32 contribution, address sender);
        /// The bond is not free yet.
        error BondLocked(bytes32 contribution, uint64 freeAt, uint64 time);
        /// The Merkle path does not lead to the contribution's root.
        error BadEvidence(bytes32 contribution, uint64 index);
        /// The contribution named as the original was not committed first.
        error NotEarlier(uint64 earlierSequence, uint64 laterSequence);
        /// The item is known as a copy already.
        error AlreadyDuplicate(bytes32 contribution, uint64 index);
        /// Nothing was accepted or withdrawn since the last version.
        error NothingToFreeze(bytes32 datanet);
        /// No such version.
        error UnknownVersion(bytes32 datanet, uint32 version);
    }
}

/// The id of the Datanet that `creator` makes with `salt`.
pub fn datanet_id(creator: Address, salt: B256) -> B256 {
    keccak256([b"openledger datanet v1".as_slice(), creator.as_slice(), salt.as_slice()].concat())
}
