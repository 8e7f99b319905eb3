//! SimpleConsumer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{json, Value};

use crate::sdk::*;

/// Of the messages received every second one is acknowledged; prints when and as which attempt the others came again,
/// and the answer to an ack with a receipt handle that ran out.
pub async fn simple() -> Value {
    const PER_KIND: usize = 3;
    const COUNT: usize = 2 * PER_KIND;
    let is_left = |i: usize| i % 2 == 1;
    let producer = start_producer(&[topic()]).await;
    let drafts = (0..COUNT).map(|i| Draft::new(&topic(), i, "m"));
    send_all(&producer, drafts.collect()).await;
    let reading = Reading { invisible: Duration::from_secs(10), ..Reading::all(&topic()) };
    let consumer = start_simple(&group(""), &[topic()]).await;
    let mut first = HashMap::new();
    while first.len() < COUNT {
        let asked_at = now_ms();
        for view in persist(|| try_receive(&consumer, &reading), || {}).await.expect("messages") {
            if view.delivery_attempt() != 1 {
                complain(format!("first attempt is {}", view.delivery_attempt()));
            }
            first.insert(number_of(&view), (asked_at, Arc::new(view)));
        }
    }
    for (_, view) in first.iter().filter(|(i, _)| !is_left(**i)).map(|(_, one)| one) {
        ack(&consumer, view).await.expect("an ack");
    }
    middle();
    let mut again = Vec::<Value>::new();
    let mut stale = String::new();
    let ends_at = now_ms() + patience().as_millis() as i64;
    while again.len() < PER_KIND && now_ms() < ends_at {
        for view in persist(|| try_receive(&consumer, &reading), || {}).await.expect("messages") {
            let (i, view) = (number_of(&view), Arc::new(view));
            let kind = if is_left(i) { "left" } else { "acked" };
            let after_ms = now_ms() - first[&i].0;
            again.push(
                json!({ "kind": kind, "afterMs": after_ms, "attempt": view.delivery_attempt() }),
            );
            stale = match ack(&consumer, &first[&i].1).await {
                Ok(()) => "accepted".to_string(),
                Err(failure) => failure.code,
            };
            ack(&consumer, &view).await.expect("an ack");
        }
    }
    let left = persist(|| try_receive(&consumer, &reading), || {}).await.expect("an answer");
    let left: Vec<_> = left.iter().map(number_of).collect();
    json!({ "perKind": PER_KIND, "kinds": ["left"], "again": again, "left": left, "stale": stale })
}
