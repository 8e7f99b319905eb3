//! Programs for the official Rust SDK: conform SCENARIO --endpoints E --topic T --group G.
//!
//! Each prints its facts as one JSON line and judges nothing: the tests do. With --halt it prints
//! {"mark":"middle"} half way and goes on when a line arrives on its standard input: that is when the
//! test has killed the leader. Version 5.0.0 of the SDK has a producer and a SimpleConsumer; it has no
//! PushConsumer, no recall, no change of the invisible duration and no namespaces, and counts in
//! whole seconds.

mod filters;
mod refusals;
mod sdk;
mod sending;
mod simple;
mod transactions;

use serde_json::json;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (scenario, options) = args.split_first().expect("a scenario");
    sdk::read_options(options);
    let mut facts = match scenario.as_str() {
        "normal" => sending::normal().await,
        "fifo" => sending::fifo().await,
        "delay" => sending::delay().await,
        "transaction" => transactions::transaction().await,
        "orphan" => transactions::orphan().await,
        "orphaned" => return transactions::orphaned().await,
        "simple" => simple::simple().await,
        "tags" => filters::tags().await,
        "sql" => filters::sql().await,
        "topics" => filters::topics().await,
        "refusals" => refusals::refusals().await,
        other => panic!("no scenario {other}"),
    };
    facts["wrong"] = json!(sdk::wrong());
    println!("{facts}");
    // The SDK's tasks would keep the process alive.
    std::process::exit(0);
}
