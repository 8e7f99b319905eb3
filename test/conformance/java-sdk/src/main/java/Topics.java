import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** One producer, one SimpleConsumer and one PushConsumer over several topics. --topic is their common prefix. */
public final class Topics {
  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 20);
      List<String> topics = List.of("A", "B", "C").stream().map(letter -> Sdk.topic() + letter).collect(Collectors.toList());
      Producer producer = Sdk.startProducer("", null, topics.toArray(new String[0]));
      List<String[]> all = topics.stream().flatMap(topic -> Sdk.range(0, count).stream().map(i -> new String[] {topic, topic + "/" + i}))
          .collect(Collectors.toList());
      Function<String[], Sdk.Action> sendOne = one -> () -> Sdk.send(producer, () -> Sdk.message(one[0], one[1]).setTag("tag-a").build(), () -> {});
      List<String> strays = Sdk.list();
      Function<List<String>, Predicate<MessageView>> into = list -> view -> {
        if (!Sdk.text(view).startsWith(view.getTopic() + "/")) strays.add(Sdk.text(view));
        return list.add(Sdk.text(view));
      };
      List<String> pushed = Sdk.list();
      Map<String, FilterExpression> filters = topics.stream()
          .collect(Collectors.toMap(topic -> topic, topic -> topic.endsWith("A") ? new FilterExpression("tag-a") : FilterExpression.SUB_ALL));
      Sdk.startPush("", Sdk.group() + "-push", filters, into.apply(pushed));
      Sdk.together(all.subList(0, all.size() / 2), sendOne);
      Sdk.middle();
      Sdk.together(all.subList(all.size() / 2, all.size()), sendOne);
      List<String> simple = Sdk.list();
      SimpleConsumer consumer = Sdk.startSimple("", Sdk.group(),
          topics.stream().collect(Collectors.toMap(topic -> topic, topic -> FilterExpression.SUB_ALL)));
      Sdk.receiveUntil(consumer, () -> Sdk.distinct(simple) == all.size(), into.apply(simple));
      Sdk.until(() -> Sdk.distinct(pushed) == all.size());
      return Map.of("expected", all.size(), "simple", Sdk.distinct(simple), "push", Sdk.distinct(pushed), "strays", strays);
    });
  }
}
