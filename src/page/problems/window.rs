//! How much counters have grown lately.

use std::collections::{HashMap, VecDeque};

use crate::delivery::PluginStats;
use crate::input::Reason;
use crate::page::figures::Sample;
use crate::phase::Step;
use logphase_script::Stop;

/// Steps of ten seconds: the time of alert rules that look back five and ten minutes.
pub(super) const FIVE_MINUTES: u64 = 30;
pub(super) const TEN_MINUTES: u64 = 60;

/// Reasons for which [`PluginStats`] counts dropped messages.
const REASONS: usize = 8;

/// How much a counter has grown, step by step. One that stands still takes no memory for it.
#[derive(Debug, Default)]
pub(super) struct Window {
    total: u64,
    grown: VecDeque<(u64, u64)>,
}

impl Window {
    /// Takes what the counter is in step number `step`. All counters begin at 0, as the service does.
    fn see(&mut self, step: u64, total: u64) {
        let grown = total.saturating_sub(std::mem::replace(&mut self.total, total));
        match self.grown.back_mut() {
            Some((last, sum)) if *last == step => *sum += grown,
            _ if grown > 0 => self.grown.push_back((step, grown)),
            _ => {}
        }
        while self.grown.front().is_some_and(|(first, _)| first + TEN_MINUTES <= step) {
            self.grown.pop_front();
        }
    }

    /// How much it has grown in the last `steps` steps up to `step`.
    pub(super) fn within(&self, step: u64, steps: u64) -> u64 {
        self.grown.iter().filter(|(at, _)| at + steps > step).map(|(_, grown)| grown).sum()
    }
}

/// The counters of a plugin.
#[derive(Debug, Default)]
pub(super) struct OfPlugin {
    /// By reason, as [`PluginStats::dropped_by_reason`].
    pub(super) dropped: [Window; REASONS],
    pub(super) refused: Window,
}

/// The counters of a snippet.
#[derive(Debug, Default)]
pub(super) struct OfSnippet {
    pub(super) errors: Window,
    /// Runs that were stopped or left out.
    pub(super) stopped: Window,
}

/// The counters of an input.
#[derive(Debug, Default)]
pub(super) struct OfInput {
    /// By reason, in the order of [`Reason::ALL`].
    pub(super) rejected: [Window; Reason::ALL.len()],
    pub(super) lost: Window,
}

/// The counters that alert rules look back on.
#[derive(Debug, Default)]
pub(in crate::page) struct Windows {
    pub(super) step: u64,
    /// By the plugin's id.
    pub(super) plugins: HashMap<String, OfPlugin>,
    /// Those of the active configuration's snippets, by the plugin's id, in the order of its parts.
    pub(super) snippets: HashMap<String, Vec<OfSnippet>>,
    pub(super) inputs: HashMap<&'static str, OfInput>,
    pub(super) syncs: Window,
    pub(super) slow_syncs: Window,
}

impl Windows {
    /// Takes the counters of `sample` in step number `step`.
    pub(in crate::page) fn see(&mut self, step: u64, sample: &Sample) {
        self.step = step;
        let mut before = std::mem::take(&mut self.plugins);
        for stats in &sample.plugins {
            let mut windows = before.remove(&stats.identity).unwrap_or_default();
            windows.see(step, stats);
            self.plugins.insert(stats.identity.clone(), windows);
        }
        let mut before = std::mem::take(&mut self.snippets);
        if let Some(generation) = &sample.generation {
            for plugin in generation.program.steps.iter().filter(|plugin| !plugin.parts.is_empty()) {
                let mut windows = before.remove(&plugin.id).unwrap_or_default();
                see_snippets(&mut windows, step, plugin);
                self.snippets.insert(plugin.id.clone(), windows);
            }
        }
        for (name, counters) in &sample.inputs {
            let windows = self.inputs.entry(name).or_default();
            for (window, reason) in windows.rejected.iter_mut().zip(Reason::ALL) {
                window.see(step, counters.rejected(reason));
            }
            windows.lost.see(step, counters.lost());
        }
        self.syncs.see(step, sample.syncs.0);
        self.slow_syncs.see(step, sample.syncs.1);
    }
}

impl OfPlugin {
    fn see(&mut self, step: u64, stats: &PluginStats) {
        for (window, (_, total)) in self.dropped.iter_mut().zip(stats.dropped_by_reason()) {
            window.see(step, total);
        }
        self.refused.see(step, stats.counters.refusals);
    }
}

fn see_snippets(windows: &mut Vec<OfSnippet>, step: u64, plugin: &Step) {
    let are_new = windows.len() != plugin.parts.len();
    if are_new {
        *windows = plugin.parts.iter().map(|_| OfSnippet::default()).collect();
    }
    for (windows, breaker) in windows.iter_mut().zip(plugin.breakers()) {
        let totals = breaker.totals();
        let stops = Stop::ALL.into_iter().filter(|stop| *stop != Stop::Suspended).map(|stop| totals.stops(stop));
        let stopped = stops.sum::<u64>() + totals.skipped();
        if are_new && step > 1 {
            // Snippets keep their totals over a change of the configuration.
            (windows.errors.total, windows.stopped.total) = (totals.errors(), stopped);
        }
        windows.errors.see(step, totals.errors());
        windows.stopped.see(step, stopped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a counter grows in some steps, twice in one, stands still, and is reset. Guarantees: what it has grown in a time is the sum;
    /// what is older than ten minutes is forgotten.
    #[test]
    fn growth_is_summed() {
        let mut window = Window::default();
        window.see(1, 5);
        window.see(1, 7);
        window.see(2, 7);
        window.see(FIVE_MINUTES, 8);
        assert_eq!(window.within(FIVE_MINUTES, FIVE_MINUTES), 8);
        assert_eq!(window.within(FIVE_MINUTES + 1, FIVE_MINUTES), 1);
        window.see(TEN_MINUTES, 3);
        assert_eq!(window.within(TEN_MINUTES, TEN_MINUTES), 8);
        window.see(TEN_MINUTES + 1, 4);
        assert_eq!((window.within(TEN_MINUTES + 1, TEN_MINUTES), window.grown.len()), (2, 2));
    }
}
