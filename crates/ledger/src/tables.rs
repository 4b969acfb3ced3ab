//! Every stored table, declared once. A number is never reused, since it decides where words stand.

use crate::{
    channels::EscrowOwner,
    datanets::state::{
        CommitRecord, ContributionRecord, DatanetRecord, DuplicateRecord, ShareRecord, VersionRecord,
    },
    models::state::{DataRecord, ModelRecord, TrainingRecord},
    operators::state::{OfferRecord, OperatorRecord, UnbondingRecord},
    settlement::state::{BatchRecord, GrantRecord, ProgressRecord, VestingRecord},
    storage::{Flags, ListTable, RangeTable, Table, TextTable, WordTable},
    treasury::state::{BooksRecord, PeriodRecord},
};
use alloy_primitives::{Address, B256};

/// Which table a slot belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum TableId {
    /// Balance and nonce by account: [`crate::account`].
    Account = 1,
    /// Units burned so far.
    Burned = 2,
    /// Digest of the genesis document.
    Genesis = 3,
    /// Parameters by number: the treasury moves them.
    Parameter = 4,

    /// ERC-20 allowance by owner and spender.
    Allowance = 0x0100,
    /// ERC-2612 nonce by owner.
    PermitNonce = 0x0101,
    /// ERC-3009 authorization used or cancelled, by authorizer and nonce.
    Authorization = 0x0102,

    /// A channel's balance and total claimed, by channel id.
    Channel = 0x0700,
    /// A channel's pending withdrawal, by channel id.
    ChannelWithdrawal = 0x0701,
    /// A channel's next refund nonce, by channel id.
    ChannelRefundNonce = 0x0702,
    /// An escrow's totals claimed and settled.
    ChannelReceiver = 0x0703,
    /// Operator and model of an escrow.
    Escrow = 0x0704,

    /// What a Datanet is, by id.
    Datanet = 0x0200,
    /// A Datanet's name.
    DatanetName = 0x0201,
    /// An allowed licence, by Datanet and number.
    DatanetLicence = 0x0202,
    /// Contributions that count now and carry a licence, by Datanet and the licence's number.
    LicenceUse = 0x0203,
    /// A share of what a Datanet earns, by Datanet and number.
    DatanetShare = 0x0204,
    /// 1 for a curator, by Datanet and account.
    Curator = 0x0205,
    /// A commitment that waits for its reveal, by owner and commitment.
    Commit = 0x0206,
    /// A contribution, by id.
    Contribution = 0x0207,
    /// Contributions in order of reveal, by Datanet.
    ContributionList = 0x0208,
    /// Withdrawn contributions in order, by Datanet.
    WithdrawnList = 0x0209,
    /// Mountain range of accepted contributions, by Datanet.
    AcceptedRange = 0x020a,
    /// Mountain range of withdrawn contributions, by Datanet.
    WithdrawnRange = 0x020b,
    /// A frozen version, by Datanet and number.
    Version = 0x020c,
    /// The original of a copied item, by contribution and index.
    Duplicate = 0x020d,
    /// Commits so far.
    CommitSequence = 0x020e,
    /// All Datanets.
    DatanetList = 0x020f,

    /// A model, by id.
    Model = 0x0300,
    /// A model's licence.
    ModelLicence = 0x0301,
    /// A model's name.
    ModelName = 0x0302,
    /// A model's training.
    Training = 0x0303,
    /// A Datanet version trained on, by model and number.
    TrainingData = 0x0304,
    /// Mountain range of checkpoints, by model.
    CheckpointRange = 0x0305,
    /// Checkpoint leaves, by model.
    CheckpointList = 0x0306,
    /// Models whose seed is still to be drawn.
    SeedQueue = 0x0307,
    /// All models.
    ModelList = 0x0308,

    /// An operator, by account.
    Operator = 0x0400,
    /// An operator's endpoint.
    Endpoint = 0x0401,
    /// An offer, by operator and model.
    Offer = 0x0402,
    /// Models an operator ever offered.
    OfferList = 0x0403,
    /// Stake on its way out, by operator and number.
    Unbonding = 0x0404,
    /// All operators.
    OperatorList = 0x0405,

    /// Where an escrow's epochs stand, by operator and model.
    Progress = 0x0500,
    /// A batch, by id.
    Batch = 0x0501,
    /// Paid leaves, by batch.
    ClaimedLeaf = 0x0502,
    /// What vests to an account from one start on, by account and start.
    Grant = 0x0503,
    /// Starts of an account's grants, in order of their first claim.
    GrantList = 0x0504,
    /// An account's vesting in total.
    Vesting = 0x0505,

    /// The treasury's pots and totals.
    Books = 0x0600,
    /// The running period of the validators' pay.
    Period = 0x0601,
    /// Accounts of validators that signed in the running period.
    SignerList = 0x0602,
    /// Blocks proposed in the running period, by validator.
    Signed = 0x0603,
}

