//! An adapter of the demo's model from its data to a replayed answer: somebody else's texts, somebody else's adapter, an operator that serves both.

use crate::harness::World;
use serde_json::Value;
use std::path::PathBuf;

/// What the adapter's texts are of, a subject each: before a number and after it.
const SUBJECTS: [(&str, &str); 3] = [
    ("Sharpen spade ", " with the whetstone, oil its handle and hang the rake beside the ladder"),
    ("A ketch of ", " sails leaves at dawn; anchor, rigging and pilot follow the ebb past the buoy"),
    ("Knead loaf ", " until midnight, then fold butter, cinnamon and honey between its layers"),
];
/// Lines of a text.
const LINES: usize = 24;

/// Texts that no other contributor's are like.
fn write_texts(world: &World) -> String {
    let folder = world.path("crafts/notes");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (number, (before, after)) in SUBJECTS.into_iter().enumerate() {
        let lines = (0..LINES).map(|line| format!("{before}{}{after} {}.\n", line * 7, line * line));
        std::fs::write(folder.join(format!("{number}.txt")), lines.collect::<String>()).expect("written");
    }
    world.path("crafts").display().to_string()
}

fn state<'a>(report: &'a Value, name: &str) -> &'a Value {
    let links = report["links"].as_array().expect("links");
    &links.iter().find(|link| link["name"] == name).unwrap_or_else(|| panic!("no {name}: {report}"))["state"]
}

fn refused(world: &World, arguments: &[&str], because: &str) {
    let output = world.try_run(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(because), "{arguments:?}: {told}");
}

#[test]
fn an_adapter_of_a_base_is_registered_served_beside_it_settled_and_replayed() {
    let mut world = World::new();
    world.start_node();
    for name in ["tuner", "operator", "alice"] {
        world.run(&["wallet", "new", name]);
    }
    for (name, amount) in [("tuner", "100"), ("operator", "20000"), ("alice", "100")] {
        world.run(&["wallet", "send", name, amount, "--from", "reserve"]);
    }
    let texts = write_texts(&world);
    world.run(&["datanet", "create", "crafts", "--licence", "CC-BY-4.0", "--owner", "tuner"]);
    world.run(&["datanet", "add", "crafts", &texts, "--licence", "CC-BY-4.0", "--owner", "tuner"]);
    world.run(&["publish", "crafts", "--from", "tuner", "--freeze"]);

    let (base, adapter) = (world.demo(), world.path("adapter"));
    let [base_text, adapter_text] = [&base, &adapter].map(|path: &PathBuf| path.display().to_string());
    let register = ["model", "register", &adapter_text, "crafts", "--name", "crafts", "--base", &base_text];
    let how = ["--from", "tuner", "--steps", "96", "--batch", "4", "--checkpoint-every", "48", "--rank", "8"];
    let priced = ["--rate-out", "0.9", "--base-share", "30"];
    let all = [&register[..], &how, &priced].concat();
    let registered = world.json(&all);
    assert_eq!(registered["name"], "documentation-1m:crafts");
    // Again is no error, and makes nothing anew.
    assert_eq!(world.json(&all)["cache"], registered["cache"]);
    refused(&world, &["model", "serve", "--key", "operator", &adapter_text], "name that model's folder too");

    world.serve(&[adapter.clone(), base]);
    let models = world.get("/v1/models")["data"].clone();
    let listed = |name: &str| models.as_array().expect("models").iter().find(|m| m["id"] == name).cloned();
    let (of_base, of_adapter) =
        (listed("documentation-1m").expect("listed"), listed("documentation-1m:crafts").expect("listed"));
    assert_eq!(of_adapter["pricing"]["per_1000_tokens_out"], "900000000000000000");
    assert_ne!(of_adapter["openledger"]["payTo"], of_base["openledger"]["payTo"]);

    let file = |name: &str| world.path(name).display().to_string();
    let ask = |question: &str, model: &str, file: &str| {
        world.json(&[
            "ask",
            question,
            "--model",
            model,
            "--from",
            "alice",
            "--max-tokens",
            "24",
            "--save",
            file,
        ])
    };
    let asked = ask("Sharpen spade", "documentation-1m:crafts", &file("adapter.json"));
    let of_base = ask("Sharpen spade", "documentation-1m", &file("base.json"));
    assert_eq!(asked["openledger"]["model"], registered["model"]);
    assert_ne!(asked["openledger"]["model"], of_base["openledger"]["model"]);
    let tuner = world.json(&["wallet", "balance", "tuner"]);
    let owed = asked["openledger"]["contributors"].as_array().expect("contributors");
    let tuner = tuner["address"].as_str().expect("an address").to_lowercase();
    assert!(!owed.is_empty(), "somebody wrote this: {asked}");
    assert!(owed.iter().all(|c| c["account"].as_str().is_some_and(|a| a.to_lowercase() == tuner)), "{asked}");
    let unknown = ["ask", "x", "--model", "documentation-1m:nobody", "--from", "alice"];
    refused(&world, &unknown, "is not served here");

    // Settled by its own escrow, and every bit of it comes out again.
    let answer = file("adapter.json");
    world.wait("a paid answer", || world.json(&["verify", &answer])["verified"] == true);
    let replay = ["--batch", "--replay", "--replay-training", "--items", "--model", &adapter_text];
    let report = world.json(&[&["verify", &answer], &replay[..], &["--base", &base_text]].concat());
    for name in ["base", "batch rebuilt", "items", "cache replay", "answer replay", "training replay"] {
        assert_eq!(state(&report, name), "holds", "{name}: {report}");
    }
    let report = world.json(&["verify", &file("base.json"), "--replay", "--model", &base_text]);
    assert_eq!(state(&report, "answer replay"), "holds", "{report}");
    refused(&world, &[&["verify", &answer], &replay[..]].concat(), "name that model's folder too");
    world.stop_operator();
}
