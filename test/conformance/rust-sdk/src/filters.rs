//! Filters by tag and by SQL, and several topics in one client.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocketmq::model::common::FilterType;
use rocketmq::model::message::MessageView;
use serde_json::{json, Value};

use crate::sdk::*;

const COUNT: usize = 40;

/// Name of the group's suffix, expression, and what it must select.
type Case = (&'static str, &'static str, fn(usize) -> bool);

fn expected(cases: &[Case]) -> HashMap<&'static str, Vec<usize>> {
    let select = |matches: fn(usize) -> bool| (0..COUNT).filter(|i| matches(*i)).collect();
    cases.iter().map(|(name, _, matches)| (*name, select(*matches))).collect()
}

async fn send_numbered(draft: fn(usize) -> Draft) {
    let producer = start_producer(&[topic()]).await;
    send_all(&producer, (0..COUNT / 2).map(draft).collect()).await;
    middle();
    send_all(&producer, (COUNT / 2..COUNT).map(draft).collect()).await;
}

fn tag_of(i: usize) -> Option<String> {
    ["tag-a", "tag-b", "tag-c"].get(i % 4).map(|tag| tag.to_string())
}

const TAGS: [Case; 3] = [
    ("alternative", "tag-a || tag-b", |i| i % 4 < 2),
    ("one", "tag-c", |i| i % 4 == 2),
    ("all", "*", |_| true),
];

pub async fn tags() -> Value {
    send_numbered(|i| Draft { tag: tag_of(i), ..Draft::new(&topic(), i, "m") }).await;
    let expected = expected(&TAGS);
    let mut got = HashMap::new();
    for (name, expression, _) in TAGS {
        let consumer = start_simple(&group(&format!("-{name}")), &[topic()]).await;
        let numbers = Mutex::new(Vec::<usize>::new());
        let take = |view: &Arc<MessageView>| {
            numbers.lock().unwrap().push(number_of(view));
            true
        };
        let wanted = expected[name].len();
        let all = || numbers.lock().unwrap().iter().collect::<HashSet<_>>().len() >= wanted;
        let reading = Reading::tags(&topic(), expression);
        receive_until(&consumer, &reading, Until::Done(&all), take).await;
        receive_until(&consumer, &reading, Until::Passed(Duration::from_secs(1)), take).await;
        got.insert(name, numbers.into_inner().unwrap());
    }
    json!({ "expected": expected, "got": got })
}

fn region_of(i: usize) -> Option<&'static str> {
    ["eu", "us", "ap"].get(i % 4).copied()
}

const SQL: [Case; 5] = [
    ("both", "price > 10 AND region = 'eu'", |i| i % 20 > 10 && region_of(i) == Some("eu")),
    ("either", "price BETWEEN 5 AND 8 OR region IN ('us', 'ap')", |i| {
        (5..=8).contains(&(i % 20)) || matches!(region_of(i), Some("us" | "ap"))
    }),
    ("missing", "region IS NULL", |i| region_of(i).is_none()),
    ("tag", "TAGS IS NOT NULL AND TAGS = 'tag-a'", |i| i % 3 == 0),
    ("negated", "NOT (price < 15) AND region <> 'us'", |i| {
        i % 20 >= 15 && !matches!(region_of(i), None | Some("us"))
    }),
];

fn reading_sql(expression: &str) -> Reading {
    let (filter_type, invisible) = (FilterType::Sql, Duration::from_secs(10));
    Reading { topic: topic(), filter_type, expression: expression.into(), invisible }
}

/// What an expression selected; the first message is left alone and has to come again.
async fn select(name: &str, expression: &str, wanted: usize) -> (Vec<usize>, usize) {
    let consumer = start_simple(&group(&format!("-{name}")), &[topic()]).await;
    let got = Mutex::new(Vec::<usize>::new());
    let left = Mutex::new(None::<usize>);
    let retried = Mutex::new(0);
    let take = |view: &Arc<MessageView>| {
        let (i, mut left) = (number_of(view), left.lock().unwrap());
        if left.is_none() {
            *left = Some(i);
            return false;
        }
        if *left == Some(i) && view.delivery_attempt() > 1 {
            *retried.lock().unwrap() += 1;
        }
        got.lock().unwrap().push(i);
        true
    };
    let all = || got.lock().unwrap().iter().collect::<HashSet<_>>().len() >= wanted;
    let reading = reading_sql(expression);
    receive_until(&consumer, &reading, Until::Done(&all), take).await;
    receive_until(&consumer, &reading, Until::Passed(Duration::from_secs(1)), take).await;
    (got.into_inner().unwrap(), retried.into_inner().unwrap())
}

pub async fn sql() -> Value {
    send_numbered(|i| {
        let mut made = Draft::new(&topic(), i, "m");
        made.tag = Some(if i % 3 == 0 { "tag-a" } else { "tag-b" }.to_string());
        made.properties.insert("price".to_string(), (i % 20).to_string());
        if let Some(region) = region_of(i) {
            made.properties.insert("region".to_string(), region.to_string());
        }
        made
    })
    .await;
    let expected = expected(&SQL);
    let selections = SQL.map(|(name, expression, _)| {
        let wanted = expected[name].len();
        (name, tokio::spawn(async move { select(name, expression, wanted).await }))
    });
    let mut got = HashMap::new();
    let mut retried = 0;
    for (name, selection) in selections {
        let (numbers, again) = selection.await.expect("a selection");
        got.insert(name, numbers);
        retried += again;
    }
    let bad = start_simple(&group("-bad"), &[topic()]).await;
    let nonsense = reading_sql("price >> AND");
    let refused = persist(|| try_receive(&bad, &nonsense), || {}).await;
    let refused = if refused.is_err() { "refused" } else { "accepted" };
    json!({ "expected": expected, "got": got, "retried": retried, "groups": SQL.len(), "refused": refused })
}

/// One producer and one consumer over several topics; the option names their common prefix.
pub async fn topics() -> Value {
    const PER_TOPIC: usize = 20;
    let topics = ["A", "B", "C"].map(|letter| format!("{}{letter}", topic()));
    let producer = start_producer(&topics).await;
    let draft = |i: usize| {
        let topic = &topics[i % topics.len()];
        Draft::new(topic, i, format!("{topic}/{i}"))
    };
    let total = PER_TOPIC * topics.len();
    send_all(&producer, (0..total / 2).map(draft).collect()).await;
    middle();
    send_all(&producer, (total / 2..total).map(draft).collect()).await;
    let consumer = start_simple(&group(""), &topics).await;
    let bodies = Mutex::new(HashSet::<Vec<u8>>::new());
    let strays = Mutex::new(Vec::<Value>::new());
    for topic in &topics {
        let took = Mutex::new(HashSet::<usize>::new());
        let take = |view: &Arc<MessageView>| {
            let body = String::from_utf8_lossy(view.body()).to_string();
            if view.topic() != topic || !body.starts_with(&format!("{topic}/")) {
                strays.lock().unwrap().push(json!({ "topic": view.topic(), "body": body }));
            }
            bodies.lock().unwrap().insert(view.body().to_vec());
            took.lock().unwrap().insert(number_of(view));
            true
        };
        let all = || took.lock().unwrap().len() == PER_TOPIC;
        receive_until(&consumer, &Reading::all(topic), Until::Done(&all), take).await;
    }
    json!({ "expected": total, "simple": bodies.lock().unwrap().len(), "strays": *strays.lock().unwrap() })
}