/// Units burned so far.
pub const BURNED: WordTable<()> = WordTable::new(TableId::Burned);
/// Digest of the genesis document.
pub const GENESIS: WordTable<()> = WordTable::new(TableId::Genesis);
/// ERC-20 allowance by owner and spender; the maximum is unlimited.
pub const ALLOWANCES: WordTable<(Address, Address)> = WordTable::new(TableId::Allowance);
/// ERC-2612 nonce by owner.
pub const PERMIT_NONCES: WordTable<Address> = WordTable::new(TableId::PermitNonce);
/// 1 when an ERC-3009 authorization was used or cancelled.
pub const AUTHORIZATIONS: WordTable<(Address, B256)> = WordTable::new(TableId::Authorization);
/// Two halves of a word by channel id: balance and total claimed.
pub const CHANNELS: WordTable<B256> = WordTable::new(TableId::Channel);
/// Amount and second of start of a pending withdrawal, by channel id.
pub const CHANNEL_WITHDRAWALS: WordTable<B256> = WordTable::new(TableId::ChannelWithdrawal);
/// Next refund nonce by channel id.
pub const CHANNEL_REFUND_NONCES: WordTable<B256> = WordTable::new(TableId::ChannelRefundNonce);
/// Two halves of a word by escrow: totals claimed and settled.
pub const CHANNEL_RECEIVERS: WordTable<Address> = WordTable::new(TableId::ChannelReceiver);
/// Whose an escrow is.
pub const ESCROWS: Table<Address, EscrowOwner> = Table::new(TableId::Escrow);

/// Parameters by number: the value plus one, or zero for the default.
pub const PARAMETERS: WordTable<u16> = WordTable::new(TableId::Parameter);

/// Datanets by id.
pub const DATANETS: Table<B256, DatanetRecord> = Table::new(TableId::Datanet);
/// Names of Datanets.
pub const DATANET_NAMES: TextTable<B256> = TextTable::new(TableId::DatanetName);
/// Allowed licences by Datanet and number.
pub const DATANET_LICENCES: TextTable<(B256, u8)> = TextTable::new(TableId::DatanetLicence);
/// Contributions that count now and carry a licence.
pub const LICENCE_USES: WordTable<(B256, u8)> = WordTable::new(TableId::LicenceUse);
/// Shares by Datanet and number.
pub const DATANET_SHARES: Table<(B256, u8), ShareRecord> = Table::new(TableId::DatanetShare);
/// 1 for a curator.
pub const CURATORS: WordTable<(B256, Address)> = WordTable::new(TableId::Curator);
/// Commitments by owner and commitment.
pub const COMMITS: Table<(Address, B256), CommitRecord> = Table::new(TableId::Commit);
/// Contributions by id.
pub const CONTRIBUTIONS: Table<B256, ContributionRecord> = Table::new(TableId::Contribution);
/// Contributions in order of reveal, by Datanet.
pub const CONTRIBUTION_LISTS: ListTable<B256> = ListTable::new(TableId::ContributionList);
/// Withdrawn contributions in order, by Datanet.
pub const WITHDRAWN_LISTS: ListTable<B256> = ListTable::new(TableId::WithdrawnList);
/// Mountain ranges of accepted contributions.
pub const ACCEPTED_RANGES: RangeTable<B256> = RangeTable::new(TableId::AcceptedRange);
/// Mountain ranges of withdrawn contributions.
pub const WITHDRAWN_RANGES: RangeTable<B256> = RangeTable::new(TableId::WithdrawnRange);
/// Frozen versions by Datanet and number, from 1.
pub const VERSIONS: Table<(B256, u32), VersionRecord> = Table::new(TableId::Version);
/// Originals of copied items.
pub const DUPLICATES: Table<(B256, u64), DuplicateRecord> = Table::new(TableId::Duplicate);
/// Commits so far.
pub const COMMIT_SEQUENCE: WordTable<()> = WordTable::new(TableId::CommitSequence);
/// All Datanets.
pub const DATANET_LIST: ListTable<()> = ListTable::new(TableId::DatanetList);

