//! The last transaction of each input, for people who want to try something with a real one. It is taken at most once a second, so that
//! batches cost nothing but a look at a flag.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use logphase_script::transaction::Transaction;

/// Bytes of a transaction that is kept, at most.
const MAX_BYTES: usize = 64 << 10;

/// The last transactions.
#[derive(Debug)]
pub struct LastTransactions {
    inputs: Vec<OfInput>,
}

#[derive(Debug)]
struct OfInput {
    name: &'static str,
    /// Whether the next transaction is to be taken.
    wanted: AtomicBool,
    last: Mutex<Option<String>>,
}

impl LastTransactions {
    /// For the inputs with these names, in the order of their numbers. None is taken before [`Self::want`].
    pub fn new(inputs: impl IntoIterator<Item = &'static str>) -> Self {
        let of_input = |name| OfInput { name, wanted: AtomicBool::new(false), last: Mutex::default() };
        Self { inputs: inputs.into_iter().map(of_input).collect() }
    }

    /// Takes one transaction of each input from now on: to be called once a second.
    pub fn want(&self) {
        self.inputs.iter().for_each(|input| input.wanted.store(true, Ordering::Relaxed));
    }

    /// Takes the last transaction of a batch of the input with this number, if one is wanted. It is copied: it may be a part of a large buffer.
    pub(super) fn offer(&self, input: usize, batch: &[Transaction]) {
        let Some(input) = self.inputs.get(input).filter(|input| input.wanted.load(Ordering::Relaxed)) else { return };
        let small = batch.iter().rev().find(|transaction| transaction.bytes().len() <= MAX_BYTES);
        if let Some(last) = small.filter(|_| input.wanted.swap(false, Ordering::Relaxed)) {
            *input.last.lock() = Some(String::from_utf8_lossy(last.bytes()).into_owned());
        }
    }

    /// The last transaction of each input that had one, with the name of the input.
    pub fn all(&self) -> Vec<(&'static str, String)> {
        self.inputs.iter().filter_map(|input| Some((input.name, input.last.lock().clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use logphase_script::transaction::Limits;

    fn batch(texts: &[&str]) -> Vec<Transaction> {
        let limits = Limits::default();
        texts.iter().map(|text| Transaction::parse(Bytes::copy_from_slice(text.as_bytes()), &limits).unwrap()).collect()
    }

    /// Scenario: batches before one is wanted, after it, and more of them; of an input that there is not; one whose last transaction is large.
    /// Guarantees: one transaction is taken each time that one is wanted, the last of its batch that is small enough; nothing else.
    #[test]
    fn one_is_taken_when_it_is_wanted() {
        let last = LastTransactions::new(["http", "tcp"]);
        last.offer(0, &batch(&["{\"n\":1}"]));
        assert_eq!(last.all(), []);
        last.want();
        last.offer(0, &batch(&["{\"n\":2}", "{\"n\":3}"]));
        last.offer(0, &batch(&["{\"n\":4}"]));
        last.offer(7, &batch(&["{\"n\":5}"]));
        assert_eq!(last.all(), [("http", "{\"n\":3}".to_owned())]);
        last.want();
        let large = format!("{{\"n\":\"{}\"}}", "x".repeat(MAX_BYTES));
        last.offer(1, &batch(&[&large]));
        last.offer(0, &batch(&["{\"n\":6}", &large]));
        assert_eq!(last.all(), [("http", "{\"n\":6}".to_owned())]);
    }
}
