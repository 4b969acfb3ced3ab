//! A few short texts by three contributors, each with words of its own.

use std::path::Path;

const VOICES: [(&str, [&str; 12]); 3] = [
    (
        "gardens",
        [
            "soil",
            "compost",
            "seedlings",
            "trellis",
            "tomatoes",
            "mulch",
            "harvest",
            "frost",
            "beds",
            "roots",
            "sunlight",
            "pruning",
        ],
    ),
    (
        "kitchens",
        [
            "dough", "oven", "garlic", "saucepan", "yeast", "basil", "stock", "butter", "whisk", "braise",
            "crumbs", "kettle",
        ],
    ),
    (
        "harbours",
        [
            "tide", "mooring", "rigging", "anchor", "sails", "buoy", "keel", "channel", "pilot", "pier",
            "cargo", "ketch",
        ],
    ),
];
const SENTENCES: [&str; 4] = [
    "The {} needs the {} before any {} is ready.",
    "Always keep the {} near the {}, and never let the {} stand alone overnight.",
    "When the {} changes, look at the {} first and only then at the {}.",
    "A careful hand with the {} makes the {} last, while the {} forgives nothing.",
];
const DOCUMENTS: usize = 4;
const LINES: usize = 10;

/// Writes the texts: a subfolder a contributor.
pub fn write(folder: &Path) {
    let mut number = 0usize;
    let mut next = |most: usize| {
        // A small linear congruence: the same texts on every machine.
        number = (number * 1_103_515_245 + 12_345) % 2_147_483_648;
        (number >> 8) % most
    };
    for (voice, words) in VOICES {
        let folder = folder.join(voice);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("LICENSE.spdx"), "CC-BY-4.0\n").expect("written");
        for document in 0..DOCUMENTS {
            let mut text = format!("# Notes on {voice}, part {document}\n\n");
            for _ in 0..LINES {
                let mut sentence = SENTENCES[next(SENTENCES.len())].to_string();
                for _ in 0..3 {
                    sentence = sentence.replacen("{}", words[next(words.len())], 1);
                }
                text += &sentence;
                text += "\n\n";
            }
            std::fs::write(folder.join(format!("notes-{document}.md")), text).expect("written");
        }
    }
}
