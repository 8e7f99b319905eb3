//! What the programs share: options, clients, and calls that outlive a failure of the SDK.

use std::collections::HashMap;
use std::future::Future;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::error::{ClientError, ErrorKind};
use rocketmq::model::common::{FilterExpression, FilterType, SendReceipt};
use rocketmq::model::message::{Message, MessageBuilder, MessageView};
use rocketmq::model::transaction::TransactionChecker;
use rocketmq::{Producer, SimpleConsumer};

pub const INVALID_RECEIPT_HANDLE: &str = "INVALID_RECEIPT_HANDLE";
/// The SDK gives a poll no time beyond its own wait: a short one would lose messages on a busy machine.
const AWAIT: Duration = Duration::from_secs(3);
const INVISIBLE: Duration = Duration::from_secs(15);

static OPTIONS: OnceLock<HashMap<String, String>> = OnceLock::new();
static RESENT: AtomicUsize = AtomicUsize::new(0);
static WRONG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes `--name value` pairs, and `--halt` on its own.
pub fn read_options(args: &[String]) {
    let mut options = HashMap::new();
    let mut rest = args.iter();
    while let Some(name) = rest.next() {
        let value = if name == "--halt" { "yes" } else { rest.next().expect("a value") };
        options.insert(name.trim_start_matches('-').to_string(), value.to_string());
    }
    OPTIONS.set(options).expect("read once");
}

pub fn option(name: &str) -> &'static str {
    OPTIONS.get().and_then(|options| options.get(name)).map_or("", String::as_str)
}

pub fn topic() -> String {
    option("topic").to_string()
}

pub fn group(suffix: &str) -> String {
    format!("{}{suffix}", option("group"))
}

pub fn complain(complaint: String) {
    WRONG.lock().unwrap().push(complaint);
}

pub fn wrong() -> Vec<String> {
    WRONG.lock().unwrap().iter().take(5).cloned().collect()
}

pub fn resent() -> usize {
    RESENT.load(Ordering::Relaxed)
}

/// Lets the test kill a leader before the program goes on.
pub fn middle() {
    if option("halt").is_empty() {
        return;
    }
    println!("{{\"mark\":\"middle\"}}");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

pub fn now_seconds() -> i64 {
    now_ms() / 1000
}

/// Why a call of the SDK failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Name of the status code; empty when the server gave none.
    pub code: String,
    /// The SDK did not know what to do with the answer.
    pub panicked: bool,
    pub text: String,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match error.kind() {
            ErrorKind::Server => error.context().iter().find(|(name, _)| *name == "code"),
            _ => None,
        };
        let code = code.map(|(_, code)| code.clone()).unwrap_or_default();
        Failure { code, panicked: false, text: error.to_string() }
    }
}

impl Failure {
    /// Whether the same call may succeed later.
    fn is_transient(&self) -> bool {
        const SIGNS: [&str; 4] = ["TIMEOUT", "INTERNAL", "NOT_AVAILABLE", "TOO_MANY"];
        !self.panicked
            && (self.code.is_empty() || SIGNS.iter().any(|sign| self.code.contains(sign)))
    }
}

/// One call of the SDK. It panics where others report an error: on a status code that it does not know, and when a
/// broker cannot be connected to. The second is repeated like any failure, the first is never right.
pub async fn call<T: Send + 'static>(
    work: impl Future<Output = Result<T, ClientError>> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(work).await {
        Ok(done) => done.map_err(Failure::from),
        Err(error) => {
            let payload = error.into_panic();
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()));
            let text = text.unwrap_or_default();
            let panicked = !text.contains("an `Err` value");
            if panicked {
                complain(format!("the SDK panicked: {text}"));
            }
            Err(Failure { code: String::new(), panicked, text })
        }
    }
}

