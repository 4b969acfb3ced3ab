//! Models: manifests, lineage, training runs and their commitments.

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::sol;

sol! {
    /// Models and how they were trained. Address `0x4f50…03`.
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface IModels {
        /// `Imported`: known from outside, its developer unproven. `Registered`: no training yet. `Training`:
        /// a descriptor stands. `Ready`: finalised, may be served. `Retired`: takes no new offers.
        enum Status { None, Imported, Registered, Training, Ready, Retired }

        /// A model to be registered. `manifest` is the hash of its published manifest (`primitives` domain Model), `base` the
        /// model it is tuned from (zero: from scratch), `baseShareBps` the part of the developer's share that the base's
        /// developers get by the base's licence, `uses` the uses it will be offered for.
        struct Registration {
            bytes32 manifest;
            bytes32 base;
            uint16 baseShareBps;
            uint32 uses;
            string licence;
            string name;
        }

        /// One frozen version of a Datanet.
        struct DatanetVersion { bytes32 datanet; uint32 version; }

        /// What a run will do, fixed before it starts. `hyperparameters` is the hash of the published hyperparameters;
        /// `maxUnreviewed` the most items without review that it takes (R11; the maximum of the type: no limit, and buyers see it).
        struct Descriptor {
            bytes32 hyperparameters;
            uint32 opSet;
            uint64 steps;
            uint64 maxUnreviewed;
            DatanetVersion[] data;
        }

        /// The training of a model. `seed` is zero until the beacon of the next block draws it. `checkpoints` is the root
        /// of the Merkle mountain range over the checkpoint leaves.
        struct Training {
            Descriptor descriptor;
            bytes32 descriptorDigest;
            uint64 registeredHeight;
            bytes32 seed;
            uint64 checkpointCount;
            bytes32 checkpoints;
            uint64 lastStep;
            bytes32 lastRoot;
            bytes32 lastChain;
        }

        /// The attribution cache, committed before the first query (R2c to e). `root` binds the features and the item
        /// order, `curvature` the factors; `floor`, `cap` and `damping` are the bits of binary64 numbers, opaque to the ledger.
        struct Cache { bytes32 root; bytes32 curvature; uint64 floor; uint64 cap; uint64 damping; }

        /// Prices in the smallest unit: per 1,000 tokens read, per 1,000 written, and flat per query.
        struct Rates { uint256 rateIn; uint256 rateOut; uint256 platformFee; }

        /// What is known of a model.
        struct Model {
            Status status;
            address developer;
            bytes32 manifest;
            bytes32 base;
            uint16 baseShareBps;
            uint32 uses;
            uint64 registeredAt;
            bytes32 finalRoot;
            Cache cache;
            Rates rates;
            string licence;
            string name;
        }

        /// Registers a model of the sender; its id is `keccak256("openledger model v1" ‖ sender ‖ manifest)`.
        function register(Registration calldata what) external returns (bytes32 model);

        /// Records a model from outside, so that others can be tuned from it. What its developers earn by
        /// lineage is held until they prove control. Its id is `keccak256("openledger model v1" ‖ address(0) ‖ manifest)`.
        function importModel(bytes32 manifest, uint32 uses, string calldata licence, string calldata name) external returns (bytes32 model);

        /// Fixes the training descriptor. Refused when a licence forbids a declared use ([`LicenceForbids`] names it). The
        /// seed is drawn by the next block, so that nobody can pick it.
        function describe(bytes32 model, Descriptor calldata descriptor) external;

        /// Commits to the checkpoint after `step`: `root` of the weights and optimiser state, `chain` the end of the step chain.
        function checkpoint(bytes32 model, uint64 step, bytes32 root, bytes32 chain) external;

        /// Ends training: `finalRoot` is the last checkpoint's (or, for a model served as imported or registered, its
        /// first), with the attribution cache and the rates. The model may then be served.
        function finalise(bytes32 model, bytes32 finalRoot, Cache calldata cache, Rates calldata rates) external;

        /// Sets the developer's rates, below which no operator may offer the model. Offers already made stand.
        function setRates(bytes32 model, Rates calldata rates) external;

        /// Takes a model out of service: no new offers.
        function retire(bytes32 model) external;

        function model(bytes32 model) external view returns (Model memory);
        function training(bytes32 model) external view returns (Training memory);
        /// The checkpoint leaf at `index` (from 0), as it stands in the mountain range.
        function checkpointAt(bytes32 model, uint64 index) external view returns (bytes32 leaf);
        /// The models from this one to its first ancestor, itself first.
        function lineage(bytes32 model) external view returns (bytes32[] memory);
        /// Number of models, and the `index`-th registered.
        function count() external view returns (uint64);
        function modelAt(uint64 index) external view returns (bytes32);

        event ModelRegistered(bytes32 indexed model, address indexed developer, bytes32 indexed base, bytes32 manifest, string licence, string name);
        event TrainingDescribed(bytes32 indexed model, bytes32 descriptorDigest, uint32 opSet);
        event SeedDrawn(bytes32 indexed model, bytes32 seed);
        event CheckpointCommitted(bytes32 indexed model, uint64 index, uint64 step, bytes32 root, bytes32 chain);
        event ModelFinalised(bytes32 indexed model, bytes32 finalRoot, bytes32 cacheRoot);
        event RatesSet(bytes32 indexed model, uint256 rateIn, uint256 rateOut, uint256 platformFee);
        event ModelRetired(bytes32 indexed model);
        /// An imported model's developer proved control and was paid what was held.
        event ControlProven(bytes32 indexed model, address indexed developer, uint256 paid);

        /// No model has this id.
        error UnknownModel(bytes32 model);
        /// This manifest is registered already.
        error ModelExists(bytes32 model);
        /// Only the developer may do this.
        error NotDeveloper(bytes32 model, address sender);
        /// The model is in another state than this needs.
        error WrongStatus(bytes32 model, Status status);
        /// A text, list or number is empty or past its limit.
        error LimitExceeded(string what, uint256 value, uint256 limit);
        /// The base's share is past the whole of the developer's share, or named without a base.
        error BadBaseShare(uint256 bps);
        /// The chain of base models is too long.
        error LineageTooDeep(bytes32 base, uint256 limit);
        /// A licence forbids a declared use: which Datanet (zero: the base model), which licence, which use, and why.
        error LicenceForbids(bytes32 datanet, string licence, string use, string reason);
        /// The Datanet has no such version.
        error UnknownVersion(bytes32 datanet, uint32 version);
        /// A Datanet is named twice.
        error RepeatedDatanet(bytes32 datanet);
        /// The op set is not one that disputes can execute.
        error UnknownOpSet(uint32 opSet);
        /// The beacon has not drawn the seed yet: wait for the next block.
        error SeedNotDrawn(bytes32 model);
        /// Checkpoints go forward, at most to the descriptor's steps.
        error StepOutOfOrder(uint64 step, uint64 last, uint64 limit);
        /// The final root is not the last checkpoint's.
        error NotLastCheckpoint(bytes32 finalRoot, bytes32 last);
        /// The last checkpoint is not at the descriptor's last step.
        error TrainingUnfinished(uint64 lastStep, uint64 steps);
        /// The cache's root is zero.
        error CacheMissing(bytes32 model);
        /// More unreviewed items than the descriptor admits.
        error TooManyUnreviewed(uint64 items, uint64 limit);
    }
}

/// The id of the model that `developer` registers with `manifest`; the zero developer for imported ones.
pub fn model_id(developer: Address, manifest: B256) -> B256 {
    keccak256([b"openledger model v1".as_slice(), developer.as_slice(), manifest.as_slice()].concat())
}

/// The account that holds what the unproven developers of an imported model earn: nobody has its key.
pub fn lineage_escrow(model: B256) -> Address {
    Address::from_word(keccak256([b"openledger lineage escrow v1".as_slice(), model.as_slice()].concat()))
}
