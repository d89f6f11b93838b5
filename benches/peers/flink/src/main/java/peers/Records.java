package peers;

import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.connector.source.lib.NumberSequenceSource;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** The source of all workloads: a function of the record's number. */
final class Records {
    private Records() {}

    /** Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014). */
    static long splitmix64(long i) {
        long z = (i + 1) * 0x9E3779B97F4A7C15L;
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }

    static <T> SingleOutputStreamOperator<T> source(
            StreamExecutionEnvironment env, Args args, Make<T> make, TypeInformation<T> type) {
        return source(env, args, make, type, WatermarkStrategy.noWatermarks());
    }

    /**
     * With event time. The strategy is the source's, so it sees each share by itself: a subtask may get several, one
     * after the other.
     */
    static <T> SingleOutputStreamOperator<T> source(
            StreamExecutionEnvironment env,
            Args args,
            Make<T> make,
            TypeInformation<T> type,
            WatermarkStrategy<Long> strategy) {
        NumberSequenceSource numbers = new NumberSequenceSource(0, args.records() - 1);
        return env.fromSource(numbers, strategy, "numbers")
                .map(new Making<>(args, make))
                .returns(type);
    }

    /** Makes record {@code i}. */
    interface Make<T> extends java.io.Serializable {
        T make(long i);
    }

    private static final class Making<T> extends RichMapFunction<Long, T> {
        private final Args args;
        private final Make<T> make;
        private boolean begun;

        Making(Args args, Make<T> make) {
            this.args = args;
            this.make = make;
        }

        @Override
        public T map(Long number) {
            if (!begun) {
                begun = true;
                Totals.begin();
            }
            return make.make(args.record(number));
        }
    }
}
