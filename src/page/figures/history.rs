//! The figures of the last hour, in rings whose memory is bounded.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use serde_json::Value;

use super::{Rates, Sample};
use crate::delivery::PluginStats;

/// Seconds from one point to the next.
pub(in crate::page) const STEP_SECONDS: u64 = 10;
/// Points of a series: one hour.
const POINTS: usize = 360;
/// Plugins with series, at most: with the others, 3.4 MiB.
const MAX_PLUGINS: usize = 300;
/// Plugins that get the place of another one, in one step at most.
const MAX_MOVES: usize = 8;

const SERVICE: [&str; 3] = ["transactions", "cpu", "memory"];
const INPUT: [&str; 3] = ["received", "rejected", "lost"];
const PLUGIN: [&str; 8] = ["delivered", "enqueued", "depth", "oldest", "errors", "retried", "dropped", "dead_letters"];

/// Series of the same points. What is not known is not a number.
struct Rings<const N: usize> {
    points: Box<[[f32; N]]>,
}

impl<const N: usize> Default for Rings<N> {
    fn default() -> Self {
        Self { points: vec![[f32::NAN; N]; POINTS].into() }
    }
}

/// Series that can be shown.
trait Series {
    /// Appends series number `number`, which ends at `step`, as JSON.
    fn write(&self, number: usize, step: u64, out: &mut String);
}

impl<const N: usize> Rings<N> {
    fn set(&mut self, step: u64, values: [f64; N]) {
        self.points[place(step)] = values.map(|value| value as f32);
    }

    fn forget(&mut self, step: u64) {
        self.points[place(step)] = [f32::NAN; N];
    }
}

impl<const N: usize> Series for Rings<N> {
    fn write(&self, number: usize, step: u64, out: &mut String) {
        for at in 0..POINTS as u64 {
            let value = self.points[place(step + 1 + at)][number];
            out.push_str(if at == 0 { "" } else { "," });
            if value.is_finite() {
                // A whole number is written as one. A text takes every write.
                let _ = write!(out, "{value}");
            } else {
                out.push_str("null");
            }
        }
    }
}

fn place(step: u64) -> usize {
    (step % POINTS as u64) as usize
}

/// The series of a plugin, and how busy it was at its last point.
#[derive(Default)]
struct OfPlugin {
    rings: Rings<{ PLUGIN.len() }>,
    weight: f64,
}

/// The figures of the last hour.
#[derive(Default)]
pub(in crate::page) struct History {
    /// The number of the last point.
    step: u64,
    /// When it was, in milliseconds since 1970.
    at: u64,
    service: Rings<{ SERVICE.len() }>,
    inputs: BTreeMap<&'static str, Rings<{ INPUT.len() }>>,
    plugins: BTreeMap<String, OfPlugin>,
    left_out: usize,
}

impl History {
    /// Adds point number `step`, of the time `at` in milliseconds since 1970, with `rates` since the point before it.
    pub(in crate::page) fn add(&mut self, step: u64, at: u64, sample: &Sample, rates: &Rates) {
        // Points that were missed, because the machine was suspended, are not those of an hour ago.
        let missed = (self.step + 1).max((step + 1).saturating_sub(POINTS as u64))..step;
        for step in missed.chain([step]) {
            self.service.forget(step);
            self.inputs.values_mut().for_each(|rings| rings.forget(step));
            self.plugins.values_mut().for_each(|plugin| plugin.rings.forget(step));
        }
        (self.step, self.at) = (step, at);
        self.service.set(step, [rates.transactions, rates.cpu, sample.memory as f64]);
        for (name, rates) in &rates.inputs {
            self.inputs.entry(name).or_default().set(step, [rates.received, rates.rejected, rates.lost]);
        }
        let present: BTreeMap<&str, &PluginStats> =
            sample.plugins.iter().map(|stats| (stats.identity.as_str(), stats)).collect();
        self.plugins.retain(|id, _| present.contains_key(id.as_str()));
        let (mut moves, mut least) = (MAX_MOVES, None);
        for (id, stats) in &present {
            least = least.or_else(|| self.least());
            let Some(rates) = rates.plugins.get(*id) else { continue };
            let weight = weight(stats, rates.enqueued + rates.delivered);
            if !self.plugins.contains_key(*id) && self.plugins.len() >= MAX_PLUGINS {
                // Clearly less, so that plugins that are alike do not take turns.
                let Some((other, _)) = least.take_if(|(_, other)| moves > 0 && *other * 2.0 + 1.0 < weight) else {
                    continue;
                };
                self.plugins.remove(&other);
                moves -= 1;
            }
            let plugin = self.plugins.entry((*id).to_owned()).or_default();
            plugin.weight = weight;
            let values = [
                rates.delivered,
                rates.enqueued,
                stats.counters.depth as f64,
                stats.oldest.map_or(0.0, |age| age.as_secs_f64()),
                rates.failed,
                rates.retried,
                rates.dropped,
                stats.dead.letters as f64,
            ];
            plugin.rings.set(step, values);
        }
        self.left_out = present.len() - self.plugins.len();
    }

