import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientConfigurationBuilder;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.ProducerBuilder;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;

/**
 * What the programs share. Each takes --endpoints, --topic and --group, prints its facts as one JSON line and judges
 * nothing: the tests do. With --halt it prints {"mark":"middle"} half way and goes on when a line arrives on its
 * standard input: that is when the test has killed the leader. With --tls it connects with TLS.
 */
final class Sdk {
  static final String INVALID_RECEIPT_HANDLE = "response-code=40013";
  static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();

  /** An action that may fail. */
  interface Action {
    void run() throws Exception;
  }

  /** A program: gives its facts. */
  interface Program {
    Map<String, Object> run() throws Exception;
  }

  private static String[] arguments = {};
  private static final ExecutorService POOL = Executors.newCachedThreadPool(task -> {
    Thread thread = new Thread(task);
    thread.setDaemon(true);
    return thread;
  });

  private Sdk() {}

  static void run(String[] args, Program program) {
    arguments = args;
    try {
      System.out.println(json(program.run()));
      System.out.flush();
      Runtime.getRuntime().halt(0);
    } catch (Throwable error) {
      error.printStackTrace();
      System.err.flush();
      Runtime.getRuntime().halt(1);
    }
  }

  static String option(String name, String fallback) {
    for (int i = 0; i + 1 < arguments.length; i++) if (arguments[i].equals("--" + name)) return arguments[i + 1];
    return fallback;
  }

  static int number(String name, int fallback) {
    return Integer.parseInt(option(name, String.valueOf(fallback)));
  }

  static boolean flag(String name) {
    return List.of(arguments).contains("--" + name);
  }

  static String endpoints() {
    return option("endpoints", "127.0.0.1:8081");
  }

  static String topic() {
    return option("topic", "Conformance");
  }

  static String group() {
    return option("group", "conformance");
  }

  /** Longest wait for what must come. */
  static long patienceMs() {
    return number("patience", 60_000);
  }

  static List<Integer> range(int from, int end) {
    return IntStream.range(from, end).boxed().collect(Collectors.toList());
  }