/// Does the operation until it succeeds, as an application would.
pub async fn persist<T, F>(
    mut operation: impl FnMut() -> F,
    failed: impl Fn(),
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let ends_at = Instant::now() + patience();
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            Err(failure) if !failure.is_transient() || Instant::now() > ends_at => {
                return Err(failure)
            }
            Err(failure) => {
                eprintln!("again after: {}", failure.text);
                failed();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

pub fn patience() -> Duration {
    Duration::from_millis(option("patience").parse().unwrap_or(60_000))
}

fn client_option() -> ClientOption {
    let mut made = ClientOption::default();
    made.set_access_url(option("endpoints").replace(';', ","));
    made.set_enable_tls(false);
    made.set_long_polling_timeout(AWAIT);
    made
}

pub async fn start_producer(topics: &[String]) -> Arc<Producer> {
    start_producer_with(topics, None).await
}

pub type Checker = Arc<TransactionChecker>;

pub async fn start_producer_with(topics: &[String], checker: Option<Checker>) -> Arc<Producer> {
    let start = || {
        let mut made = ProducerOption::default();
        made.set_topics(topics.to_vec());
        let checker = checker.clone();
        call(async move {
            let mut producer = match checker {
                None => Producer::new(made, client_option())?,
                Some(checker) => {
                    let boxed: Box<TransactionChecker> =
                        Box::new(move |id, view| checker(id, view));
                    Producer::new_transaction_producer(made, client_option(), boxed)?
                }
            };
            producer.start().await?;
            Ok(Arc::new(producer))
        })
    };
    persist(start, || {}).await.expect("a producer")
}

pub async fn start_simple(group: &str, topics: &[String]) -> Arc<SimpleConsumer> {
    let start = || {
        let mut made = SimpleConsumerOption::default();
        made.set_consumer_group(group);
        made.set_topics(topics.to_vec());
        call(async move {
            let mut consumer = SimpleConsumer::new(made, client_option())?;
            consumer.start().await?;
            Ok(Arc::new(consumer))
        })
    };
    persist(start, || {}).await.expect("a consumer")
}

/// A message that can be sent again under the same id: the SDK itself repeats nothing.
#[derive(Clone, Default)]
pub struct Draft {
    pub id: String,
    pub topic: String,
    pub body: Vec<u8>,
    pub tag: Option<String>,
    pub keys: Vec<String>,
    pub properties: HashMap<String, String>,
    pub message_group: Option<String>,
    pub delivery_seconds: Option<i64>,
    pub transactional: bool,
}

impl Draft {
    pub fn new(topic: &str, n: usize, body: impl Into<Vec<u8>>) -> Draft {
        let model = MessageBuilder::builder().set_topic(topic).set_body(vec![]).build();
        Draft {
            id: model.expect("a message").take_message_id(),
            topic: topic.to_string(),
            body: body.into(),
            properties: HashMap::from([("n".to_string(), n.to_string())]),
            ..Draft::default()
        }
    }
}

impl Message for Draft {
    fn take_message_id(&mut self) -> String {
        self.id.clone()
    }
    fn take_topic(&mut self) -> String {
        self.topic.clone()
    }
    fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }
    fn take_tag(&mut self) -> Option<String> {
        self.tag.take()
    }
    fn take_keys(&mut self) -> Vec<String> {
        std::mem::take(&mut self.keys)
    }
    fn take_properties(&mut self) -> HashMap<String, String> {
        std::mem::take(&mut self.properties)
    }
    fn take_message_group(&mut self) -> Option<String> {
        self.message_group.take()
    }
    fn take_delivery_timestamp(&mut self) -> Option<i64> {
        self.delivery_seconds.take()
    }
    fn transaction_enabled(&mut self) -> bool {
        self.transactional
    }
}

/// Sends once.
pub async fn try_send(producer: &Arc<Producer>, draft: Draft) -> Result<SendReceipt, Failure> {
    let producer = producer.clone();
    call(async move { producer.send(draft).await }).await
}

/// Sends, and where that fails, sends again.
pub async fn send(producer: &Arc<Producer>, draft: Draft) -> SendReceipt {
    let counted = || {
        RESENT.fetch_add(1, Ordering::Relaxed);
    };
    persist(|| try_send(producer, draft.clone()), counted).await.expect("a receipt")
}

/// Sends all of them at the same time; the receipts come in the order of the drafts.
pub async fn send_all(producer: &Arc<Producer>, drafts: Vec<Draft>) -> Vec<SendReceipt> {
    let one = |draft: Draft| {
        let producer = producer.clone();
        tokio::spawn(async move { send(&producer, draft).await })
    };
    let sends: Vec<_> = drafts.into_iter().map(one).collect();
    let mut receipts = Vec::new();
    for send in sends {
        receipts.push(send.await.expect("a receipt"));
    }
    receipts
}

/// What a consumer reads, and for how long what it got stays its own.
#[derive(Clone)]
pub struct Reading {
    pub topic: String,
    pub filter_type: FilterType,
    pub expression: String,
    pub invisible: Duration,
}

impl Reading {
    pub fn all(topic: &str) -> Reading {
        Reading::tags(topic, "*")
    }

    pub fn tags(topic: &str, expression: &str) -> Reading {
        let (filter_type, invisible) = (FilterType::Tag, INVISIBLE);
        Reading { topic: topic.into(), filter_type, expression: expression.into(), invisible }
    }
}

/// Receives once.
pub async fn try_receive(
    consumer: &Arc<SimpleConsumer>,
    reading: &Reading,
) -> Result<Vec<MessageView>, Failure> {
    let (consumer, reading) = (consumer.clone(), reading.clone());
    call(async move {
        let filter = FilterExpression::new(reading.filter_type, reading.expression);
        consumer.receive_with(&reading.topic, &filter, 32, reading.invisible).await
    })
    .await
}

pub async fn ack(consumer: &Arc<SimpleConsumer>, view: &Arc<MessageView>) -> Result<(), Failure> {
    let acknowledge = || {
        let (consumer, view) = (consumer.clone(), view.clone());
        call(async move { consumer.ack(&*view).await })
    };
    persist(acknowledge, || {}).await
}

/// Until when a program receives.
pub enum Until<'a> {
    /// Until it has what it waits for, or patience ends.
    Done(&'a (dyn Fn() -> bool + Sync)),
    /// All that comes within this time.
    Passed(Duration),
}

/// Hands each message to `take`, and acknowledges it unless that says no.
pub async fn receive_until(
    consumer: &Arc<SimpleConsumer>,
    reading: &Reading,
    until: Until<'_>,
    take: impl Fn(&Arc<MessageView>) -> bool + Send + Sync,
) {
    let ends_at = Instant::now()
        + match until {
            Until::Done(_) => patience(),
            Until::Passed(time) => time,
        };
    let done = || matches!(until, Until::Done(done) if done());
    while !done() && Instant::now() < ends_at {
        let Ok(views) = try_receive(consumer, reading).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        for view in views.into_iter().map(Arc::new) {
            if !take(&view) {
                continue;
            }
            match ack(consumer, &view).await {
                Err(failure) if failure.code != INVALID_RECEIPT_HANDLE => {
                    panic!("an ack failed: {}", failure.text)
                }
                _ => {}
            }
        }
    }
}

pub fn number_of(view: &MessageView) -> usize {
    view.properties().get("n").and_then(|n| n.parse().ok()).expect("a numbered message")
}

pub fn more_than_once<K>(times: &HashMap<K, usize>) -> usize {
    times.values().filter(|times| **times > 1).count()
}
