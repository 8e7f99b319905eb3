import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/**
 * SimpleConsumer: of the messages received, some are acknowledged, some extended, some given back early, some left
 * alone. Tells when and as which attempt each of them came again.
 */
public final class Simple {
  static final Duration INVISIBLE = Duration.ofSeconds(10);
  static final Duration EXTENDED = Duration.ofSeconds(14);
  static final Duration SHORTENED = Duration.ofSeconds(2);
  static final List<String> KINDS = List.of("acked", "left", "extended", "shortened");

  static String kindOf(MessageView view) {
    return KINDS.get(Sdk.numberOf(view) % KINDS.size());
  }

  /** The answer to an ack with a receipt handle that ran out. */
  static String ackStale(SimpleConsumer consumer, MessageView view) {
    return Sdk.ack(consumer, view) ? "accepted" : "INVALID_RECEIPT_HANDLE";
  }

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int perKind = Sdk.number("count", 3);
      int count = KINDS.size() * perKind;
      Producer producer = Sdk.startProducer();
      for (int i = 0; i < count; i++) producer.send(Sdk.message(Sdk.topic(), "m").addProperty("n", String.valueOf(i)).build());
      SimpleConsumer consumer = Sdk.startSimple();
      Map<Integer, MessageView> first = new ConcurrentHashMap<>();
      Map<Integer, Long> since = new ConcurrentHashMap<>();
      while (first.size() < count) {
        long askedAt = System.currentTimeMillis();
        for (MessageView view : Sdk.persist(() -> consumer.receive(32, INVISIBLE))) {
          first.put(Sdk.numberOf(view), view);
          since.put(Sdk.numberOf(view), askedAt);
        }
      }
      List<String> wrong = Sdk.list();
      Sdk.together(List.copyOf(first.values()), view -> () -> {
        if (view.getDeliveryAttempt() != 1) wrong.add("first attempt is " + view.getDeliveryAttempt());
        String kind = kindOf(view);
        if (kind.equals("acked")) Sdk.ack(consumer, view);
        if (kind.equals("extended") || kind.equals("shortened")) {
          since.put(Sdk.numberOf(view), System.currentTimeMillis());
          Sdk.persist(() -> {
            consumer.changeInvisibleDuration(view, kind.equals("extended") ? EXTENDED : SHORTENED);
            return null;
          });
        }
      });
      Sdk.middle();
      List<Map<String, Object>> again = Sdk.list();
      List<String> stale = Sdk.list();
      Sdk.receiveUntil(consumer, () -> again.size() >= count - perKind, view -> {
        int i = Sdk.numberOf(view);
        again.add(Map.of("kind", kindOf(view), "afterMs", System.currentTimeMillis() - since.get(i), "attempt", view.getDeliveryAttempt()));
        if (kindOf(view).equals("left")) stale.add(ackStale(consumer, first.get(i)));
        return true;
      });
      List<String> left = Sdk.receiveOnce(consumer).stream().map(Simple::kindOf).collect(Collectors.toList());
      return Map.of("perKind", perKind, "again", again, "left", left, "stale", stale.isEmpty() ? "" : stale.get(0), "wrong", wrong);
    });
  }
}
