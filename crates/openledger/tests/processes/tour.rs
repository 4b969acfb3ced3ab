//! The whole path with separate processes: a node, an operator that has nothing of the demo but its trained model, and a user who asks,
//! looks why, verifies and claims.

use crate::harness::{World, demo};
use serde_json::Value;

fn link<'a>(report: &'a Value, name: &str) -> &'a Value {
    let links = report["links"].as_array().expect("links");
    links.iter().find(|link| link["name"] == name).unwrap_or_else(|| panic!("no link {name}: {report}"))
}

#[test]
fn the_demo_conserves_verifies_and_replays() {
    let report = &demo().report;
    for name in ["conserved", "verified", "replayed"] {
        assert_eq!(report[name], true, "{name}: {report}");
    }
    assert_eq!(report["answers"].as_array().map(Vec::len), Some(2));
    let owes = |answer: &Value| answer["shares"].as_array().is_some_and(|shares| !shares.is_empty());
    assert!(
        report["answers"].as_array().expect("answers").iter().any(owes),
        "an answer owes somebody: {report}"
    );
}

#[test]
fn an_operator_without_the_demo_serves_settles_and_is_checked() {
    let mut world = World::new();
    world.start_node();
    for name in ["operator", "alice"] {
        world.run(&["wallet", "new", name]);
    }
    // Nothing to stake: said before anything is sent.
    let model = world.demo().display().to_string();
    let poor = world.try_run(&["model", "serve", "--key", "operator", &model]);
    assert!(String::from_utf8_lossy(&poor.stderr).contains("it needs 10000 to stake"));
    world.run(&["wallet", "send", "operator", "20000", "--from", "reserve"]);
    world.run(&["wallet", "send", "alice", "100", "--from", "reserve"]);
    world.start_operator();

    let file = world.path("answer.json").display().to_string();
    // A model of a few texts may have an answer that owes nobody, and whose salts and seeds are new each time: one of these owes somebody.
    let questions = ["Always keep the soil near", "When the dough changes", "The tide turns at noon"];
    let mut answers =
        questions.iter().map(|ask| world.json(&["ask", ask, "--from", "alice", "--save", &file]));
    let owes =
        |asked: &Value| !asked["openledger"]["contributors"].as_array().expect("contributors").is_empty();
    let asked = answers.find(owes).expect("an answer that owes somebody");
    let id = asked["openledger"]["answer"].as_str().expect("an id").to_string();
    let why = world.run(&["why", &id]);
    assert!(why.contains("gardens") || why.contains("kitchens") || why.contains("harbours"), "{why}");

    // Settled and paid by the operator on its own.
    let mut report = Value::Null;
    world.wait("a paid answer", || {
        report = world.json(&["verify", &file]);
        report["verified"] == true
    });
    assert_eq!(link(&report, "prompt")["state"], "holds", "request and salt open the prompt");
    let all = ["verify", &file, "--batch", "--replay", "--replay-training", "--model", &model];
    let report = world.json(&all);
    for name in ["batch rebuilt", "cache replay", "answer replay", "training replay"] {
        assert_eq!(link(&report, name)["state"], "holds", "{report}");
    }

    // A power cut in the operator's life: what was answered is still there, and it goes on.
    world.kill_operator();
    world.start_operator();
    assert_eq!(world.json(&["verify", &id])["links"][1]["state"], "holds");
    world.run(&["ask", "The tide", "--from", "alice"]);

    let owner = asked["openledger"]["contributors"][0]["account"].as_str().expect("an account");
    let claimed = world.json(&["claim", owner, "--from", "alice"]);
    assert!(!claimed["batches"].as_array().expect("batches").is_empty(), "{claimed}");
    world.stop_operator();

    // Other weights to attribute by than those of the run's checkpoint are found, and the tensor is named.
    let weights = world.demo().join("attributed/model.safetensors");
    let mut bytes = std::fs::read(&weights).expect("the weights that are attributed");
    *bytes.last_mut().expect("weights") ^= 1;
    std::fs::write(&weights, bytes).expect("written");
    let replayed = world.try_run(&["verify", &file, "--replay-training", "--model", &model, "--json"]);
    let told = String::from_utf8_lossy(&replayed.stdout);
    assert!(!replayed.status.success() && told.contains("answers are attributed by weights whose"), "{told}");
}
