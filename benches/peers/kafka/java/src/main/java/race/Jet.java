package race;

import com.hazelcast.config.Config;
import com.hazelcast.core.Hazelcast;
import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.jet.Util;
import com.hazelcast.jet.config.JobConfig;
import com.hazelcast.jet.config.ProcessingGuarantee;
import com.hazelcast.jet.kafka.KafkaSinks;
import com.hazelcast.jet.kafka.KafkaSources;
import com.hazelcast.jet.pipeline.Pipeline;
import java.util.Properties;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The job on Hazelcast Jet: one member in this JVM, that joins nobody, with snapshots, at least once. */
public final class Jet {
    private Jet() {}

    public static void main(String[] args) {
        Words words = new Words(args);
        Pipeline pipeline = Pipeline.create();
        pipeline.readFrom(KafkaSources.<byte[], byte[]>kafka(consumer(words), words.text("input")))
                .withoutTimestamps()
                .setLocalParallelism(1)
                .map(line -> Util.entry(line.getKey(), Words.upper(line.getValue())))
                .setLocalParallelism(1)
                .writeTo(KafkaSinks.kafka(producer(words), words.text("output")))
                .setLocalParallelism(1);
        JobConfig job = new JobConfig()
                .setProcessingGuarantee(ProcessingGuarantee.AT_LEAST_ONCE)
                .setSnapshotIntervalMillis(words.number("commit.interval.ms"));
        member().getJet().newJob(pipeline, job).join();
    }

    private static HazelcastInstance member() {
        Config config = new Config();
        config.getJetConfig().setEnabled(true).setCooperativeThreadCount(1);
        config.getNetworkConfig().getJoin().getAutoDetectionConfig().setEnabled(false);
        config.getNetworkConfig().getInterfaces().setEnabled(true).addInterface("127.0.0.1");
        config.setProperty("hazelcast.phone.home.enabled", "false");
        return Hazelcast.newHazelcastInstance(config);
    }

    private static Properties consumer(Words words) {
        Properties settings = words.settings("consumer");
        settings.setProperty("bootstrap.servers", words.text("brokers"));
        settings.setProperty("group.id", words.text("group"));
        settings.setProperty("auto.offset.reset", "earliest");
        settings.setProperty("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.setProperty("value.deserializer", ByteArrayDeserializer.class.getName());
        return settings;
    }

    private static Properties producer(Words words) {
        Properties settings = words.settings("producer");
        settings.setProperty("bootstrap.servers", words.text("brokers"));
        settings.setProperty("key.serializer", ByteArraySerializer.class.getName());
        settings.setProperty("value.serializer", ByteArraySerializer.class.getName());
        return settings;
    }
}
