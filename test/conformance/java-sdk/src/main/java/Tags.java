import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.IntPredicate;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** Tag filters: an alternative of two tags, one tag in a push consumer, and everything. Tells which numbers each got. */
public final class Tags {
  static final List<String> TAGS = List.of("tag-a", "tag-b", "tag-c", "");

  static String tagOf(int i) {
    return TAGS.get(i % TAGS.size());
  }

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 40);
      Producer producer = Sdk.startProducer();
      Function<Integer, Sdk.Action> sendOne = i -> () -> Sdk.send(producer, () -> {
        MessageBuilder builder = Sdk.message(Sdk.topic(), "m").addProperty("n", String.valueOf(i));
        if (!tagOf(i).isEmpty()) builder.setTag(tagOf(i));
        return builder.build();
      }, () -> {});
      Function<IntPredicate, List<Integer>> select = which -> Sdk.range(0, count).stream().filter(i -> which.test(i)).collect(Collectors.toList());
      Map<String, List<Integer>> expected = Map.of(
          "alternative", select.apply(i -> tagOf(i).equals("tag-a") || tagOf(i).equals("tag-b")),
          "one", select.apply(i -> tagOf(i).equals("tag-c")),
          "all", select.apply(i -> true));
      Map<String, List<Integer>> got = Map.of("alternative", Sdk.list(), "one", Sdk.list(), "all", Sdk.list());
      Sdk.startPush("", Sdk.group() + "-one", Collections.singletonMap(Sdk.topic(), new FilterExpression("tag-c")),
          view -> got.get("one").add(Sdk.numberOf(view)));
      Sdk.together(Sdk.range(0, count / 2), sendOne);
      Sdk.middle();
      Sdk.together(Sdk.range(count / 2, count), sendOne);
      Sdk.together(List.of("alternative", "all"), name -> () -> {
        FilterExpression filter = name.equals("all") ? FilterExpression.SUB_ALL : new FilterExpression("tag-a || tag-b");
        SimpleConsumer consumer = Sdk.startSimple("", Sdk.group() + "-" + name, Collections.singletonMap(Sdk.topic(), filter));
        Predicate<MessageView> take = view -> got.get(name).add(Sdk.numberOf(view));
        Sdk.receiveUntil(consumer, () -> Sdk.distinct(got.get(name)) >= expected.get(name).size(), take);
        Sdk.receiveUntil(consumer, () -> false, take, 1_000);
      });
      Sdk.until(() -> Sdk.distinct(got.get("one")) >= expected.get("one").size());
      return Map.of("expected", expected, "got", got);
    });
  }
}
