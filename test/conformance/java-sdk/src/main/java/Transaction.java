import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.function.Predicate;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/** Half messages, then every second one is committed and the others are rolled back; tells what became visible. */
public final class Transaction {
  static final class Half {
    final org.apache.rocketmq.client.apis.producer.Transaction transaction;
    final String id;

    Half(org.apache.rocketmq.client.apis.producer.Transaction transaction, String id) {
      this.transaction = transaction;
      this.id = id;
    }
  }

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 12);
      Map<String, TransactionResolution> decisions = new ConcurrentHashMap<>();
      AtomicInteger checks = new AtomicInteger();
      Producer producer = Sdk.startProducer("", view -> {
        checks.incrementAndGet();
        return decisions.getOrDefault(view.getMessageId().toString(), TransactionResolution.UNKNOWN);
      }, Sdk.topic());
      Map<Integer, Half> halves = new ConcurrentHashMap<>();
      Sdk.together(Sdk.range(0, count), i -> () -> {
        org.apache.rocketmq.client.apis.producer.Transaction transaction = producer.beginTransaction();
        String id = producer.send(Sdk.message(Sdk.topic(), "half " + i).addProperty("n", String.valueOf(i)).build(), transaction)
            .getMessageId().toString();
        halves.put(i, new Half(transaction, id));
      });
      SimpleConsumer consumer = Sdk.startSimple();
      int tooEarly = Sdk.receiveOnce(consumer).size();
      Function<Integer, Sdk.Action> end = i -> () -> {
        Half half = halves.get(i);
        decisions.put(half.id, i % 2 == 0 ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK);
        Sdk.persist(() -> {
          if (i % 2 == 0) half.transaction.commit();
          else half.transaction.rollback();
          return null;
        });
      };
      Sdk.together(Sdk.range(0, 4), end);
      Sdk.middle();
      Sdk.together(Sdk.range(4, count), end);

      List<Integer> received = Sdk.list();
      List<String> wrong = Sdk.list();
      Predicate<MessageView> take = view -> {
        int i = Sdk.numberOf(view);
        String id = halves.get(i).id;
        if (!view.getMessageId().toString().equals(id)) wrong.add("id of " + i);
        if (!id.equals(view.getProperties().get("__transactionId__"))) wrong.add("__transactionId__ of " + i);
        return received.add(i);
      };
      Sdk.receiveUntil(consumer, () -> Sdk.distinct(received) >= count / 2, take);
      Sdk.receiveOnce(consumer).forEach(take::test);
      return Map.of("count", count, "tooEarly", tooEarly, "received", received, "checks", checks.get(), "wrong", wrong);
    });
  }
}
