import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.CloseOptions.GroupMembershipOperation;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/**
 * The same with Kafka Streams, exactly_once_v2, as it is shipped or as an expert sets it.
 *
 * <p>java Streams BOOTSTRAP REQUESTS PREDICTIONS GROUP MOJO THREADS [COMMIT_MS]
 *
 * <p>As shipped, close() stays in the group: its partitions move once session.timeout.ms, 45 s, has passed. With
 * COMMIT_MS, its commit.interval.ms (by default 100 with exactly_once_v2), close() leaves the group.
 */
public final class Streams {
  public static void main(String[] arguments) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[5]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("java.io.tmpdir"));
    boolean isTuned = arguments.length > 6;
    if (isTuned) {
      settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments[6]);
    }
    StreamsBuilder builder = new StreamsBuilder();
    ThreadLocal<Rows> rows = ThreadLocal.withInitial(() -> {
      try {
        return new Rows(arguments[4]);
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    });
    builder
        .stream(arguments[1], Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .mapValues(value -> rows.get().score(value))
        .to(arguments[2], Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      if (isTuned) {
        streams.close(CloseOptions.groupMembershipOperation(GroupMembershipOperation.LEAVE_GROUP));
      } else {
        streams.close();
      }
    }));
    streams.start();
  }
}