/// Models by id.
pub const MODELS: Table<B256, ModelRecord> = Table::new(TableId::Model);
/// Licences of models.
pub const MODEL_LICENCES: TextTable<B256> = TextTable::new(TableId::ModelLicence);
/// Names of models.
pub const MODEL_NAMES: TextTable<B256> = TextTable::new(TableId::ModelName);
/// Training by model.
pub const TRAININGS: Table<B256, TrainingRecord> = Table::new(TableId::Training);
/// Datanet versions trained on.
pub const TRAINING_DATA: Table<(B256, u8), DataRecord> = Table::new(TableId::TrainingData);
/// Mountain ranges of checkpoints.
pub const CHECKPOINT_RANGES: RangeTable<B256> = RangeTable::new(TableId::CheckpointRange);
/// Checkpoint leaves.
pub const CHECKPOINT_LISTS: ListTable<B256> = ListTable::new(TableId::CheckpointList);
/// Models whose seed is still to be drawn.
pub const SEED_QUEUE: ListTable<()> = ListTable::new(TableId::SeedQueue);
/// All models.
pub const MODEL_LIST: ListTable<()> = ListTable::new(TableId::ModelList);

/// Operators by account.
pub const OPERATORS: Table<Address, OperatorRecord> = Table::new(TableId::Operator);
/// Endpoints of operators.
pub const ENDPOINTS: TextTable<Address> = TextTable::new(TableId::Endpoint);
/// Offers by operator and model.
pub const OFFERS: Table<(Address, B256), OfferRecord> = Table::new(TableId::Offer);
/// Models an operator ever offered.
pub const OFFER_LISTS: ListTable<Address> = ListTable::new(TableId::OfferList);
/// Stake on its way out, by operator and number.
pub const UNBONDINGS: Table<(Address, u64), UnbondingRecord> = Table::new(TableId::Unbonding);
/// All operators.
pub const OPERATOR_LIST: ListTable<()> = ListTable::new(TableId::OperatorList);

/// Where an escrow's epochs stand.
pub const PROGRESS: Table<(Address, B256), ProgressRecord> = Table::new(TableId::Progress);
/// Batches by id.
pub const BATCHES: Table<B256, BatchRecord> = Table::new(TableId::Batch);
/// Paid leaves by batch.
pub const CLAIMED_LEAVES: Flags<B256> = Flags::new(TableId::ClaimedLeaf);
/// Grants by account and start of vesting.
pub const GRANTS: Table<(Address, u64), GrantRecord> = Table::new(TableId::Grant);
/// Starts of an account's grants.
pub const GRANT_LISTS: ListTable<Address> = ListTable::new(TableId::GrantList);
/// Vesting in total by account.
pub const VESTINGS: Table<Address, VestingRecord> = Table::new(TableId::Vesting);

/// The treasury's pots and totals.
pub const BOOKS: Table<(), BooksRecord> = Table::new(TableId::Books);
/// The running period of the validators' pay.
pub const PERIOD: Table<(), PeriodRecord> = Table::new(TableId::Period);
/// Accounts of validators that signed in the running period.
pub const SIGNER_LIST: ListTable<()> = ListTable::new(TableId::SignerList);
/// Signatures of an account's validators in the running period.
pub const SIGNED: WordTable<Address> = WordTable::new(TableId::Signed);
