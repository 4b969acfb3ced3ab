//! A few short texts by three contributors, each with words of its own.

use std::path::Path;

struct Voice {
    name: &'static str,
    words: [&'static str; 12],
    sentences: [&'static str; 4],
}

// Nothing is said by two: what all say alike is noise to every unit's own floor, and an answer in common phrases owes nobody.
const VOICES: [Voice; 3] = [
    Voice {
        name: "gardens",
        words: [
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
        sentences: [
            "Always keep the {} near the {}, and never let the {} stand alone overnight.",
            "Gardeners who water their {} in spring will see {} before any {} is ready.",
            "Loosen your {} by hand, spread {} thinly, and wait for {} to settle.",
            "Good {} wants patience: without {} even strong {} withers.",
        ],
    },
    Voice {
        name: "kitchens",
        words: [
            "dough", "oven", "garlic", "saucepan", "yeast", "basil", "stock", "butter", "whisk", "braise",
            "crumbs", "kettle",
        ],
        sentences: [
            "When the {} changes, look at the {} first and only then at the {}.",
            "Stir some {} into warm {}, season it, and serve with {} at once.",
            "A cook's {} should be hot; cold {} spoils both {} and temper.",
            "Chop, fold and simmer: {} goes over {}, then {} on top.",
        ],
    },
    Voice {
        name: "harbours",
        words: [
            "tide", "mooring", "rigging", "anchor", "sails", "buoy", "keel", "channel", "pilot", "pier",
            "cargo", "ketch",
        ],
        sentences: [
            "The {} turns at noon, so ships must clear the {} while {} still holds.",
            "A careful skipper with one {} makes his {} last, for {} forgives nothing.",
            "Captains signal from {} to {} whenever fog hides a {} ahead.",
            "Under full moon {} drags hard on every {} and each old {} groans.",
        ],
    },
];
const DOCUMENTS: usize = 8;
const LINES: usize = 10;

/// Writes the texts: a subfolder a contributor.
pub fn write(folder: &Path) {
    let mut number = 0usize;
    let mut next = |most: usize| {
        // A small linear congruence: the same texts on every machine.
        number = (number * 1_103_515_245 + 12_345) % 2_147_483_648;
        (number >> 8) % most
    };
    for Voice { name, words, sentences } in VOICES {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("LICENSE.spdx"), "CC-BY-4.0\n").expect("written");
        for document in 0..DOCUMENTS {
            let mut text = format!("# Notes on {name}, part {document}\n\n");
            for _ in 0..LINES {
                let mut sentence = sentences[next(sentences.len())].to_string();
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
