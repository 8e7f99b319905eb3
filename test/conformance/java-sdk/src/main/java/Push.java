import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.function.IntPredicate;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.producer.Producer;

/**
 * PushConsumer: most messages succeed, some fail once, some fail always and become dead letters, which a SimpleConsumer
 * then reads. Tells the attempts of each message and the dead letters.
 */
public final class Push {
  static String kindOf(int i) {
    return i % 10 == 7 ? "always" : i % 5 == 3 ? "once" : "never";
  }

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 30);
      int maxAttempts = Sdk.number("max-attempts", 3);
      Producer producer = Sdk.startProducer();
      Map<Integer, List<Integer>> attempts = new ConcurrentHashMap<>();
      for (int i = 0; i < count; i++) attempts.put(i, Sdk.list());
      AtomicInteger resent = new AtomicInteger();
      Function<Integer, Sdk.Action> sendOne = i -> () -> Sdk.send(producer,
          () -> Sdk.message(Sdk.topic(), "push " + i).setTag(kindOf(i)).addProperty("n", String.valueOf(i)).build(), resent::incrementAndGet);
      Sdk.startPush(Sdk.group(), view -> {
        int i = Sdk.numberOf(view);
        attempts.get(i).add(view.getDeliveryAttempt());
        if (kindOf(i).equals("always")) return false;
        return kindOf(i).equals("never") || attempts.get(i).size() > 1;
      });
      Sdk.together(Sdk.range(0, count / 2), sendOne);
      Sdk.until(() -> attempts.values().stream().filter(list -> !list.isEmpty()).count() >= count / 2);
      Sdk.middle();
      Sdk.together(Sdk.range(count / 2, count), sendOne);
      IntPredicate done = i -> attempts.get(i).size() >= (kindOf(i).equals("always") ? maxAttempts : kindOf(i).equals("once") ? 2 : 1);
      Sdk.until(() -> Sdk.range(0, count).stream().allMatch(i -> done.test(i)));

      List<Integer> dead = Sdk.list();
      List<String> wrong = Sdk.list();
      List<Integer> expected = Sdk.range(0, count).stream().filter(i -> kindOf(i).equals("always")).collect(Collectors.toList());
      SimpleConsumer letters = Sdk.startSimple(Sdk.group() + "-dead", "%DLQ%" + Sdk.group());
      Sdk.receiveUntil(letters, () -> Sdk.distinct(dead) >= expected.size(), view -> {
        int i = Sdk.numberOf(view);
        if (!Sdk.text(view).equals("push " + i)) wrong.add("body of dead letter " + i);
        if (!"always".equals(view.getTag().orElse(null))) wrong.add("tag of dead letter " + i);
        return dead.add(i);
      });
      Function<String, List<List<Integer>>> of = kind -> Sdk.range(0, count).stream().filter(i -> kindOf(i).equals(kind))
          .map(attempts::get).collect(Collectors.toList());
      return Map.of("count", count, "maxAttempts", maxAttempts, "resent", resent.get(), "never", of.apply("never"), "once", of.apply("once"),
          "always", of.apply("always"), "expectedDead", expected, "dead", dead, "wrong", wrong);
    });
  }
}
