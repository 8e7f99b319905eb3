import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.Predicate;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** The same topic and the same consumer group in two namespaces: each consumer sees the messages of its own only. */
public final class Namespaces {
  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 20);
      List<String> namespaces = List.of(Sdk.option("namespaces", "first,second").split(","));
      Map<String, FilterExpression> all = Collections.singletonMap(Sdk.topic(), FilterExpression.SUB_ALL);
      List<String> wrong = Sdk.list();
      Map<String, Map<String, List<String>>> facts = new ConcurrentHashMap<>();
      Map<String, Producer> producers = new ConcurrentHashMap<>();
      Map<String, SimpleConsumer> consumers = new ConcurrentHashMap<>();
      Function<List<String>, Predicate<MessageView>> into = list -> view -> {
        if (!view.getTopic().equals(Sdk.topic())) wrong.add("topic is " + view.getTopic());
        return list.add(Sdk.text(view));
      };
      Sdk.together(namespaces, namespace -> () -> {
        facts.put(namespace, Map.of("simple", Sdk.list(), "push", Sdk.list()));
        producers.put(namespace, Sdk.startProducer(namespace, null, Sdk.topic()));
        consumers.put(namespace, Sdk.startSimple(namespace, Sdk.group(), all));
        Sdk.startPush(namespace, Sdk.group() + "-push", all, into.apply(facts.get(namespace).get("push")));
      });
      Function<Integer, Sdk.Action> sendOne = i -> () -> {
        for (String namespace : namespaces)
          Sdk.send(producers.get(namespace), () -> Sdk.message(Sdk.topic(), namespace + "/" + i).build(), () -> {});
      };
      Sdk.together(Sdk.range(0, count / 2), sendOne);
      Sdk.middle();
      Sdk.together(Sdk.range(count / 2, count), sendOne);
      Sdk.together(namespaces, namespace -> () -> {
        List<String> simple = facts.get(namespace).get("simple");
        Sdk.receiveUntil(consumers.get(namespace), () -> Sdk.distinct(simple) >= count, into.apply(simple));
        Sdk.receiveUntil(consumers.get(namespace), () -> false, into.apply(simple), 1_000);
        Sdk.until(() -> Sdk.distinct(facts.get(namespace).get("push")) >= count);
      });
      return Map.of("count", count, "namespaces", namespaces, "facts", facts, "wrong", wrong);
    });
  }
}
