import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** Messages that must be refused, by the SDK or by the broker: prints the answers, and whether the same client goes on. */
public final class Refusals {
  /** The topic is one for delayed messages. */
  private static MessageBuilder good(int n) {
    return Sdk.message(Sdk.topic(), "good " + n).setDeliveryTimestamp(System.currentTimeMillis() + 1_000);
  }

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      Producer producer = Sdk.startProducer();
      SimpleConsumer consumer = Sdk.startSimple();
      Map<String, Callable<Message>> bad = new LinkedHashMap<>();
      bad.put("empty body", () -> good(0).setBody(new byte[0]).build());
      bad.put("body too large", () -> good(0).setBody(new byte[5 << 20]).build());
      bad.put("unknown topic", () -> good(0).setTopic(Sdk.topic() + "-unknown").build());
      bad.put("wrong message type", () -> Sdk.message(Sdk.topic(), "good 0").build());
      bad.put("delay too long", () -> good(0).setDeliveryTimestamp(System.currentTimeMillis() + 10L * 365 * 86_400_000).build());
      Sdk.send(producer, () -> good(0).build(), () -> {});
      Map<String, Object> answers = new LinkedHashMap<>();
      for (String what : bad.keySet()) {
        try {
          producer.send(bad.get(what).call());
          answers.put(what, "accepted");
        } catch (Exception error) {
          answers.put(what, error);
        }
      }
      Sdk.middle();
      Sdk.send(producer, () -> good(1).build(), () -> {});
      Set<String> received = ConcurrentHashMap.newKeySet();
      Predicate<MessageView> take = view -> received.add(Sdk.text(view)) || true;
      Sdk.receiveUntil(consumer, () -> received.size() == 2, take);
      Sdk.receiveUntil(consumer, () -> false, take, 1_000);
      return Map.of("answers", answers, "sent", 2, "received", received.size());
    });
  }
}
