import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/** Sends delayed messages and recalls every second one before it is due; tells which of them came all the same. */
public final class Recall {
  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 10);
      // Time for all programs beside this one to come half way, as some recalls wait for that.
      int delayMs = Sdk.flag("halt") ? 20_000 : 12_000;
      Producer producer = Sdk.startProducer();
      Map<Integer, SendReceipt> receipts = new ConcurrentHashMap<>();
      Sdk.together(Sdk.range(0, count), i -> () -> receipts.put(i, producer.send(Sdk.message(Sdk.topic(), "delayed " + i)
          .addProperty("n", String.valueOf(i)).setDeliveryTimestamp(System.currentTimeMillis() + delayMs).build())));
      List<String> wrong = Sdk.list();
      Function<Integer, Sdk.Action> recall = i -> () -> {
        String id = Sdk.persist(() -> producer.recallMessage(Sdk.topic(), receipts.get(i).getRecallHandle())).getMessageId().toString();
        if (!id.equals(receipts.get(i).getMessageId().toString())) wrong.add("id of the recalled " + i);
      };
      List<Integer> recalled = Sdk.range(0, count).stream().filter(i -> i % 2 == 1).collect(Collectors.toList());
      Sdk.together(recalled.subList(0, 2), recall);
      Sdk.middle();
      Sdk.together(recalled.subList(2, recalled.size()), recall);
      Function<String, String> refusal = handle -> {
        try {
          producer.recallMessage(Sdk.topic(), handle);
          return "accepted";
        } catch (Exception error) {
          return "refused";
        }
      };
      String garbage = refusal.apply("bm90IGEgaGFuZGxl");

      SimpleConsumer consumer = Sdk.startSimple();
      List<Integer> received = Sdk.list();
      Sdk.receiveUntil(consumer, () -> Sdk.distinct(received) >= count - recalled.size(), view -> received.add(Sdk.numberOf(view)));
      // All were due at the same time, so what was recalled in vain is there by now.
      Sdk.receiveUntil(consumer, () -> false, view -> received.add(Sdk.numberOf(view)), 2_500);
      String delivered = refusal.apply(receipts.get(0).getRecallHandle());
      return Map.of("count", count, "recalled", recalled, "received", received, "garbage", garbage, "delivered", delivered, "wrong", wrong);
    });
  }
}
