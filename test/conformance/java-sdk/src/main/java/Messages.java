import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/** Arguments: endpoints, topic, FIFO topic, ordered group, count, tls|plain. Prints one JSON line. */
public final class Messages {
  static final Map<Integer, String> sent = new ConcurrentHashMap<>();

  static byte[] body(int i) {
    return ("message " + i + ": größer, 漢字, 🚀 " + "x".repeat(i % 500)).getBytes(StandardCharsets.UTF_8);
  }

  static void require(boolean condition, String message) {
    if (!condition) throw new IllegalStateException(message);
  }

  static int check(MessageView view) {
    int i = Integer.parseInt(view.getProperties().get("number"));
    ByteBuffer buffer = view.getBody();
    byte[] bytes = new byte[buffer.remaining()];
    buffer.get(bytes);
    require(java.util.Arrays.equals(bytes, body(i)), "body of " + i + " differs");
    require("tag-a".equals(view.getTag().orElse(null)), "tag of " + i);
    require(new java.util.HashSet<>(view.getKeys()).equals(new java.util.HashSet<>(List.of("key-" + i, "second-" + i))), "keys of " + i + ": " + view.getKeys());
    require("élan 漢字 🚀".equals(view.getProperties().get("größe")), "property of " + i);
    require(view.getMessageId().toString().equals(sent.get(i)), "id of " + i);
    return i;
  }

  public static void main(String[] args) throws Exception {
    String endpoints = args[0];
    String topic = args[1];
    String fifoTopic = args[2];
    String fifoGroup = args[3];
    int count = Integer.parseInt(args[4]);
    ClientConfiguration configuration =
        ClientConfiguration.newBuilder().setEndpoints(endpoints).enableSsl(args[5].equals("tls")).setRequestTimeout(Duration.ofSeconds(3)).build();
    ClientServiceProvider provider = ClientServiceProvider.loadService();
    String suffix = Long.toString(System.nanoTime(), 36);

    Producer producer = provider.newProducerBuilder().setClientConfiguration(configuration).setTopics(topic, fifoTopic).build();
    List<CompletableFuture<SendReceipt>> window = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      final int n = i;
      Message message = provider.newMessageBuilder().setTopic(topic).setTag("tag-a").setKeys("key-" + i, "second-" + i)
          .addProperty("number", String.valueOf(i)).addProperty("größe", "élan 漢字 🚀").setBody(body(i)).build();
      window.add(producer.sendAsync(message).whenComplete((receipt, error) -> { if (receipt != null) sent.put(n, receipt.getMessageId().toString()); }));
      if (window.size() == 50) {
        for (CompletableFuture<SendReceipt> future : window) future.get();
        window.clear();
      }
    }
    for (CompletableFuture<SendReceipt> future : window) future.get();

    SimpleConsumer simple = provider.newSimpleConsumerBuilder().setClientConfiguration(configuration).setConsumerGroup("java-simple-" + suffix)
        .setAwaitDuration(Duration.ofSeconds(2)).setSubscriptionExpressions(Collections.singletonMap(topic, new FilterExpression("tag-a", FilterExpressionType.TAG))).build();
    Map<Integer, Integer> bySimple = new ConcurrentHashMap<>();
    long endsAt = System.currentTimeMillis() + 60_000;
    while (bySimple.size() < count && System.currentTimeMillis() < endsAt) {
      List<CompletableFuture<Void>> acks = new ArrayList<>();
      for (MessageView view : simple.receive(32, Duration.ofSeconds(20))) {
        bySimple.merge(check(view), 1, Integer::sum);
        acks.add(simple.ackAsync(view));
      }
      for (CompletableFuture<Void> ack : acks) ack.get();
    }
    require(bySimple.size() == count, "SimpleConsumer received " + bySimple.size());

    Map<Integer, Integer> byPush = new ConcurrentHashMap<>();
    AtomicReference<Throwable> failure = new AtomicReference<>();
    PushConsumer push = provider.newPushConsumerBuilder().setClientConfiguration(configuration).setConsumerGroup("java-push-" + suffix)
        .setSubscriptionExpressions(Collections.singletonMap(topic, FilterExpression.SUB_ALL))
        .setMessageListener(view -> {
          try {
            byPush.merge(check(view), 1, Integer::sum);
            return ConsumeResult.SUCCESS;
          } catch (Throwable error) {
            failure.set(error);
            return ConsumeResult.FAILURE;
          }
        }).build();
    endsAt = System.currentTimeMillis() + 60_000;
    while (byPush.size() < count && failure.get() == null && System.currentTimeMillis() < endsAt) Thread.sleep(20);
    if (failure.get() != null) throw new IllegalStateException(failure.get());
    require(byPush.size() == count, "PushConsumer received " + byPush.size());

    int groups = 4;
    int perGroup = 30;
    for (int i = 0; i < perGroup; i++) {
      for (int g = 0; g < groups; g++) {
        producer.send(provider.newMessageBuilder().setTopic(fifoTopic).setMessageGroup("jg-" + g).addProperty("n", String.valueOf(i)).setBody(new byte[] {1}).build());
      }
    }
    Map<String, List<Integer>> order = new ConcurrentHashMap<>();
    PushConsumer ordered = provider.newPushConsumerBuilder().setClientConfiguration(configuration).setConsumerGroup(fifoGroup)
        .setSubscriptionExpressions(Collections.singletonMap(fifoTopic, FilterExpression.SUB_ALL))
        .setMessageListener(view -> {
          order.computeIfAbsent(view.getMessageGroup().get(), key -> Collections.synchronizedList(new ArrayList<>())).add(Integer.parseInt(view.getProperties().get("n")));
          return ConsumeResult.SUCCESS;
        }).build();
    endsAt = System.currentTimeMillis() + 60_000;
    while (order.values().stream().mapToInt(List::size).sum() < groups * perGroup && System.currentTimeMillis() < endsAt) Thread.sleep(20);
    List<Integer> expected = new ArrayList<>();
    for (int i = 0; i < perGroup; i++) expected.add(i);
    for (int g = 0; g < groups; g++) require(expected.equals(order.get("jg-" + g)), "order of group " + g + ": " + order.get("jg-" + g));

    // A push consumer's close waits for its long poll of 20 s; the end of the process is enough here.
    simple.close();
    producer.close();
    System.out.println("{\"sent\":" + sent.size() + ",\"simple\":" + bySimple.size() + ",\"push\":" + byPush.size() + ",\"fifoInOrder\":true}");
    System.exit(0);
  }
}
