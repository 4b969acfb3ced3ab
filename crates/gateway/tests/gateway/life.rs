//! How long a process of a test lives, counted in durable steps.

use std::sync::{Arc, Mutex};

/// What is left of the step at which a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing of what was not synced, renamed files and removed ones included.
    Lost,
    /// Half of what was written and not synced.
    Torn,
    /// Everything: the process ends before it hears so.
    Done,
}

/// How a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Well.
    Goes,
    /// It is the last.
    Ends(End),
    /// The process has ended before.
    Dead,
}

/// One process's steps.
#[derive(Debug)]
pub struct Life {
    end: End,
    /// Steps that go well.
    left: Mutex<i64>,
}

impl Life {
    /// A process that takes so many steps.
    pub fn new(steps: usize, end: End) -> Arc<Life> {
        Arc::new(Life { end, left: Mutex::new(steps as i64) })
    }

    /// Takes a step.
    pub fn step(&self) -> Step {
        let mut left = self.left.lock().unwrap();
        *left -= 1;
        match *left {
            0.. => Step::Goes,
            -1 => Step::Ends(self.end),
            _ => Step::Dead,
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        *self.left.lock().unwrap() < 0
    }
}
