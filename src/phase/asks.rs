//! What a program asks of transactions that Kong's log object lacks, and which of it each input's transactions had.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use logphase_script::needs::{Finding, Need, Note};
use logphase_script::transaction::Transaction;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Index of the step in the program.
    pub step: usize,
    /// Index of its field or function; `None` if the plugin itself asks, for its messages or its scope.
    pub part: Option<usize>,
}

/// Something that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub asker: Asker,
    /// For what, and on which line.
    pub finding: Finding,
}

/// After how many transactions without something it counts as never sent.
pub const WINDOW: u64 = 1000;

/// While something was in one of so many last transactions, it is not looked for.
const GRACE: u64 = WINDOW / 4;

/// What a program asks for.
#[derive(Debug, Default)]
pub struct Asks {
    all: Vec<Ask>,
    needs: Vec<Need>,
    watches: Vec<Watch>,
}

/// What the transactions of one input had.
#[derive(Debug, Default)]
struct Watch {
    transactions: AtomicU64,
    /// For each need, the number of transactions up to the last one that had it; 0 if none had.
    last: Vec<AtomicU64>,
}

impl Asks {
    /// Those of a program, watched on so many inputs.
    pub fn new(all: Vec<Ask>, inputs: usize) -> Self {
        let needs: BTreeSet<Need> = all.iter().filter_map(|ask| ask.finding.need().cloned()).collect();
        let needs: Vec<Need> = needs.into_iter().collect();
        let watch =
            || Watch { transactions: AtomicU64::new(0), last: needs.iter().map(|_| AtomicU64::new(0)).collect() };
        Self { watches: (0..inputs).map(|_| watch()).collect(), all, needs }
    }

    /// All of them, in the order of the program's steps and parts.
    pub fn all(&self) -> &[Ask] {
        &self.all
    }

    /// What a proxy has to send for them: each need once.
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Those who ask for `need`.
    pub fn askers<'a>(&'a self, need: &'a Need) -> impl Iterator<Item = &'a Ask> {
        self.all.iter().filter(move |ask| matches!(&ask.finding.note, Note::Needs(asked) if asked == need))
    }

    /// Looks at `transactions` of input number `input`.
    pub fn watch(&self, input: usize, transactions: &[Transaction]) {
        if self.needs.is_empty() {
            return;
        }
        let Some(watch) = self.watches.get(input) else { return };
        for transaction in transactions {
            let number = watch.transactions.fetch_add(1, Ordering::Relaxed) + 1;
            // Most transactions without anything have no `_context` at all.
            let context = transaction.get("_context").is_some();
            for (need, last) in self.needs.iter().zip(&watch.last) {
                let seen = last.load(Ordering::Relaxed);
                let due = seen == 0 || number.saturating_sub(seen) > GRACE;
                if due && (context || matches!(need, Need::Header(_))) && need.is_in(transaction) {
                    last.store(number, Ordering::Relaxed);
                }
            }
        }
    }

    /// What the transactions of input number `input` had: their number, and for each need whether one of the last
    /// [`WINDOW`] had it.
    pub fn seen(&self, input: usize) -> Option<(u64, impl Iterator<Item = (&Need, bool)>)> {
        let watch = self.watches.get(input)?;
        let transactions = watch.transactions.load(Ordering::Relaxed);
        let recent = move |last: u64| last > 0 && transactions.saturating_sub(last) < WINDOW + GRACE;
        let seen =
            self.needs.iter().zip(&watch.last).map(move |(need, last)| (need, recent(last.load(Ordering::Relaxed))));
        Some((transactions, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use logphase_script::transaction::Limits;

    fn transaction(text: &'static str) -> Transaction {
        Transaction::parse(Bytes::from_static(text.as_bytes()), &Limits::default()).expect("a transaction")
    }

    fn asks() -> Asks {
        let asker = Asker { step: 0, part: Some(0) };
        let ask = |member: &str| Ask {
            asker,
            finding: Finding { line: 1, note: Note::Needs(Need::of_member(member).expect("a member")) },
        };
        Asks::new(vec![ask("_context.vars.a"), ask("_context.vars.b"), ask("_context.vars.a")], 2)
    }

    fn seen(asks: &Asks, input: usize) -> (u64, Vec<bool>) {
        let (transactions, seen) = asks.seen(input).expect("an input");
        (transactions, seen.map(|(_, seen)| seen).collect())
    }

    /// Scenario: two needs of three snippets; an input has one of them in its first transaction and later nothing, another
    /// input has none.
    /// Guarantees: each need is there once, inputs do not share what they had, and what was sent once is missing again
    /// after as many transactions as the window (and its grace) has.
    #[test]
    fn what_is_never_sent_is_known() {
        let asks = asks();
        assert_eq!((asks.needs().len(), asks.askers(&asks.needs()[0]).count()), (2, 2));
        asks.watch(0, &[transaction(r#"{"_context":{"vars":{"b":"1"}}}"#)]);
        asks.watch(1, &[transaction("{}")]);
        assert_eq!(seen(&asks, 0), (1, vec![false, true]));
        assert_eq!(seen(&asks, 1), (1, vec![false, false]));
        let empty = vec![transaction("{}"); 1000];
        asks.watch(0, &empty);
        assert_eq!(seen(&asks, 0), (1001, vec![false, true]));
        asks.watch(0, &empty);
        assert_eq!(seen(&asks, 0), (2001, vec![false, false]));
        asks.watch(7, &empty);
        assert!(asks.seen(7).is_none());
    }

    /// Scenario: a need that every transaction meets, over several windows.
    /// Guarantees: it never counts as missing, although it is not looked for in each of them.
    #[test]
    fn what_is_always_sent_is_never_missing() {
        let asks = asks();
        for _ in 0..50 {
            asks.watch(0, &vec![transaction(r#"{"_context":{"vars":{"a":"1","b":"2"}}}"#); 101]);
            assert!(seen(&asks, 0).1.iter().all(|seen| *seen));
        }
    }
}
