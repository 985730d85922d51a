import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Consumes, scores and produces in transactions, a consumer and a producer per thread; exactly once while nothing fails.
 *
 * <p>java ByHand BOOTSTRAP REQUESTS PREDICTIONS GROUP MODEL THREADS CODEC HEADERS TRANSACTION_MS SCORER
 *
 * <p>HEADERS: `headers` writes the headers that Hotswap writes, generation, model-digest, operation and source; `none`
 * writes none. Under a backlog, a transaction becomes TRANSACTION_MS old. SCORER is a class here that scores MODEL.
 */
public final class ByHand {
  private static final int FETCH_BYTES_A_RECORD = 200;
  private static final Header GENERATION = new RecordHeader("generation", new byte[] {'1'});
  private static final Header DIGEST = new RecordHeader("model-digest", "a".repeat(64).getBytes(StandardCharsets.US_ASCII));
  private static final Header OPERATION = new RecordHeader("operation", "Score".getBytes(StandardCharsets.US_ASCII));

  public static void main(String[] arguments) throws Exception {
    List<KafkaConsumer<byte[], byte[]>> consumers = new ArrayList<>();
    List<Thread> threads = new ArrayList<>();
    for (int number = 0; number < Integer.parseInt(arguments[5]); number++) {
      Scorer scorer = (Scorer) Class.forName(arguments[9]).getDeclaredConstructor(String.class).newInstance(arguments[4]);
      KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
          settings(
              arguments[0],
              "group.id", arguments[3],
              "isolation.level", "read_committed",
              "enable.auto.commit", "false",
              "auto.offset.reset", "earliest",
              "max.partition.fetch.bytes", Integer.toString(FETCH_BYTES_A_RECORD * scorer.atOnce()),
              "max.poll.records", Integer.toString(scorer.atOnce())),
          new ByteArrayDeserializer(),
          new ByteArrayDeserializer());
      KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
          settings(
              arguments[0],
              "transactional.id", arguments[3] + "-" + number,
              "batch.size", "262144",
              "compression.type", arguments[6],
              "retry.backoff.ms", "5"),
          new ByteArraySerializer(),
          new ByteArraySerializer());
      consumers.add(consumer);
      threads.add(new Thread(() -> run(consumer, producer, scorer, arguments)));
    }
    threads.forEach(Thread::start);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      consumers.forEach(KafkaConsumer::wakeup);
      for (Thread thread : threads) {
        try {
          thread.join();
        } catch (InterruptedException error) {
          return;
        }
      }
    }));
  }

  private static Properties settings(String bootstrap, String... pairs) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    for (int place = 0; place < pairs.length; place += 2) {
      settings.put(pairs[place], pairs[place + 1]);
    }
    return settings;
  }

  private static List<Header> headers(byte[] place, long offset) {
    byte[] digits = Long.toString(offset).getBytes(StandardCharsets.US_ASCII);
    byte[] source = Arrays.copyOf(place, place.length + digits.length);
    System.arraycopy(digits, 0, source, place.length, digits.length);
    return List.of(GENERATION, DIGEST, OPERATION, new RecordHeader("source", source));
  }

  private static void run(
      KafkaConsumer<byte[], byte[]> consumer, KafkaProducer<byte[], byte[]> producer, Scorer scorer, String[] arguments) {
    boolean hasHeaders = arguments[7].equals("headers");
    producer.initTransactions();
    consumer.subscribe(List.of(arguments[1]));
    try {
      while (true) {
        ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofMillis(100));
        if (batch.isEmpty()) {
          continue;
        }
        producer.beginTransaction();
        long until = System.nanoTime() + Long.parseLong(arguments[8]) * 1_000_000;
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        while (!batch.isEmpty()) {
          List<byte[]> requests = new ArrayList<>(batch.count());
          batch.forEach(record -> requests.add(record.value()));
          Iterator<byte[]> answers = scorer.scoreAll(requests).iterator();
          for (TopicPartition partition : batch.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> records = batch.records(partition);
            byte[] place = (arguments[1] + "-" + partition.partition() + "-").getBytes(StandardCharsets.UTF_8);
            for (ConsumerRecord<byte[], byte[]> record : records) {
              producer.send(new ProducerRecord<>(
                  arguments[2], partition.partition(), record.key(), answers.next(),
                  hasHeaders ? headers(place, record.offset()) : null));
            }
            offsets.put(partition, new OffsetAndMetadata(records.get(records.size() - 1).offset() + 1));
          }
          boolean isBacklog = batch.count() == scorer.atOnce() && System.nanoTime() < until;
          batch = isBacklog ? consumer.poll(Duration.ZERO) : ConsumerRecords.empty();
        }
        producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
        producer.commitTransaction();
      }
    } catch (WakeupException error) {
      producer.close();
      consumer.close();
    }
  }
}
