package race;

import java.nio.file.Files;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/** The job on Kafka Streams: one thread, at least once, without a store. */
public final class Streams {
    private Streams() {}

    public static void main(String[] args) throws Exception {
        Words words = new Words(args);
        Consumed<byte[], byte[]> bytes = Consumed.with(Serdes.ByteArray(), Serdes.ByteArray());
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(words.text("input"), bytes)
                .mapValues(Words::upper)
                .to(words.text("output"), Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings(words));
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Properties settings(Words words) throws Exception {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, words.text("group"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, words.text("brokers"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, words.number("commit.interval.ms"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("race").toString());
        words.settings("consumer").forEach((name, value) -> settings.put("consumer." + name, value));
        words.settings("producer").forEach((name, value) -> settings.put("producer." + name, value));
        settings.put("consumer.auto.offset.reset", "earliest");
        return settings;
    }
}
