//! The base fee: EIP-1559 with its change bounded per second instead of per block (RULEBOOK R1), since blocks here are
//! paced by milliseconds and a leader chooses, within bounds, how much time one covers.

/// Largest relative change of the base fee in a second is one part in this many.
pub const MAX_CHANGE_DENOMINATOR_PER_SECOND: u128 = 8;
/// Elapsed time that counts, in milliseconds: no block may cover more (RULEBOOK R0).
pub const MAX_ELAPSED_MS: u64 = 10_000;
/// The base fee never falls below this many units per gas, so that a full block always costs something.
pub const MIN_BASE_FEE: u128 = 1_000_000;

/// Base fee of the block after one that used `gas_used` and covers `elapsed_ms` since its own parent.
///
/// With `target = gas_target_per_second * elapsed`, the fee moves by
/// `fee * clamp((gas_used - target) / target, -1, 1) / 8 * elapsed_seconds`, rounded towards zero and by at least 1 upwards.
pub fn next_base_fee(base_fee: u128, gas_used: u64, gas_target_per_second: u64, elapsed_ms: u64) -> u128 {
    let elapsed_ms = elapsed_ms.clamp(1, MAX_ELAPSED_MS) as u128;
    let target = (gas_target_per_second as u128 * elapsed_ms / 1000).max(1);
    let used = (gas_used as u128).min(2 * target);
    let change = |distance: u128| {
        // fee * distance / target * elapsed_ms / 1000 / 8, with the products in an order that keeps precision.
        let scaled = base_fee.saturating_mul(distance) / target;
        scaled.saturating_mul(elapsed_ms) / (1000 * MAX_CHANGE_DENOMINATOR_PER_SECOND)
    };
    let next = if used > target {
        base_fee.saturating_add(change(used - target).max(1))
    } else {
        base_fee.saturating_sub(change(target - used))
    };
    next.max(MIN_BASE_FEE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_change_in_a_second_is_at_most_an_eighth(fee in MIN_BASE_FEE..1u128 << 80, used: u64, ms in 1u64..10_001) {
            let next = next_base_fee(fee, used, 200_000_000, ms);
            let bound = fee * ms as u128 / 8000 + 1;
            prop_assert!(next <= fee + bound && next >= (fee - bound.min(fee)).min(fee).max(MIN_BASE_FEE.min(next)));
        }

        #[test]
        fn use_at_the_target_changes_nothing(fee in MIN_BASE_FEE..1u128 << 80, ms in 1u64..10_001) {
            prop_assert_eq!(next_base_fee(fee, (200_000_000u128 * ms as u128 / 1000) as u64, 200_000_000, ms), fee);
        }

        #[test]
        fn full_blocks_raise_and_empty_blocks_lower_it(fee in 1_000_000_000u128..1 << 80) {
            prop_assert!(next_base_fee(fee, u64::MAX, 200_000_000, 250) > fee);
            prop_assert!(next_base_fee(fee, 0, 200_000_000, 250) < fee);
        }
    }
}
