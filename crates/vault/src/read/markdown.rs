//! Cleaning and cutting Markdown.

use std::collections::HashSet;

/// Paragraphs shorter than this may repeat: headings, "Returns an error", fences.
const MIN_REPEATED_BYTES: usize = 48;
/// Words in a heading that mark a section about terms and conduct rather than the subject.
const DROPPED_SECTIONS: &[&str] =
    &["license", "licence", "licensing", "contribut", "code of conduct", "copyright"];

/// `text` without badges, link definitions, HTML comments and sections about licences and contributing.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut code, mut comment) = (false, false);
    // Level of the heading whose section is being dropped.
    let mut dropping: Option<usize> = None;
    let lines: Vec<&str> = text.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            code = !code;
        } else if !code {
            if comment || start.starts_with("<!--") {
                comment = !start.contains("-->");
                continue;
            }
            if let Some((level, title)) = heading(start, lines.get(i + 1).copied()) {
                let title = title.to_ascii_lowercase();
                if dropping.is_none_or(|dropped| level <= dropped) {
                    dropping = DROPPED_SECTIONS.iter().any(|d| title.contains(d)).then_some(level);
                }
            }
            if start.starts_with("[![") || is_link_definition(start) || is_html_only(start) {
                continue;
            }
        }
        if dropping.is_none() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// Level and title of an ATX (`## x`) or setext (underlined) heading.
fn heading<'a>(line: &'a str, next: Option<&str>) -> Option<(usize, &'a str)> {
    let hashes = line.bytes().take_while(|b| *b == b'#').count();
    if (1..=6).contains(&hashes) && line.as_bytes().get(hashes) == Some(&b' ') {
        return Some((hashes, line[hashes..].trim()));
    }
    let underline = next?.trim();
    if line.is_empty() || underline.len() < 3 {
        return None;
    }
    let all = |c: u8| underline.bytes().all(|b| b == c);
    if all(b'=') {
        Some((1, line))
    } else if all(b'-') {
        Some((2, line))
    } else {
        None
    }
}

fn is_link_definition(line: &str) -> bool {
    line.starts_with('[') && line.split_once("]:").is_some_and(|(name, _)| !name[1..].contains(['[', ']']))
}

fn is_html_only(line: &str) -> bool {
    line.starts_with('<') && line.ends_with('>') && !line.contains("<http")
}

/// Blocks of Markdown: paragraphs, and fenced code as one block each.
fn blocks(text: &str) -> Vec<String> {
    let (mut blocks, mut block, mut code) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if line.trim().is_empty() && !code {
            if !block.is_empty() {
                blocks.push(std::mem::take(&mut block));
            }
        } else {
            block.push_str(line);
            block.push('\n');
        }
    }
    if !block.is_empty() {
        blocks.push(block);
    }
    blocks
}

/// Drops every paragraph that `seen` already has (in any spacing and case), remembers the others, and drops headings that
/// no text follows.
pub fn drop_repeated(text: &str, seen: &mut HashSet<u64>) -> String {
    let mut kept: Vec<String> = Vec::new();
    for block in blocks(text) {
        if block.len() >= MIN_REPEATED_BYTES {
            let words = crate::similar::words::words(&block);
            let key = words.iter().fold(words.len() as u64, |h, w| {
                crate::similar::words::mix(h.rotate_left(7) ^ u64::from(*w))
            });
            if !seen.insert(key) {
                continue;
            }
        }
        let heads = |block: &str| block.starts_with('#') && block.lines().count() == 1;
        let level = |block: &str| block.bytes().take_while(|b| *b == b'#').count();
        if heads(&block) {
            while kept.last().is_some_and(|last| heads(last) && level(last) >= level(&block)) {
                kept.pop();
            }
        }
        kept.push(block);
    }
    while kept.last().is_some_and(|last| last.starts_with('#') && last.lines().count() == 1) {
        kept.pop();
    }
    kept.join("\n")
}

/// Cuts at block borders, preferring headings, into parts of at most `limit` bytes. A single block past the limit is cut at a line,
/// or at a character where a line is too long.
pub fn cut(text: &str, limit: usize) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut part = String::new();
    for block in blocks(text) {
        // A heading opens a new part once this one is half full, so that sections stay whole.
        let full = part.len() + block.len() + 1 > limit || (block.starts_with('#') && part.len() * 2 > limit);
        if full && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
        }
        if block.len() <= limit {
            if !part.is_empty() {
                part.push('\n');
            }
            part.push_str(&block);
            continue;
        }
        for line in block.split_inclusive('\n') {
            if part.len() + line.len() > limit && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
            }
            let mut rest = line;
            while rest.len() > limit {
                let mut end = limit;
                while !rest.is_char_boundary(end) {
                    end -= 1;
                }
                parts.push(rest[..end].to_string());
                rest = &rest[end..];
            }
            part.push_str(rest);
        }
    }
    if !part.trim().is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terms_badges_and_link_definitions_go() {
        let text = "# X\n[![ci](a)](b)\nText [one][r].\n\n[r]: https://x\n## License\nMIT\n### Contribution\nmore\n## Use\nkeep\n";
        assert_eq!(clean(text), "# X\nText [one][r].\n\n## Use\nkeep\n");
    }

    #[test]
    fn a_paragraph_is_kept_once() {
        let mut seen = HashSet::new();
        let paragraph = "This long paragraph stands in the readme and in the crate documentation alike.";
        assert!(drop_repeated(paragraph, &mut seen).contains(paragraph));
        assert_eq!(drop_repeated(&format!("## Intro\n\n{}", paragraph.to_uppercase()), &mut seen), "");
    }

    proptest! {
        #[test]
        fn parts_fit_and_lose_nothing_but_blank_lines(text in "([a-zé#` ]{0,30}\n){0,40}", limit in 16usize..200) {
            let parts = cut(&text, limit);
            prop_assert!(parts.iter().all(|part| part.len() <= limit));
            let letters = |t: &str| t.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&parts.concat()), letters(&text));
        }
    }
}
