//! How the demo tells what it does: chapters and facts for people, on standard output; on standard error when standard output
//! carries JSON. Progress of long work stands on one line that is overwritten on a terminal.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::Instant,
};

/// The teller.
#[derive(Debug)]
pub struct Story {
    json: bool,
    terminal: bool,
    started: Instant,
    stage: Option<(&'static str, Instant)>,
    seconds: BTreeMap<&'static str, f64>,
    last_progress: Option<Instant>,
}

impl Story {
    /// Tells on standard output, or on standard error when `json`.
    pub fn new(json: bool) -> Story {
        Story {
            json,
            terminal: std::io::stderr().is_terminal(),
            started: Instant::now(),
            stage: None,
            seconds: BTreeMap::new(),
            last_progress: None,
        }
    }

    fn line(&self, text: &str) {
        if self.terminal && self.last_progress.is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[2K");
        }
        if self.json {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        } else {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }

    /// Begins a chapter; `stage` is its name in the timings.
    pub fn chapter(&mut self, stage: &'static str, title: &str) {
        self.end_stage();
        self.stage = Some((stage, Instant::now()));
        self.line(&format!("\n{title}"));
    }

    /// A fact.
    pub fn tell(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref().lines().map(|line| format!("   {line}")).collect::<Vec<_>>().join("\n");
        self.line(&text);
        self.last_progress = None;
    }

    /// How far long work is; at most a few times a second on a terminal, every ten seconds elsewhere.
    pub fn progress(&mut self, text: impl AsRef<str>) {
        let pause = if self.terminal { 0.1 } else { 10.0 };
        if self.last_progress.is_some_and(|last| last.elapsed().as_secs_f64() < pause) {
            return;
        }
        self.last_progress = Some(Instant::now());
        let mut stderr = std::io::stderr().lock();
        let _ = if self.terminal {
            write!(stderr, "\r\x1b[2K   {}", text.as_ref()).and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "   {}", text.as_ref())
        };
    }

    fn end_stage(&mut self) {
        if let Some((stage, since)) = self.stage.take() {
            *self.seconds.entry(stage).or_default() += since.elapsed().as_secs_f64();
        }
    }

    /// Ends the last chapter; seconds by stage, and in all.
    pub fn end(&mut self) -> BTreeMap<&'static str, f64> {
        self.end_stage();
        let mut seconds = self.seconds.clone();
        seconds.insert("total", self.started.elapsed().as_secs_f64());
        for value in seconds.values_mut() {
            *value = (*value * 1000.0).round() / 1000.0;
        }
        seconds
    }
}
