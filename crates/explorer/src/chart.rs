//! Bars over time, as the pages draw them.

use crate::format;
use alloy_primitives::U256;

/// Bars in one chart: of more values the last ones are drawn.
pub const BARS: usize = 40;
/// Width of the drawing.
const WIDTH: usize = 640;
/// Height of the highest bar.
const HEIGHT: u64 = 100;
/// The line that bars stand on.
const FLOOR: u64 = 120;

/// A chart in a drawing of 640 by 124.
pub struct Chart {
    /// What it shows, in words: its accessible name.
    pub label: String,
    /// Value of the highest bar, in OPEN.
    pub top: String,
    /// Bars from left to right.
    pub bars: Vec<Bar>,
}

/// One bar.
pub struct Bar {
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: u64,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: u64,
    /// What it stands for.
    pub title: String,
}

/// The last values in units, each with what it stands for, oldest first.
pub fn bars(what: &str, values: &[(U256, String)]) -> Chart {
    let shown = &values[values.len().saturating_sub(BARS)..];
    let most = shown.iter().map(|(units, _)| *units).max().unwrap_or_default().max(U256::from(1));
    // A few values stand in wide bars, many in narrow ones.
    let step = (WIDTH / shown.len().max(1)).clamp(WIDTH / BARS, 64);
    let bars = shown
        .iter()
        .enumerate()
        .map(|(index, (units, title))| {
            let height = (units.saturating_mul(U256::from(HEIGHT)) / most).saturating_to::<u64>().max(1);
            let title = format!("{title}: {} OPEN", format::open(*units));
            Bar { x: index * step, y: FLOOR - height, width: step - step / 5, height, title }
        })
        .collect();
    let label = format!("{what}: {} shown, the highest {} OPEN", shown.len(), format::open(most));
    Chart { label, top: format::open(most), bars }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_inside_of_the_drawing_and_the_highest_is_full() {
        for count in [0usize, 1, 3, 40, 500] {
            let values: Vec<(U256, String)> =
                (0..count).map(|i| (U256::from(i * i), format!("value {i}"))).collect();
            let chart = bars("Values", &values);
            assert_eq!(chart.bars.len(), count.min(BARS));
            assert!(chart.bars.iter().all(|bar| bar.x + bar.width <= WIDTH && bar.y + bar.height == FLOOR));
            assert_eq!(
                chart.bars.last().map(|bar| bar.height),
                (count > 0).then_some(if count == 1 { 1 } else { HEIGHT })
            );
        }
    }
}
