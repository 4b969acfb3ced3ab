//! An adapter of the demo's model from its data to a replayed answer: somebody else's texts, somebody else's adapter, an operator that serves both.

use crate::harness::World;
use serde_json::Value;
use std::path::PathBuf;

/// Words of the adapter's texts.
const WORDS: [&str; 8] = ["spade", "whetstone", "ladder", "rake", "hinge", "oilcan", "workbench", "lantern"];
const SENTENCES: [&str; 3] = [
    "Sharpen the {} with the {} before the {} is put away.\n",
    "The {} hangs beside the {}, and nobody lends the {} to a stranger.\n",
    "In winter the {} rusts unless the {} is oiled and the {} kept dry.\n",
];

/// Texts that no other contributor's are like.
fn write_texts(world: &World) -> String {
    let folder = world.path("sheds/tools");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut number = 0;
    let mut word = || {
        number += 1;
        WORDS[(number * number / 3 + number) % WORDS.len()]
    };
    for file in 0..3 {
        let mut text = String::new();
        for line in 0..24 {
            let mut sentence = SENTENCES[(line + file) % SENTENCES.len()].to_string();
            while sentence.contains("{}") {
                sentence = sentence.replacen("{}", word(), 1);
            }
            text += &sentence;
        }
        std::fs::write(folder.join(format!("notes-{file}.txt")), text).expect("written");
    }
    world.path("sheds").display().to_string()
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
    world.run(&["datanet", "create", "sheds", "--licence", "CC-BY-4.0", "--owner", "tuner"]);
    world.run(&["datanet", "add", "sheds", &texts, "--licence", "CC-BY-4.0", "--owner", "tuner"]);
    world.run(&["publish", "sheds", "--from", "tuner", "--freeze"]);

    let (base, adapter) = (world.demo(), world.path("adapter"));
    let [base_text, adapter_text] = [&base, &adapter].map(|path: &PathBuf| path.display().to_string());
    let register = ["model", "register", &adapter_text, "sheds", "--name", "sheds", "--base", &base_text];
    let how = ["--from", "tuner", "--steps", "96", "--batch", "4", "--checkpoint-every", "48", "--rank", "8"];
    let priced = ["--rate-out", "0.9", "--base-share", "30"];
    let all = [&register[..], &how, &priced].concat();
    let registered = world.json(&all);
    assert_eq!(registered["name"], "documentation-1m:sheds");
    // Again is no error, and makes nothing anew.
    assert_eq!(world.json(&all)["cache"], registered["cache"]);
    refused(&world, &["model", "serve", "--key", "operator", &adapter_text], "name that model's folder too");

    world.serve(&[adapter.clone(), base]);
    let models = world.get("/v1/models")["data"].clone();
    let listed = |name: &str| models.as_array().expect("models").iter().find(|m| m["id"] == name).cloned();
    let (of_base, of_adapter) =
        (listed("documentation-1m").expect("listed"), listed("documentation-1m:sheds").expect("listed"));
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
    let asked = ask("Sharpen the spade with", "documentation-1m:sheds", &file("adapter.json"));
    let of_base = ask("Sharpen the spade with", "documentation-1m", &file("base.json"));
    assert_eq!(asked["openledger"]["model"], registered["model"]);
    assert_ne!(asked["openledger"]["model"], of_base["openledger"]["model"]);
    let tuner = world.json(&["wallet", "balance", "tuner"]);
    let owed = asked["openledger"]["contributors"].as_array().expect("contributors");
    let tuner = tuner["address"].as_str().expect("an address").to_lowercase();
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
