import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.java.message.MessageViewImpl;

/** Sends messages with keys, tag and non-ASCII properties; a SimpleConsumer and a PushConsumer each receive all of them. */
public final class Normal {
  static final Map<Integer, Set<String>> ids = new ConcurrentHashMap<>();
  static final List<String> wrong = Sdk.list();

  static byte[] bodyOf(int i) {
    return Sdk.bytes("message " + i + ": größer, 漢字, 🚀 " + "x".repeat(i % 500));
  }

  /** Deliveries of each message, by the offset of each stored copy: a send that the SDK repeats may store a second one. */
  static final class Received {
    final Map<Integer, Map<Long, Integer>> copies = new ConcurrentHashMap<>();

    boolean take(MessageView view) {
      int i = Sdk.numberOf(view);
      if (!Arrays.equals(Sdk.body(view), bodyOf(i))) wrong.add("body of " + i);
      if (!"tag-a".equals(view.getTag().orElse(null))) wrong.add("tag of " + i);
      if (!new HashSet<>(view.getKeys()).equals(Set.of("key-" + i, "second-" + i))) wrong.add("keys of " + i + ": " + view.getKeys());
      if (!"élan 漢字 🚀".equals(view.getProperties().get("größe"))) wrong.add("property of " + i);
      if (!ids.get(i).contains(view.getMessageId().toString())) wrong.add("id of " + i);
      if (!view.getTopic().equals(Sdk.topic())) wrong.add("topic of " + i);
      long offset = ((MessageViewImpl) view).getOffset();
      copies.computeIfAbsent(i, key -> new ConcurrentHashMap<>()).merge(offset, 1, Integer::sum);
      return true;
    }

    long deliveredTwice() {
      return copies.values().stream().filter(stored -> stored.values().stream().anyMatch(times -> times > 1)).count();
    }

    long storedTwice() {
      return copies.values().stream().filter(stored -> stored.size() > 1).count();
    }
  }

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 200);
      AtomicInteger resent = new AtomicInteger();
      Producer producer = Sdk.startProducer();
      java.util.function.Function<Integer, Sdk.Action> sendOne = i -> () -> {
        String id = Sdk.send(producer, () -> Sdk.PROVIDER.newMessageBuilder().setTopic(Sdk.topic()).setTag("tag-a")
            .setKeys("key-" + i, "second-" + i).addProperty("n", String.valueOf(i)).addProperty("größe", "élan 漢字 🚀")
            .setBody(bodyOf(i)).build(), resent::incrementAndGet).getMessageId().toString();
        ids.computeIfAbsent(i, key -> ConcurrentHashMap.newKeySet()).add(id);
      };
      int half = count / 2;
      Sdk.together(Sdk.range(0, half), sendOne);
      List<Future<?>> inFlight = Sdk.inBackground(Sdk.range(half, half + 20), sendOne);
      Sdk.middle();
      for (Future<?> future : inFlight) future.get();
      Sdk.together(Sdk.range(half + 20, count), sendOne);

      Received simple = new Received();
      SimpleConsumer consumer = Sdk.startSimple("", Sdk.group(), Collections.singletonMap(Sdk.topic(), new FilterExpression("tag-a")));
      Sdk.receiveUntil(consumer, () -> simple.copies.size() == count, simple::take);
      long again = Sdk.receiveOnce(consumer).stream()
          .filter(view -> simple.copies.get(Sdk.numberOf(view)).containsKey(((MessageViewImpl) view).getOffset())).count();
      Received push = new Received();
      Sdk.startPush(Sdk.group() + "-push", push::take);
      Sdk.until(() -> push.copies.size() == count);
      return Map.of("count", count, "sent", ids.size(), "resent", resent.get(), "storedTwice", simple.storedTwice(),
          "simple", simple.copies.size(), "simpleTwice", simple.deliveredTwice() + again, "push", push.copies.size(),
          "pushTwice", push.deliveredTwice(), "wrong", wrong);
    });
  }
}
