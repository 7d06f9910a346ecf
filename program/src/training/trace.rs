//! Where a fit stood, step by step.

use secondo::Progress;

/// So many stands are kept at the most.
const KEPT: usize = 2000;

/// Where a fit stood.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    pub tried: usize,
    pub value: f64,
    pub gradient: f64,
}

/// Where a fit stood at its start and after accepted steps: after all, or after one of so many that a figure can show them.
#[derive(Debug, Default)]
pub struct Trace {
    stands: Vec<Stand>,
    last: Option<Stand>,
    seen: usize,
    halved: u32,
}

impl Trace {
    pub fn note(&mut self, progress: &Progress) {
        let stand = Stand {
            tried: progress.state.tried,
            value: progress.value,
            gradient: progress.gradient_norm,
        };
        // A method that takes over from another shows where that one ended.
        let before = self.last.replace(stand);
        if before.is_some_and(|before| before.tried == stand.tried) {
            return;
        }
        if self.seen.is_multiple_of(self.one_of()) {
            self.stands.push(stand);
        }
        self.seen += 1;
        if self.stands.len() > KEPT {
            let mut even = false;
            self.stands.retain(|_| {
                even = !even;
                even
            });
            self.halved += 1;
        }
    }

    /// Of how many steps one is kept.
    pub fn one_of(&self) -> usize {
        1 << self.halved
    }

    /// All that were kept, and the last.
    pub fn all(&self) -> impl Iterator<Item = Stand> {
        let kept = self.stands.last().map(|stand| stand.tried);
        let last = self.last.filter(|last| Some(last.tried) != kept);
        self.stands.iter().copied().chain(last)
    }
}
