import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/**
 * Several message groups through push consumers of an ordered group: one message of each group fails once, one message
 * fails until it is a dead letter; a second consumer joins half way.
 */
public final class Fifo {
  static final int FAILS_ONCE = 5;
  static final String POISON = "0/9";

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int groups = Sdk.number("groups", 4);
      int count = Sdk.number("count", 24);
      AtomicInteger resent = new AtomicInteger();
      Producer producer = Sdk.startProducer();
      Sdk.together(Sdk.range(0, groups), g -> () -> {
        for (int i = 0; i < count; i++) {
          String name = g + "/" + i;
          String n = String.valueOf(i);
          Sdk.send(producer, () -> Sdk.message(Sdk.topic(), name).setMessageGroup("group-" + g).addProperty("n", n).build(),
              resent::incrementAndGet);
        }
      });
      List<List<Integer>> seen = Sdk.range(0, groups).stream().map(g -> Sdk.<Integer>list()).collect(Collectors.toList());
      Set<Integer> failed = ConcurrentHashMap.newKeySet();
      List<String> wrong = Sdk.list();
      AtomicInteger successes = new AtomicInteger();
      Predicate<MessageView> consume = view -> {
        int g = Integer.parseInt(view.getMessageGroup().orElse("").substring("group-".length()));
        int i = Sdk.numberOf(view);
        if (!view.getMessageGroup().get().equals(view.getProperties().get("__SHARDINGKEY"))) wrong.add("__SHARDINGKEY of " + g + "/" + i);
        seen.get(g).add(i);
        if (Sdk.text(view).equals(POISON)) return false;
        if (i == FAILS_ONCE && failed.add(g)) return false;
        successes.incrementAndGet();
        return true;
      };
      Sdk.startPush(Sdk.group(), consume);
      Sdk.until(() -> successes.get() >= 3);
      List<Future<?>> second = Sdk.inBackground(List.of(2), n -> () -> Sdk.startPush(Sdk.group(), consume));
      Sdk.middle();
      for (Future<?> future : second) future.get();
      Sdk.until(() -> seen.stream().mapToInt(Sdk::distinct).sum() >= groups * count);

      List<String> dead = Sdk.list();
      SimpleConsumer letters = Sdk.startSimple(Sdk.group() + "-dead", "%DLQ%" + Sdk.group());
      Sdk.receiveUntil(letters, () -> !dead.isEmpty(), view -> dead.add(Sdk.text(view)));
      return Map.of("groups", groups, "count", count, "failsOnce", FAILS_ONCE, "poison", POISON, "seen", seen, "dead", dead,
          "resent", resent.get(), "wrong", wrong);
    });
  }
}