    /// The plugin with series that matters least.
    fn least(&self) -> Option<(String, f64)> {
        let least = self.plugins.iter().min_by(|(_, a), (_, b)| a.weight.total_cmp(&b.weight));
        least.map(|(id, plugin)| (id.clone(), plugin.weight))
    }

    /// Every series: its key, and the rings with its number in them.
    fn series(&self) -> impl Iterator<Item = (String, &dyn Series, usize)> {
        let service = names(&SERVICE).map(|(at, name)| (name.to_owned(), &self.service as &dyn Series, at));
        let inputs = self.inputs.iter().flat_map(|(input, rings)| {
            names(&INPUT).map(move |(at, name)| (format!("input:{input}:{name}"), rings as &dyn Series, at))
        });
        let plugins = self.plugins.iter().flat_map(|(id, plugin)| {
            names(&PLUGIN).map(move |(at, name)| (format!("plugin:{id}:{name}"), &plugin.rings as &dyn Series, at))
        });
        service.chain(inputs).chain(plugins)
    }

    /// The series, or those with one of `keys`, as JSON.
    pub(in crate::page) fn json(&self, keys: Option<&HashSet<String>>) -> String {
        let from = self.at.saturating_sub((POINTS as u64 - 1) * STEP_SECONDS * 1000);
        let left_out = self.left_out;
        let mut out = format!("{{\"step_seconds\":{STEP_SECONDS},\"from\":{from},\"left_out\":{left_out},\"series\":[");
        let mut comma = "";
        for (key, rings, number) in self.series().filter(|(key, ..)| keys.is_none_or(|keys| keys.contains(key))) {
            // A text takes every write.
            let _ = write!(out, "{comma}{{\"key\":{},\"values\":[", Value::from(key));
            rings.write(number, self.step, &mut out);
            out.push_str("]}");
            comma = ",";
        }
        out.push_str("]}\n");
        out
    }
}

fn names(names: &'static [&'static str]) -> impl Iterator<Item = (usize, &'static str)> {
    names.iter().copied().enumerate()
}

/// How much a plugin matters: those with problems most, then the busiest.
fn weight(stats: &PluginStats, rate: f64) -> f64 {
    let has_problem = stats.failing || stats.unwritable || stats.unreadable || stats.dead.letters > 0;
    rate + if has_problem { 1e12 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::figures::tests::{rates_of, sample_of};

    fn read(history: &History, keys: &[&str]) -> Value {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        serde_json::from_str(&history.json(Some(&keys))).unwrap()
    }

    /// Scenario: points of more than an hour, with a gap, of a plugin that is removed. Guarantees: the last hour is there, oldest first; what is
    /// not known is null; a removed plugin takes no memory.
    #[test]
    fn the_last_hour() {
        let mut history = History::default();
        for step in (1..=POINTS as u64 + 50).filter(|step| !(400..405).contains(step)) {
            let plugins = [("a", step as f64)];
            history.add(step, 1_000_000_000 + step * 10_000, &sample_of(&plugins), &rates_of(&plugins));
        }
        let shown = read(&history, &["plugin:a:delivered", "transactions", "nothing"]);
        let values = shown["series"][1]["values"].as_array().unwrap();
        assert_eq!((values.len(), shown["series"].as_array().unwrap().len()), (POINTS, 2));
        assert_eq!((&values[0], &values[POINTS - 1]), (&Value::from(51), &Value::from(410)));
        let unknown: Vec<usize> =
            values.iter().enumerate().filter(|(_, value)| value.is_null()).map(|(at, _)| at).collect();
        assert_eq!(unknown, [349, 350, 351, 352, 353]);
        assert_eq!(shown["from"], 1_000_000_000 + 51 * 10_000);
        history.add(2000, 0, &sample_of(&[]), &rates_of(&[]));
        assert!(history.plugins.is_empty());
        let shown = read(&history, &["transactions"]);
        let values = shown["series"][0]["values"].as_array().unwrap();
        assert!(values[..POINTS - 1].iter().all(Value::is_null) && values[POINTS - 1].is_number());
    }

    /// Scenario: more plugins than have a place, most of them idle; later idle ones become busy. Guarantees: memory is bounded; the busiest get a
    /// place, and the answer says how many have none.
    #[test]
    fn memory_is_bounded() {
        let names: Vec<String> = (0..MAX_PLUGINS + 20).map(|at| format!("p{at:04}")).collect();
        let busy = |from: usize| {
            names.iter().enumerate().map(move |(at, name)| (name.as_str(), if at >= from { 1000.0 } else { 0.0 }))
        };
        let mut history = History::default();
        let mut step = 0;
        let mut add = |history: &mut History, from: usize| {
            step += 1;
            let plugins: Vec<_> = busy(from).collect();
            history.add(step, 0, &sample_of(&plugins), &rates_of(&plugins));
        };
        add(&mut history, 10);
        assert_eq!((history.plugins.len(), history.left_out), (MAX_PLUGINS, 20));
        for _ in 0..5 {
            add(&mut history, 10);
        }
        assert!((0..10).all(|at| !history.plugins.contains_key(&names[at])), "idle ones have no place");
        let bytes = POINTS * 4 * (SERVICE.len() + 20 * INPUT.len() + MAX_PLUGINS * PLUGIN.len());
        assert!(bytes < 4 << 20, "{bytes}");
    }
}
