import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
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
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Consumes, scores and produces in transactions, a consumer and a producer per thread; exactly once while nothing fails.
 *
 * <p>java ByHand BOOTSTRAP REQUESTS PREDICTIONS GROUP MOJO THREADS
 */
public final class ByHand {
  public static void main(String[] arguments) throws Exception {
    List<KafkaConsumer<byte[], byte[]>> consumers = new ArrayList<>();
    List<Thread> threads = new ArrayList<>();
    for (int number = 0; number < Integer.parseInt(arguments[5]); number++) {
      KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
          settings(
              arguments[0],
              "group.id", arguments[3],
              "isolation.level", "read_committed",
              "enable.auto.commit", "false",
              "auto.offset.reset", "earliest",
              "max.poll.records", "5000"),
          new ByteArrayDeserializer(),
          new ByteArrayDeserializer());
      KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
          settings(
              arguments[0],
              "transactional.id", arguments[3] + "-" + number,
              "batch.size", "262144",
              "retry.backoff.ms", "5"),
          new ByteArraySerializer(),
          new ByteArraySerializer());
      Rows rows = new Rows(arguments[4]);
      consumers.add(consumer);
      threads.add(new Thread(() -> run(consumer, producer, rows, arguments)));
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

  private static void run(
      KafkaConsumer<byte[], byte[]> consumer, KafkaProducer<byte[], byte[]> producer, Rows rows, String[] arguments) {
    producer.initTransactions();
    consumer.subscribe(List.of(arguments[1]));
    try {
      while (true) {
        ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofMillis(100));
        if (batch.isEmpty()) {
          continue;
        }
        producer.beginTransaction();
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (TopicPartition partition : batch.partitions()) {
          List<ConsumerRecord<byte[], byte[]>> records = batch.records(partition);
          for (ConsumerRecord<byte[], byte[]> record : records) {
            producer.send(new ProducerRecord<>(
                arguments[2], partition.partition(), record.key(), rows.score(record.value())));
          }
          offsets.put(partition, new OffsetAndMetadata(records.get(records.size() - 1).offset() + 1));
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
