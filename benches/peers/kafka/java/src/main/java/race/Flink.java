package race;

import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The job on Flink's DataStream API in a mini cluster of this JVM: objects are reused, and offsets are committed by
 * checkpoints, at least once.
 */
public final class Flink {
    private static final TypeInformation<byte[]> BYTES = PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
    private static final TypeInformation<Tuple2<byte[], byte[]>> LINE = Types.TUPLE(BYTES, BYTES);

    private Flink() {}

    public static void main(String[] args) throws Exception {
        Words words = new Words(args);
        Configuration configuration = new Configuration();
        // A port of its own choice, so that several may run at once.
        configuration.set(RestOptions.BIND_PORT, "0");
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        env.getConfig().enableObjectReuse();
        env.enableCheckpointing(words.number("commit.interval.ms"), CheckpointingMode.AT_LEAST_ONCE);
        env.fromSource(source(words), WatermarkStrategy.noWatermarks(), "input")
                .map(line -> Tuple2.of(line.f0, Words.upper(line.f1)))
                .returns(LINE)
                .sinkTo(sink(words));
        env.execute("race");
    }

    private static KafkaSource<Tuple2<byte[], byte[]>> source(Words words) {
        return KafkaSource.<Tuple2<byte[], byte[]>>builder()
                .setBootstrapServers(words.text("brokers"))
                .setTopics(words.text("input"))
                .setGroupId(words.text("group"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setProperties(words.settings("consumer"))
                .setDeserializer(new Reading())
                .build();
    }

    private static KafkaSink<Tuple2<byte[], byte[]>> sink(Words words) {
        String output = words.text("output");
        KafkaRecordSerializationSchema<Tuple2<byte[], byte[]>> writing =
                (line, context, timestamp) -> new ProducerRecord<>(output, line.f0, line.f1);
        return KafkaSink.<Tuple2<byte[], byte[]>>builder()
                .setBootstrapServers(words.text("brokers"))
                .setKafkaProducerConfig(words.settings("producer"))
                .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
                .setRecordSerializer(writing)
                .build();
    }

    private static final class Reading implements KafkaRecordDeserializationSchema<Tuple2<byte[], byte[]>> {
        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<byte[], byte[]>> out) {
            out.collect(Tuple2.of(record.key(), record.value()));
        }

        @Override
        public TypeInformation<Tuple2<byte[], byte[]>> getProducedType() {
            return LINE;
        }
    }
}
