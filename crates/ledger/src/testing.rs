//! What the modules' tests start from: a chain with short times, and a model that an operator serves.

use crate::{
    Context, Genesis, MemoryLedger, State,
    operators::state::{OfferRecord, OperatorRecord},
    storage::Misses,
    tables,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError};
use interfaces::{
    addresses::{DATANETS, MODELS, OPERATORS, escrow},
    datanets::{IDatanets, IDatanets::Policy},
    models::IModels,
    operators::IOperators,
};
use primitives::Amount;

pub const CREATOR: Address = Address::repeat_byte(1);
pub const OWNER: Address = Address::repeat_byte(2);
pub const RIVAL: Address = Address::repeat_byte(3);
pub const DEVELOPER: Address = Address::repeat_byte(4);
pub const OPERATOR: Address = Address::repeat_byte(5);
pub const BUYER: Address = Address::repeat_byte(6);

/// Times of the test network, in seconds.
pub const TIMES: [(&str, u64); 6] = [
    ("epoch_seconds", 60),
    ("challenge_seconds", 100),
    ("vesting_seconds", 3_000),
    ("unbonding_seconds", 200),
    ("reveal_delay_seconds", 2),
    ("reveal_window_seconds", 100),
];

/// A chain whose supply six accounts share.
pub fn chain() -> MemoryLedger {
    let mut genesis = Genesis::development(&[CREATOR, OWNER, RIVAL, DEVELOPER, OPERATOR, BUYER]);
    genesis.parameters = TIMES.iter().map(|(name, value)| ((*name).into(), *value)).collect();
    MemoryLedger::new(genesis)
}

pub fn open(whole: u64) -> U256 {
    Amount::open(whole).to_word()
}

/// A call that must be accepted.
pub fn accepted<C: SolCall>(
    ledger: &mut MemoryLedger,
    sender: Address,
    to: Address,
    value: U256,
    call: C,
) -> C::Return {
    ledger
        .transact(sender, to, value, &call)
        .unwrap_or_else(|data| panic!("{} refused: {data}", C::SIGNATURE))
}

/// A call that must be refused, and with which error.
pub fn refused<E: SolError>(
    ledger: &mut MemoryLedger,
    sender: Address,
    to: Address,
    value: U256,
    call: impl SolCall,
) -> E {
    let data = ledger.transact(sender, to, value, &call).err().expect("the call must be refused");
    E::abi_decode(&data).unwrap_or_else(|_| panic!("another error than {}: {data}", E::SIGNATURE))
}

/// The error in revert data.
pub fn error<E: SolError>(data: &Bytes) -> E {
    E::abi_decode(data).unwrap_or_else(|_| panic!("another error than {}: {data}", E::SIGNATURE))
}

/// A Datanet of the creator with a bond of one unit a byte.
pub fn datanet(ledger: &mut MemoryLedger, salt: u8, policy: Policy, licences: &[&str]) -> B256 {
    let call = IDatanets::createCall {
        salt: B256::repeat_byte(salt),
        name: "fables".into(),
        policy,
        licences: licences.iter().map(|licence| (*licence).into()).collect(),
        bondPerByte: U256::from(1),
        metadata: B256::repeat_byte(0xda),
        shares: vec![IDatanets::Share { account: CREATOR, bps: 500 }],
    };
    accepted(ledger, CREATOR, DATANETS, U256::ZERO, call)
}

/// What is revealed of `count` items of 10 bytes under `root`.
pub fn reveal(root: B256, count: u64, licence: &str) -> IDatanets::Reveal {
    IDatanets::Reveal {
        root,
        count,
        size: count * 10,
        salt: B256::repeat_byte(0x5a),
        uses: 0,
        signatures: B256::ZERO,
        licence: licence.into(),
    }
}

/// Commits and reveals; the contribution's id.
pub fn contribute(ledger: &mut MemoryLedger, datanet: B256, owner: Address, what: IDatanets::Reveal) -> B256 {
    let commitment = crate::datanets::commitment(what.root, what.salt, owner);
    let bond = U256::from(what.size);
    accepted(ledger, owner, DATANETS, bond, IDatanets::commitCall { datanet, commitment });
    ledger.advance(2_000);
    accepted(ledger, owner, DATANETS, U256::ZERO, IDatanets::revealCall { commitment, what });
    commitment
}