  static <T> List<T> list() {
    return Collections.synchronizedList(new ArrayList<>());
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static byte[] body(MessageView view) {
    ByteBuffer buffer = view.getBody();
    byte[] bytes = new byte[buffer.remaining()];
    buffer.get(bytes);
    return bytes;
  }

  static String text(MessageView view) {
    return new String(body(view), StandardCharsets.UTF_8);
  }

  /** The property "n": which message it is. */
  static int numberOf(MessageView view) {
    return Integer.parseInt(view.getProperties().get("n"));
  }

  /** Half way: lets the test kill a leader before the program goes on. */
  static void middle() throws Exception {
    if (!flag("halt")) return;
    System.out.println("{\"mark\":\"middle\"}");
    System.out.flush();
    new BufferedReader(new InputStreamReader(System.in)).readLine();
  }

  /** Waits until the condition holds; says whether it did. */
  static boolean until(BooleanSupplier done) throws InterruptedException {
    long endsAt = System.currentTimeMillis() + patienceMs();
    while (!done.getAsBoolean()) {
      if (System.currentTimeMillis() > endsAt) return false;
      Thread.sleep(20);
    }
    return true;
  }

  /** Does the operation until it succeeds, as an application would; "failed" hears of each failure. */
  static <T> T persist(Callable<T> operation, Runnable failed) throws Exception {
    long endsAt = System.currentTimeMillis() + patienceMs();
    while (true) {
      try {
        return operation.call();
      } catch (Exception error) {
        if (isFinal(error) || System.currentTimeMillis() > endsAt) throw error;
        failed.run();
        Thread.sleep(100);
      }
    }
  }

  static <T> T persist(Callable<T> operation) throws Exception {
    return persist(operation, () -> {});
  }

  /** Whether it is of no use to try again: the server answered that the request itself is wrong. */
  private static boolean isFinal(Exception error) {
    String text = String.valueOf(error);
    return text.contains("response-code=400") || text.contains("response-code=404") || text.contains("response-code=50100");
  }

  /** Does the action for each item, all at the same time. */
  static <T> void together(List<T> items, java.util.function.Function<T, Action> action) throws Exception {
    for (Future<?> future : inBackground(items, action)) future.get();
  }

  static <T> List<Future<?>> inBackground(List<T> items, java.util.function.Function<T, Action> action) {
    List<Future<?>> futures = new ArrayList<>();
    for (T item : items) {
      futures.add(POOL.submit(() -> {
        action.apply(item).run();
        return null;
      }));
    }
    return futures;
  }

  static MessageBuilder message(String topic, String body) {
    return PROVIDER.newMessageBuilder().setTopic(topic).setBody(bytes(body));
  }

  /** Sends, and where the SDK gives up, sends again. */
  static SendReceipt send(Producer producer, Callable<Message> message, Runnable failed) throws Exception {
    return persist(() -> producer.send(message.call()), failed);
  }

  static ClientConfiguration configuration(String namespace) {
    ClientConfigurationBuilder builder = ClientConfiguration.newBuilder().setEndpoints(endpoints()).enableSsl(flag("tls"))
        .setRequestTimeout(Duration.ofSeconds(3));
    if (!namespace.isEmpty()) builder.setNamespace(namespace);
    return builder.build();
  }

  static Producer startProducer(String namespace, TransactionChecker checker, String... topics) throws Exception {
    return persist(() -> {
      ProducerBuilder builder = PROVIDER.newProducerBuilder().setClientConfiguration(configuration(namespace)).setTopics(topics);
      if (checker != null) builder.setTransactionChecker(checker);
      return builder.build();
    });
  }

  static Producer startProducer() throws Exception {
    return startProducer("", null, topic());
  }

  static SimpleConsumer startSimple(String namespace, String group, Map<String, FilterExpression> subscriptions) throws Exception {
    return persist(() -> PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(configuration(namespace)).setConsumerGroup(group)
        .setAwaitDuration(Duration.ofMillis(number("await", 1000))).setSubscriptionExpressions(new java.util.HashMap<>(subscriptions)).build());
  }

  static SimpleConsumer startSimple(String group, String topic) throws Exception {
    return startSimple("", group, Collections.singletonMap(topic, FilterExpression.SUB_ALL));
  }

  static SimpleConsumer startSimple() throws Exception {
    return startSimple(group(), topic());
  }

  /** The listener says whether it succeeded. */
  static PushConsumer startPush(String namespace, String group, Map<String, FilterExpression> subscriptions, Predicate<MessageView> listener)
      throws Exception {
    return persist(() -> PROVIDER.newPushConsumerBuilder().setClientConfiguration(configuration(namespace)).setConsumerGroup(group)
        .setSubscriptionExpressions(subscriptions)
        .setMessageListener(view -> listener.test(view) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE).build());
  }

  static PushConsumer startPush(String group, Predicate<MessageView> listener) throws Exception {
    return startPush("", group, Collections.singletonMap(topic(), FilterExpression.SUB_ALL), listener);
  }

  /** Acknowledges until it is answered; false when the receipt handle is no longer valid: the message comes again. */
  static boolean ack(SimpleConsumer consumer, MessageView view) {
    try {
      persist(() -> {
        consumer.ack(view);
        return null;
      });
      return true;
    } catch (Exception error) {
      if (String.valueOf(error).contains(INVALID_RECEIPT_HANDLE)) return false;
      throw new IllegalStateException(error);
    }
  }

  /** Receives and hands each message to "take", acknowledging it if that says so, until the condition holds. */
  static void receiveUntil(SimpleConsumer consumer, BooleanSupplier done, Predicate<MessageView> take, long timeoutMs) throws Exception {
    long endsAt = System.currentTimeMillis() + timeoutMs;
    while (!done.getAsBoolean() && System.currentTimeMillis() < endsAt) {
      List<MessageView> views;
      try {
        views = consumer.receive(32, Duration.ofSeconds(15));
      } catch (Exception error) {
        Thread.sleep(100);
        continue;
      }
      together(views, view -> () -> {
        if (take.test(view)) ack(consumer, view);
      });
    }
  }

  static void receiveUntil(SimpleConsumer consumer, BooleanSupplier done, Predicate<MessageView> take) throws Exception {
    receiveUntil(consumer, done, take, patienceMs());
  }

  /** Receives once, successfully: what is left. */
  static List<MessageView> receiveOnce(SimpleConsumer consumer) throws Exception {
    return persist(() -> consumer.receive(32, Duration.ofSeconds(15)));
  }

  static int distinct(List<?> list) {
    synchronized (list) {
      return new java.util.HashSet<>(list).size();
    }
  }

  private static String json(Object value) {
    if (value instanceof Map) {
      return ((Map<?, ?>) value).entrySet().stream().map(entry -> json(String.valueOf(entry.getKey())) + ":" + json(entry.getValue()))
          .collect(Collectors.joining(",", "{", "}"));
    }
    if (value instanceof Iterable) {
      List<String> parts = new ArrayList<>();
      for (Object part : (Iterable<?>) value) parts.add(json(part));
      return "[" + String.join(",", parts) + "]";
    }
    if (value instanceof Number || value instanceof Boolean) return String.valueOf(value);
    return '"' + String.valueOf(value).replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
  }
}
