//! Validators wait for a quorum before the first round, and not for longer than they must.

use chain::{
    block::{PrivateKey, PublicKey},
    presence,
};
use commonware_cryptography::Signer as _;
use commonware_p2p::simulated::{Config, Link, Network, Oracle};
use commonware_runtime::{Clock as _, Quota, Runner as _, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::{NZU32, NZUsize, channel::oneshot, probability};
use std::time::Duration;

const LINK: Link =
    Link { latency: Duration::from_millis(10), jitter: Duration::ZERO, success_rate: probability!(1.0) };

struct Gathering {
    context: deterministic::Context,
    oracle: Oracle<PublicKey, deterministic::Context>,
    peers: Vec<PublicKey>,
}

impl Gathering {
    async fn new(context: deterministic::Context) -> Self {
        let peers: Vec<PublicKey> = (0..4).map(|seed| PrivateKey::from_seed(seed).public_key()).collect();
        let config = Config {
            max_size: 1_024,
            max_peers_per_set: NZUsize!(4),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            Network::new_with_peers(context.child("network"), config, peers.clone()).await;
        network.start();
        Self { context, oracle, peers }
    }

    async fn link(&self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let (from, to) = (self.peers[from].clone(), self.peers[to].clone());
            self.oracle.add_link(from, to, LINK).await.expect("a new link");
        }
    }

    /// Starts validator `index`; what it gives resolves when that one has its quorum.
    async fn start(&self, index: usize) -> oneshot::Receiver<()> {
        let quota = Quota::per_second(NZU32!(presence::MESSAGES_PER_SECOND));
        let channel = self.oracle.control(self.peers[index].clone()).register(0, quota).await;
        let channel = channel.expect("not registered yet");
        let (gathered, gathering) = oneshot::channel();
        self.context.child("presence").spawn(move |context| presence::run(context, 4, gathered, channel));
        gathering
    }
}

#[test]
fn a_quorum_is_three_of_four_and_latecomers_are_answered() {
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let started = context.current();
        let network = Gathering::new(context.child("gathering")).await;
        let mut first = network.start(0).await;
        let second = network.start(1).await;
        network.link(0, 1).await;
        context.sleep(Duration::from_secs(1)).await;
        assert!(first.try_recv().is_err(), "two of four are no quorum");

        let third = network.start(2).await;
        network.link(0, 2).await;
        network.link(1, 2).await;
        for gathering in [first, second, third] {
            gathering.await.expect("three of four are one");
        }
        // The others have been quiet since.
        context.sleep(Duration::from_secs(1)).await;
        let fourth = network.start(3).await;
        for other in 0..3 {
            network.link(other, 3).await;
        }
        fourth.await.expect("all are there");
        let took = context.current().duration_since(started).expect("time goes on");
        assert!(took < presence::PATIENCE, "nobody waited for the end of patience: {took:?}");
    });
}

#[test]
fn patience_ends() {
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let network = Gathering::new(context.child("gathering")).await;
        let started = context.current();
        network.start(0).await.await.expect("starts alone in the end");
        assert!(context.current().duration_since(started).expect("time goes on") >= presence::PATIENCE);
    });
}