/// A registered model of the developer.
pub fn registration(manifest: u8, base: B256, base_share_bps: u16) -> IModels::registerCall {
    IModels::registerCall {
        what: IModels::Registration {
            manifest: B256::repeat_byte(manifest),
            base,
            baseShareBps: base_share_bps,
            uses: primitives::licence::ALL_USES,
            licence: "Apache-2.0".into(),
            name: "fabulist".into(),
        },
    }
}

/// The end of a training, free of charge.
pub fn finalise(model: B256, final_root: B256) -> IModels::finaliseCall {
    let zero = U256::ZERO;
    IModels::finaliseCall {
        model,
        finalRoot: final_root,
        cache: IModels::Cache {
            root: B256::repeat_byte(0xca),
            curvature: B256::repeat_byte(0xcb),
            floor: 1,
            cap: 2,
            damping: 3,
        },
        rates: IModels::Rates { rateIn: zero, rateOut: zero, platformFee: zero },
    }
}

/// A model that may be served.
pub fn ready_model(ledger: &mut MemoryLedger) -> B256 {
    let model = accepted(ledger, DEVELOPER, MODELS, U256::ZERO, registration(1, B256::ZERO, 0));
    accepted(ledger, DEVELOPER, MODELS, U256::ZERO, finalise(model, B256::repeat_byte(9)));
    model
}

/// The operator with a stake of 1,000,000 OPEN, offering `model`; its escrow.
pub fn serve(ledger: &mut MemoryLedger, model: B256) -> Address {
    let endpoint = "https://operator.example".into();
    accepted(ledger, OPERATOR, OPERATORS, open(1_000_000), IOperators::registerCall { endpoint });
    let zero = U256::ZERO;
    let offer = IOperators::offerCall { model, rateIn: zero, rateOut: zero, platformFee: zero };
    accepted(ledger, OPERATOR, OPERATORS, zero, offer);
    escrow(OPERATOR, model)
}

/// Runs a rule that no call reaches, as `module`, on the chain's words, and commits them.
pub fn inside<T>(
    ledger: &mut MemoryLedger,
    module: Address,
    mut rule: impl FnMut(&mut Context) -> crate::Result<T>,
) -> T {
    let mut state = State::new();
    for (slot, word) in &ledger.words {
        state.provide(*slot, *word);
    }
    loop {
        let block = ledger.block.clone();
        let mut ctx = Context {
            state: &mut state,
            block: &block,
            caller: Address::ZERO,
            this: module,
            value: Amount::ZERO,
            depth: 0,
        };
        let checkpoint = ctx.state.checkpoint();
        let outcome = rule(&mut ctx);
        if let Err(Misses(slots)) = state.take_misses() {
            state.revert(checkpoint);
            slots.into_iter().for_each(|slot| state.provide(slot, B256::ZERO));
            continue;
        }
        ledger.words.extend(state.writes().map(|(slot, word)| (*slot, *word)));
        return outcome.expect("the rule holds");
    }
}

/// Enters `operator` with a stake of `stake` and an offer of `model`, past the calls: for modules that only need somebody to
/// serve. The stake is on paper.
pub fn enrol(ledger: &mut MemoryLedger, operator: Address, model: B256, stake: Amount) {
    let record = OperatorRecord {
        status: IOperators::Status::Active as u8,
        registered_at: 0,
        stake,
        locked: Amount::ZERO,
        unbonding: Amount::ZERO,
        pending: Amount::ZERO,
        unbondings: 0,
        unbondings_open: 0,
    };
    let zero = Amount::ZERO;
    let offer = OfferRecord { active: true, rate_in: zero, rate_out: zero, platform_fee: zero };
    inside(ledger, OPERATORS, |ctx| {
        tables::OPERATORS.put(ctx.state, &operator, &record)?;
        tables::OFFERS.put(ctx.state, &(operator, model), &offer)?;
        tables::OFFER_LISTS.push(ctx.state, &operator, model)
    });
}
