import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.function.IntPredicate;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** SQL filters on properties, one consumer group for each expression, for first deliveries and for retried ones. */
public final class Sql {
  static final List<String> REGIONS = List.of("eu", "us", "ap", "");

  static String regionOf(int i) {
    return REGIONS.get(i % REGIONS.size());
  }

  static int priceOf(int i) {
    return i % 20;
  }

  static String tagOf(int i) {
    return i % 3 == 0 ? "tag-a" : "tag-b";
  }

  static final Map<String, String> EXPRESSIONS = Map.of(
      "both", "price > 10 AND region = 'eu'",
      "either", "price BETWEEN 5 AND 8 OR region IN ('us', 'ap')",
      "missing", "region IS NULL",
      "tag", "TAGS IS NOT NULL AND TAGS = 'tag-a'",
      "negated", "NOT (price < 15) AND region <> 'us'");

  static final Map<String, IntPredicate> SELECTS = Map.of(
      "both", i -> priceOf(i) > 10 && regionOf(i).equals("eu"),
      "either", i -> priceOf(i) >= 5 && priceOf(i) <= 8 || List.of("us", "ap").contains(regionOf(i)),
      "missing", i -> regionOf(i).isEmpty(),
      "tag", i -> tagOf(i).equals("tag-a"),
      "negated", i -> priceOf(i) >= 15 && !regionOf(i).isEmpty() && !regionOf(i).equals("us"));

  static FilterExpression sql(String expression) {
    return new FilterExpression(expression, FilterExpressionType.SQL92);
  }

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 40);
      Producer producer = Sdk.startProducer();
      Function<Integer, Sdk.Action> sendOne = i -> () -> Sdk.send(producer, () -> {
        MessageBuilder builder = Sdk.message(Sdk.topic(), "m").setTag(tagOf(i)).addProperty("n", String.valueOf(i))
            .addProperty("price", String.valueOf(priceOf(i)));
        if (!regionOf(i).isEmpty()) builder.addProperty("region", regionOf(i));
        return builder.build();
      }, () -> {});
      Sdk.together(Sdk.range(0, count / 2), sendOne);
      Sdk.middle();
      Sdk.together(Sdk.range(count / 2, count), sendOne);
      Map<String, List<Integer>> expected = new ConcurrentHashMap<>();
      Map<String, List<Integer>> got = new ConcurrentHashMap<>();
      AtomicInteger retried = new AtomicInteger();
      Sdk.together(List.copyOf(EXPRESSIONS.keySet()), name -> () -> {
        expected.put(name, Sdk.range(0, count).stream().filter(i -> SELECTS.get(name).test(i)).collect(Collectors.toList()));
        got.put(name, Sdk.list());
        SimpleConsumer consumer = Sdk.startSimple("", Sdk.group() + "-" + name, Collections.singletonMap(Sdk.topic(), sql(EXPRESSIONS.get(name))));
        AtomicInteger givenBack = new AtomicInteger(-1);
        Predicate<MessageView> take = view -> {
          int i = Sdk.numberOf(view);
          if (givenBack.compareAndSet(-1, i)) {
            try {
              Sdk.persist(() -> {
                consumer.changeInvisibleDuration(view, Duration.ofSeconds(1));
                return null;
              });
            } catch (Exception error) {
              throw new IllegalStateException(error);
            }
            return false;
          }
          if (givenBack.get() == i && view.getDeliveryAttempt() > 1) retried.incrementAndGet();
          return got.get(name).add(i);
        };
        Sdk.receiveUntil(consumer, () -> Sdk.distinct(got.get(name)) >= expected.get(name).size(), take);
        Sdk.receiveUntil(consumer, () -> false, take, 1_000);
      });
      SimpleConsumer bad = Sdk.startSimple(Sdk.group() + "-bad", Sdk.topic());
      bad.subscribe(Sdk.topic(), sql("price >> AND"));
      String refused = "accepted";
      try {
        bad.receive(1, Duration.ofSeconds(10));
      } catch (Exception error) {
        refused = "refused";
      }
      return Map.of("expected", expected, "got", got, "retried", retried.get(), "groups", EXPRESSIONS.size(), "refused", refused);
    });
  }
}
