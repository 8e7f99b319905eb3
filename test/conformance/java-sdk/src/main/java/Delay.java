import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/** Messages with a delivery time in the near future, any millisecond; tells how far off they came. */
public final class Delay {
  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 20);
      Producer producer = Sdk.startProducer();
      Map<Integer, Long> due = new ConcurrentHashMap<>();
      List<String> wrong = Sdk.list();
      AtomicInteger resent = new AtomicInteger();
      java.util.function.Function<Integer, Sdk.Action> sendOne = i -> () -> {
        SendReceipt receipt = Sdk.send(producer, () -> {
          due.put(i, System.currentTimeMillis() + 3000 + (i * 377) % 2000);
          return Sdk.message(Sdk.topic(), "delayed " + i).addProperty("n", String.valueOf(i)).setDeliveryTimestamp(due.get(i)).build();
        }, resent::incrementAndGet);
        // Only what is not yet due can be recalled.
        boolean handle = receipt.getRecallHandle() != null && !receipt.getRecallHandle().isEmpty();
        if (!handle && System.currentTimeMillis() < due.get(i)) wrong.add("no recall handle for " + i);
      };
      Sdk.together(Sdk.range(0, count / 2), sendOne);
      SimpleConsumer consumer = Sdk.startSimple();
      List<Future<?>> inFlight = Sdk.inBackground(Sdk.range(count / 2, count - 5), sendOne);
      Sdk.middle();
      for (Future<?> future : inFlight) future.get();
      Sdk.together(Sdk.range(count - 5, count), sendOne);

      Map<Integer, Integer> received = new ConcurrentHashMap<>();
      List<Long> lateMs = Sdk.list();
      Sdk.receiveUntil(consumer, () -> received.size() == count, view -> {
        int i = Sdk.numberOf(view);
        received.merge(i, 1, Integer::sum);
        lateMs.add(System.currentTimeMillis() - view.getDeliveryTimestamp().orElse(0L));
        // A message that was sent again after a failure has two delivery times.
        if (resent.get() == 0 && !view.getDeliveryTimestamp().equals(java.util.Optional.of(due.get(i)))) wrong.add("delivery time of " + i);
        return true;
      });
      return Map.of("count", count, "resent", resent.get(), "received", received.size(),
          "twice", received.values().stream().filter(times -> times > 1).count(), "early", lateMs.stream().filter(late -> late < 0).count(),
          "lateMsMax", lateMs.isEmpty() ? 0 : Collections.max(lateMs), "wrong", wrong);
    });
  }
}
