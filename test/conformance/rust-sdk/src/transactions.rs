//! Transactions: decided by their producer, or by another one that is asked.

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocketmq::model::message::MessageView;
use rocketmq::model::transaction::{Transaction, TransactionResolution};
use serde_json::{json, Value};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::sdk::*;

fn half(i: usize) -> Draft {
    let mut draft = Draft::new(&topic(), i, format!("half {i}"));
    draft.transactional = true;
    draft
}

fn resolution(i: usize) -> TransactionResolution {
    if i % 2 == 0 {
        TransactionResolution::COMMIT
    } else {
        TransactionResolution::ROLLBACK
    }
}

/// Every second half message is committed, the others are rolled back. This SDK gives no second try to a commit that
/// fails: then the producer is started anew, and asked.
pub async fn transaction() -> Value {
    const COUNT: usize = 8;
    let decided = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let answers = decided.clone();
    let checker: Checker = Arc::new(move |_, view: MessageView| {
        let decided = answers.lock().unwrap();
        decided.get(view.message_id()).map_or(TransactionResolution::UNKNOWN, |i| resolution(*i))
    });
    let producer = start_producer_with(&[topic()], Some(checker.clone())).await;
    let mut halves = Vec::new();
    let mut ids = Vec::new();
    for i in 0..COUNT {
        let sender = producer.clone();
        let begun = call(async move { sender.send_transaction_message(half(i)).await });
        let begun = begun.await.expect("a half message");
        ids.push(begun.message_id().to_string());
        halves.push(begun);
    }
    let (reading, consumer) = (Reading::all(&topic()), start_simple(&group(""), &[topic()]).await);
    let too_early =
        persist(|| try_receive(&consumer, &reading), || {}).await.expect("no messages").len();

    let mut undecided = 0;
    for (i, begun) in halves.into_iter().enumerate() {
        if i == COUNT / 2 {
            middle();
        }
        decided.lock().unwrap().insert(ids[i].clone(), i);
        let ended = match resolution(i) {
            TransactionResolution::COMMIT => call(begun.commit()).await,
            _ => call(begun.rollback()).await,
        };
        if let Err(failure) = ended {
            eprintln!("left to the check: {}", failure.text);
            undecided += 1;
        }
    }
    let _asked = if undecided > 0 {
        Some(start_producer_with(&[topic()], Some(checker)).await)
    } else {
        None
    };
    let received = Mutex::new(Vec::<usize>::new());
    let take = |view: &Arc<MessageView>| {
        let i = number_of(view);
        if view.message_id() != ids[i] {
            complain(format!("id of {i}"));
        }
        received.lock().unwrap().push(i);
        true
    };
    let all = || received.lock().unwrap().iter().collect::<HashSet<_>>().len() >= COUNT / 2;
    receive_until(&consumer, &reading, Until::Done(&all), take).await;
    receive_until(&consumer, &reading, Until::Passed(Duration::from_millis(1_500)), take).await;
    json!({ "count": COUNT, "tooEarly": too_early, "received": *received.lock().unwrap(), "undecided": undecided })
}

const ORPHANS: usize = 6;

/// The process that is killed before it decides.
pub async fn orphaned() {
    let unknown: Checker = Arc::new(|_, _| TransactionResolution::UNKNOWN);
    let producer = start_producer_with(&[topic()], Some(unknown)).await;
    for i in 0..ORPHANS {
        send(&producer, half(i)).await;
    }
    println!("sent");
    // Killed now; gone with its parent at the latest.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.ok();
}

/// Runs this program as the orphan until its half messages are sent, then kills it.
async fn killed_producer() -> bool {
    let program = std::env::current_exe().expect("this program");
    let args = ["orphaned", "--endpoints", option("endpoints"), "--topic", option("topic")];
    let mut command = tokio::process::Command::new(program);
    let mut child =
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let line = lines.next_line().await.expect("a line");
    child.kill().await.expect("an end");
    line.as_deref() == Some("sent")
}

/// Half messages of a killed producer: another one is asked, leaves its first answer open, then decides.
pub async fn orphan() -> Value {
    let halves = if killed_producer().await { ORPHANS } else { 0 };
    middle();
    let asked = Arc::new(Mutex::new(vec![0; ORPHANS]));
    let counts = asked.clone();
    let checker: Checker = Arc::new(move |_, view: MessageView| {
        let i = number_of(&view);
        if view.body() != format!("half {i}").as_bytes() {
            complain(format!("body of the checked {i}"));
        }
        let mut counts = counts.lock().unwrap();
        counts[i] += 1;
        if counts[i] == 1 {
            TransactionResolution::UNKNOWN
        } else {
            resolution(i)
        }
    });
    let _producer = start_producer_with(&[topic()], Some(checker)).await;
    let (reading, consumer) = (Reading::all(&topic()), start_simple(&group(""), &[topic()]).await);
    let received = Mutex::new(Vec::<usize>::new());
    let take = |view: &Arc<MessageView>| {
        received.lock().unwrap().push(number_of(view));
        true
    };
    let decided = || {
        let different = received.lock().unwrap().iter().collect::<HashSet<_>>().len();
        asked.lock().unwrap().iter().all(|times| *times >= 2) && different >= ORPHANS / 2
    };
    receive_until(&consumer, &reading, Until::Done(&decided), take).await;
    // A second check round would deliver what was committed once more.
    receive_until(&consumer, &reading, Until::Passed(Duration::from_secs(4)), take).await;
    json!({ "count": ORPHANS, "halves": halves, "received": *received.lock().unwrap(),
        "asked": *asked.lock().unwrap() })
}
