//! What the broker has to refuse. The SDK panics on status codes that it does not know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocketmq::model::common::Endpoints;
use rocketmq::model::message::{AckMessageEntry, MessageView};
use rocketmq::{Producer, SimpleConsumer};
use serde_json::{json, Value};

use crate::sdk::*;

/// A message with a receipt handle that no broker made.
struct Forged(Arc<MessageView>);

impl AckMessageEntry for Forged {
    fn topic(&self) -> String {
        self.0.topic().to_string()
    }
    fn message_id(&self) -> String {
        self.0.message_id().to_string()
    }
    fn receipt_handle(&self) -> String {
        "bm90IGEgaGFuZGxl".to_string()
    }
    fn endpoints(&self) -> &Endpoints {
        self.0.endpoints()
    }
}

/// A message as the topic takes it: one that is soon due.
fn good(i: usize) -> Draft {
    let mut draft = Draft::new(&topic(), i, format!("good {i}"));
    draft.delivery_seconds = Some(now_seconds() + 1);
    draft
}

fn word<T>(answer: Result<T, Failure>) -> String {
    match answer {
        Ok(_) => "accepted".to_string(),
        Err(failure) if failure.panicked => "panic".to_string(),
        Err(failure) if failure.code.is_empty() => failure.text,
        Err(failure) => failure.code,
    }
}

/// Does all that must be refused, and prints the answers by case.
async fn provoke(
    producer: &Arc<Producer>,
    consumer: &Arc<SimpleConsumer>,
    view: &Arc<MessageView>,
) -> BTreeMap<&'static str, String> {
    let sends = [
        ("empty body", Draft { body: vec![], ..good(0) }),
        ("body too large", Draft { body: vec![120; 5 << 20], ..good(0) }),
        ("unknown topic", Draft { topic: format!("{}-unknown", topic()), ..good(0) }),
        ("wrong message type", Draft { delivery_seconds: None, ..good(0) }),
        (
            "delay too long",
            Draft { delivery_seconds: Some(now_seconds() + 10 * 365 * 86_400), ..good(0) },
        ),
    ];
    let mut answers = BTreeMap::new();
    for (case, draft) in sends {
        answers.insert(case, word(persist(|| try_send(producer, draft.clone()), || {}).await));
    }
    let forge = || {
        let (consumer, forged) = (consumer.clone(), Forged(view.clone()));
        call(async move { consumer.ack(&forged).await })
    };
    answers.insert("no receipt handle", word(persist(forge, || {}).await));
    let short = Reading { invisible: Duration::from_secs(1), ..Reading::all(&topic()) };
    let received = persist(|| try_receive(consumer, &short), || {}).await;
    answers.insert("invisible for too short", word(received));
    let unknown = Reading::all(&format!("{}-unknown", topic()));
    answers.insert(
        "receive of an unknown topic",
        word(persist(|| try_receive(consumer, &unknown), || {}).await),
    );
    answers
}

/// The same client goes on after all refusals, also after the leader was killed.
pub async fn refusals() -> Value {
    let producer = start_producer(&[topic()]).await;
    let (reading, consumer) = (Reading::all(&topic()), start_simple(&group(""), &[topic()]).await);
    let received = Mutex::new(Vec::<Arc<MessageView>>::new());
    let take = |view: &Arc<MessageView>| {
        if view.body() != format!("good {}", number_of(view)).as_bytes() {
            complain(format!("came: {}", String::from_utf8_lossy(view.body())));
        }
        received.lock().unwrap().push(view.clone());
        true
    };
    let came = |count: usize| received.lock().unwrap().len() == count;
    send(&producer, good(0)).await;
    receive_until(&consumer, &reading, Until::Done(&|| came(1)), take).await;
    let view = received.lock().unwrap()[0].clone();
    let mut answers = provoke(&producer, &consumer, &view).await;
    middle();
    for (case, answer) in provoke(&producer, &consumer, &view).await {
        if answers.insert(case, answer.clone()) != Some(answer.clone()) {
            complain(format!("second answer to {case}: {answer}"));
        }
    }
    send(&producer, good(1)).await;
    receive_until(&consumer, &reading, Until::Done(&|| came(2)), take).await;
    json!({ "answers": answers, "sent": 2, "received": received.lock().unwrap().len() })
}
