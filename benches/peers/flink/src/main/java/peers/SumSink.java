package peers;

import java.io.Serializable;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;

/** Adds up the checksums of what comes. */
final class SumSink<T> implements Sink<T> {
    private final Checksum<T> checksum;

    SumSink(Checksum<T> checksum) {
        this.checksum = checksum;
    }

    /** A result's part of the checksum. */
    interface Checksum<T> extends Serializable {
        long of(T result);
    }

    @Override
    public SinkWriter<T> createWriter(WriterInitContext context) {
        return new Writer();
    }

    private final class Writer implements SinkWriter<T> {
        private long sum;

        @Override
        public void write(T result, Context context) {
            sum += checksum.of(result);
        }

        @Override
        public void flush(boolean endOfInput) {
            if (endOfInput) {
                Totals.end(sum);
                sum = 0;
            }
        }

        @Override
        public void close() {}
    }
}
