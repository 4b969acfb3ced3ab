//! Near-duplicates as one player.
//!
//! A semivalue over items rewards self-copies: a game over clusters does not, since a copy adds no player. A
//! cluster's value goes to its earliest committed item (RULEBOOK R2: copies are settled by commit order inside a
//! cluster, and nowhere else).

use super::semivalues::Estimate;

/// Items grouped into clusters; items in commit order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    /// Cluster of each item, numbered by first appearance.
    of_item: Vec<u32>,
    /// Earliest item of each cluster.
    first: Vec<usize>,
}

impl Clusters {
    /// Groups `items` by pairs of near-duplicates; duplication is taken as transitive.
    ///
    /// # Panics
    /// When a pair names an item at or past `items`.
    pub fn from_pairs(items: usize, pairs: &[(u32, u32)]) -> Clusters {
        let mut parent: Vec<u32> = (0..items as u32).collect();
        for (a, b) in pairs {
            let (a, b) = (find(&mut parent, *a), find(&mut parent, *b));
            // The earlier item stays the representative.
            parent[a.max(b) as usize] = a.min(b);
        }
        let mut number = vec![u32::MAX; items];
        let (mut of_item, mut first) = (Vec::with_capacity(items), Vec::new());
        for item in 0..items {
            let root = find(&mut parent, item as u32) as usize;
            if number[root] == u32::MAX {
                number[root] = first.len() as u32;
                first.push(item);
            }
            of_item.push(number[root]);
        }
        Clusters { of_item, first }
    }

    /// Number of clusters, the players of a game.
    pub fn count(&self) -> usize {
        self.first.len()
    }

    /// Items whose cluster is in a coalition of clusters.
    pub fn members<'a>(&'a self, coalition: &'a [bool]) -> impl Iterator<Item = usize> + 'a {
        (0..self.of_item.len()).filter(|item| coalition[self.of_item[*item] as usize])
    }

    /// Values of items from values of clusters: the earliest takes the cluster's, later ones zero.
    pub fn credit(&self, of_clusters: &[Estimate]) -> Vec<Estimate> {
        let mut values = vec![Estimate { value: 0.0, standard_error: 0.0 }; self.of_item.len()];
        for (first, value) in self.first.iter().zip(of_clusters) {
            values[*first] = *value;
        }
        values
    }
}

fn find(parent: &mut [u32], mut item: u32) -> u32 {
    while parent[item as usize] != item {
        parent[item as usize] = parent[parent[item as usize] as usize];
        item = parent[item as usize];
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::valuation::semivalues::{banzhaf_by_enumeration, shapley_by_enumeration};

    #[test]
    fn pairs_join_transitively_and_the_earliest_takes_the_credit() {
        let clusters = Clusters::from_pairs(6, &[(5, 3), (1, 3), (2, 4)]);
        assert_eq!(clusters.of_item, [0, 1, 2, 1, 2, 1]);
        let values: Vec<Estimate> =
            [10.0, 20.0, 30.0].map(|value| Estimate { value, standard_error: 1.0 }).to_vec();
        let credit: Vec<f64> = clusters.credit(&values).iter().map(|e| e.value).collect();
        assert_eq!(credit, [10.0, 20.0, 30.0, 0.0, 0.0, 0.0]);
        assert_eq!(clusters.members(&[false, true, false]).collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn copies_gain_nothing_over_clusters_and_gain_over_items() {
        // Utility: the number of distinct facts known, with a bonus for knowing fact 0 and fact 1 together.
        let utility = |facts: u32| f64::from(facts.count_ones()) + f64::from(u8::from(facts & 3 == 3));
        let facts_of_items = |copies: u32| {
            move |items: u32| {
                let copied = u32::from(items >> 2 & ((1 << copies) - 1) != 0);
                utility(items & 3 | copied)
            }
        };
        type Solve = fn(usize, &dyn Fn(u32) -> f64) -> Vec<f64>;
        let solvers: [Solve; 2] =
            [|n, game| shapley_by_enumeration(n, game), |n, game| banzhaf_by_enumeration(n, game)];
        for solve in solvers {
            let alone = solve(2, &utility);
            // Over items the copies take from the original.
            let over_items = solve(5, &facts_of_items(3));
            assert!(over_items[0] < alone[0]);
            let pairs: Vec<(u32, u32)> = (2..5).map(|copy| (0, copy)).collect();
            let clusters = Clusters::from_pairs(5, &pairs);
            assert_eq!(clusters.count(), 2);
            let game = |coalition: u32| {
                let flags = [coalition & 1 == 1, coalition >> 1 & 1 == 1];
                facts_of_items(3)(clusters.members(&flags).fold(0, |items, item| items | 1 << item))
            };
            assert_eq!(solve(2, &game), alone);
        }
    }
}
