//! Normal, FIFO and delayed messages.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use rocketmq::model::message::MessageView;
use serde_json::{json, Value};

use crate::sdk::*;

/// Many messages with all that a message can carry; the leader may be killed while ten sends are on their way.
pub async fn normal() -> Value {
    const COUNT: usize = 100;
    const HALF: usize = COUNT / 2;
    let body_of = |i: usize| format!("message {i}: größer, 漢字, 🚀 {}", "x".repeat(i));
    let draft = |i: usize| {
        let mut made = Draft::new(&topic(), i, body_of(i));
        made.tag = Some("tag-a".to_string());
        made.keys = vec![format!("key-{i}"), format!("second-{i}")];
        made.properties.insert("größe".to_string(), "élan 漢字 🚀".to_string());
        made
    };
    let drafts = |from: usize, end: usize| (from..end).map(draft).collect::<Vec<_>>();
    let producer = start_producer(&[topic()]).await;
    let mut receipts = send_all(&producer, drafts(0, HALF)).await;
    let (sender, flying) = (producer.clone(), drafts(HALF, HALF + 10));
    let in_flight = tokio::spawn(async move { send_all(&sender, flying).await });
    tokio::task::spawn_blocking(middle).await.expect("the middle");
    receipts.extend(in_flight.await.expect("receipts"));
    receipts.extend(send_all(&producer, drafts(HALF + 10, COUNT)).await);

    let stored = Mutex::new(HashMap::<usize, usize>::new());
    let redelivered = Mutex::new(0);
    let take = |view: &Arc<MessageView>| {
        let i = number_of(view);
        if view.body() != body_of(i).as_bytes() {
            complain(format!("body of {i}"));
        }
        if view.tag() != Some("tag-a") {
            complain(format!("tag of {i} is {:?}", view.tag()));
        }
        if view.keys() != [format!("key-{i}"), format!("second-{i}")] {
            complain(format!("keys of {i} are {:?}", view.keys()));
        }
        if view.properties().get("größe").map(String::as_str) != Some("élan 漢字 🚀") {
            complain(format!("property of {i}"));
        }
        if view.message_id() != receipts[i].message_id() {
            complain(format!("id of {i}"));
        }
        if view.delivery_attempt() > 1 {
            *redelivered.lock().unwrap() += 1;
        } else {
            *stored.lock().unwrap().entry(i).or_default() += 1;
        }
        true
    };
    let all = || stored.lock().unwrap().len() == COUNT;
    let consumer = start_simple(&group(""), &[topic()]).await;
    receive_until(&consumer, &Reading::all(&topic()), Until::Done(&all), take).await;
    let stored = stored.lock().unwrap();
    json!({ "count": COUNT, "sent": receipts.len(), "resent": resent(), "storedTwice": more_than_once(&stored),
        "simple": stored.len(), "simpleTwice": *redelivered.lock().unwrap() })
}

/// Several message groups, one send after the other in each; prints what came of each, in order.
pub async fn fifo() -> Value {
    const GROUPS: usize = 4;
    const COUNT: usize = 20;
    let producer = start_producer(&[topic()]).await;
    let send_group = |g: usize| {
        let producer = producer.clone();
        tokio::spawn(async move {
            for i in 0..COUNT {
                let mut draft = Draft::new(&topic(), i, format!("{g}/{i}"));
                draft.message_group = Some(format!("group-{g}"));
                send(&producer, draft).await;
            }
        })
    };
    let sends: Vec<_> = (0..GROUPS).map(send_group).collect();
    for send in sends {
        send.await.expect("a group");
    }
    let seen = Mutex::new(vec![Vec::<usize>::new(); GROUPS]);
    let different = Mutex::new(HashSet::<Vec<u8>>::new());
    let take = |view: &Arc<MessageView>| {
        let name = view.message_group().unwrap_or_default();
        let g: usize = name.trim_start_matches("group-").parse().expect("a message group");
        seen.lock().unwrap()[g].push(number_of(view));
        different.lock().unwrap().insert(view.body().to_vec());
        true
    };
    let came = || different.lock().unwrap().len();
    let (reading, consumer) = (Reading::all(&topic()), start_simple(&group(""), &[topic()]).await);
    receive_until(&consumer, &reading, Until::Done(&|| came() >= GROUPS * COUNT / 2), take).await;
    middle();
    receive_until(&consumer, &reading, Until::Done(&|| came() == GROUPS * COUNT), take).await;
    json!({ "groups": GROUPS, "count": COUNT, "failsOnce": -1, "poison": "", "seen": *seen.lock().unwrap(),
        "dead": [], "resent": resent() })
}

/// Messages that are due in some seconds; prints how far off they came.
pub async fn delay() -> Value {
    const COUNT: usize = 10;
    let draft = |i: usize| {
        let mut made = Draft::new(&topic(), i, format!("delayed {i}"));
        made.delivery_seconds = Some(now_seconds() + 4 + i as i64 % 2);
        made
    };
    let producer = start_producer(&[topic()]).await;
    send_all(&producer, (0..COUNT / 2).map(draft).collect()).await;
    let consumer = start_simple(&group(""), &[topic()]).await;
    middle();
    send_all(&producer, (COUNT / 2..COUNT).map(draft).collect()).await;
    let came = Mutex::new(HashMap::<usize, usize>::new());
    let late_ms = Mutex::new(Vec::<i64>::new());
    let take = |view: &Arc<MessageView>| {
        *came.lock().unwrap().entry(number_of(view)).or_default() += 1;
        let due = view.delivery_timestamp().expect("a delivery time");
        late_ms.lock().unwrap().push(now_ms() - due * 1000);
        true
    };
    let all = || came.lock().unwrap().len() == COUNT;
    receive_until(&consumer, &Reading::all(&topic()), Until::Done(&all), take).await;
    let (came, late_ms) = (came.lock().unwrap(), late_ms.lock().unwrap());
    json!({ "count": COUNT, "resent": resent(), "received": came.len(), "twice": more_than_once(&came),
        "early": late_ms.iter().filter(|late| **late < 0).count(), "lateMsMax": late_ms.iter().max() })
}
