//! How long each step took, in powers of two.

use std::time::Instant;

/// How many steps took at most 1, 2, 4, ... microseconds.
#[derive(Default)]
pub struct Steps([u64; 24]);

impl Steps {
    /// Times a step.
    pub fn time(&mut self, step: impl FnOnce()) {
        let begun = Instant::now();
        step();
        let us = begun.elapsed().as_micros() as u64;
        self.0[(us.max(1).next_power_of_two().ilog2() as usize).min(23)] += 1;
    }

    /// Prints them.
    pub fn show(&self, name: &str) {
        println!("{name}: {} steps", self.0.iter().sum::<u64>());
        for (power, steps) in self.0.iter().enumerate().filter(|(_, steps)| **steps > 0) {
            println!("  up to {:>8} us: {steps:>8}", 1u64 << power);
        }
    }
}
