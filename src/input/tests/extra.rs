//! An input that only this test has: what a new one takes, and that one row of a table is all that names it.

use tokio::sync::mpsc;

use super::*;
use crate::decode::kong::Format;
use crate::decode::{Decode, KongDecoder};
use crate::input::tests::harness::wait_until;
use logphase_config::schema;
use serde::Deserialize;

/// Settings of the input: the frames that it "receives".
#[derive(Debug, PartialEq, Deserialize)]
struct ReplaySettings {
    frames: Vec<String>,
}

static FIELDS: Record =
    Record::new(&[Field::array("frames", &Field::string("")).required().default(schema::Default::Strings(&[]))]);

/// Takes frames out of its settings, each of which is one or several log objects.
struct Replay {
    frames: Vec<String>,
    decoder: KongDecoder,
}

impl Input for Replay {
    const NAME: &'static str = "replay";
    const ABOUT: &'static str = "Frames from the settings.";
    const SETTINGS: &'static Record = &FIELDS;
    type Settings = ReplaySettings;

    fn new(settings: ReplaySettings, shared: Shared<'_>) -> Option<Self> {
        let decoder = KongDecoder::new(Format::Document, shared.limits.transaction());
        (!settings.frames.is_empty()).then_some(Self { frames: settings.frames, decoder })
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let (sender, frames) = mpsc::channel(self.frames.len());
        for frame in self.frames {
            sender.try_send(frame).expect("there is room for every frame");
        }
        Ok(Box::new(BoundReplay { decoder: self.decoder, frames, _sender: sender }))
    }
}

struct BoundReplay {
    decoder: KongDecoder,
    frames: mpsc::Receiver<String>,
    _sender: mpsc::Sender<String>,
}

impl BoundInput for BoundReplay {
    fn addresses(&self) -> Vec<Address> {
        Vec::new()
    }

    fn serve(mut self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let frame = tokio::select! {
                    biased;
                    () = context.stopped() => return,
                    frame = self.frames.recv() => frame.expect("the input holds a sender"),
                };
                let counters = context.counters();
                counters.count_bytes(frame.len());
                let mut transactions = Vec::new();
                if let Err(error) = self.decoder.decode(frame.into(), &mut transactions) {
                    counters.count_rejected(Reason::from(&error));
                    continue;
                }
                let count = transactions.len();
                match context.intake().offer(transactions).await {
                    Ok(()) => counters.count_received(count),
                    Err(_) => counters.count_lost(count as u64),
                }
            }
        })
    }
}

/// Scenario: a table with the built-in inputs and one more; settings that leave the new one off, and that give it frames,
/// one of them bad.
/// Guarantees: the row is all that binds, serves, counts and stops it; it is off by default; a change of its settings is
/// told from the same settings.
#[tokio::test]
async fn one_row_adds_an_input() {
    let table = [INPUTS, &[Definition::of::<Replay>()]].concat();
    let off = settings(&[]);
    assert!(Inputs::bind(&table, &off).unwrap().is_empty());

    let mut on = settings(&[]);
    on.inputs.set("replay", "frames", vec![r#"{"a":1}"#, "nope", r#"[{"b":2},{"c":3}]"#]);
    let replay = table.last().unwrap();
    assert_eq!((replay.name, replay.about), ("replay", "Frames from the settings."));
    assert!(replay.same_settings(&on.inputs, &on.inputs) && !replay.same_settings(&on.inputs, &off.inputs));
    assert!(replay.files(&on).write.is_empty());

    let inputs = Inputs::bind(&table, &on).unwrap();
    assert_eq!(inputs.addresses(), []);
    let mut harness = Harness::serve(inputs);
    assert_eq!(harness.worker().wait_for(3).await, [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
    let (name, counters) = &harness.serving.counters()[0];
    assert_eq!(*name, "replay");
    wait_until("the last frame to be counted", || counters.received() == 3).await;
    assert_eq!((counters.bytes(), counters.rejected(Reason::Malformed), counters.lost()), (28, 1, 0));
    harness.stop().await;
}
