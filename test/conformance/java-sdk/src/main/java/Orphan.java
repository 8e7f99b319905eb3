import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/**
 * Half messages of a producer process that is killed before it decides: another producer of the topic is asked, leaves
 * its first answer open, then commits every second one. With --role orphan this is the process that is killed.
 */
public final class Orphan {
  static Map<String, Object> orphan(int count) throws Exception {
    Producer producer = Sdk.startProducer("", view -> TransactionResolution.UNKNOWN, Sdk.topic());
    for (int i = 0; i < count; i++)
      producer.send(Sdk.message(Sdk.topic(), "half " + i).addProperty("n", String.valueOf(i)).build(), producer.beginTransaction());
    System.out.println("sent");
    System.out.flush();
    // Gone with its parent at the latest.
    System.in.read();
    return Map.of();
  }

  /** Runs this program as the orphan until its half messages are sent, then kills it. */
  static boolean killedProducer(String[] args, int count) throws Exception {
    List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElse("java")));
    command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), "Orphan", "--role", "orphan"));
    for (String arg : args) if (!arg.equals("--halt")) command.add(arg);
    Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    try (BufferedReader output = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
      return "sent".equals(output.readLine());
    } finally {
      process.destroyForcibly().waitFor();
    }
  }

  public static void main(String[] args) {
    Sdk.run(args, () -> {
      int count = Sdk.number("count", 6);
      if (Sdk.option("role", "").equals("orphan")) return orphan(count);
      if (!killedProducer(args, count)) return Map.of("count", count, "halves", 0, "received", List.of(), "asked", List.of());
      Sdk.middle();
      Map<Integer, Integer> asked = new ConcurrentHashMap<>();
      List<String> wrong = Sdk.list();
      Sdk.startProducer("", view -> {
        int i = Sdk.numberOf(view);
        if (!Sdk.text(view).equals("half " + i)) wrong.add("body of the checked " + i);
        if (asked.merge(i, 1, Integer::sum) == 1) return TransactionResolution.UNKNOWN;
        return i % 2 == 0 ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
      }, Sdk.topic());
      SimpleConsumer consumer = Sdk.startSimple();
      List<Integer> received = Sdk.list();
      Predicate<MessageView> take = view -> received.add(Sdk.numberOf(view));
      BooleanSupplier decided = () -> Sdk.range(0, count).stream().allMatch(i -> asked.getOrDefault(i, 0) >= 2);
      Sdk.receiveUntil(consumer, () -> decided.getAsBoolean() && Sdk.distinct(received) >= count / 2, take);
      // A second check round would deliver what was committed once more.
      Sdk.receiveUntil(consumer, () -> false, take, 4_000);
      return Map.of("count", count, "halves", count, "received", received, "asked", asked.values(), "wrong", wrong);
    });
  }
}
