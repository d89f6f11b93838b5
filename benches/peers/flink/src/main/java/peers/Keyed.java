package peers;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** {@code keyed}: an exchange by key, then sum and count of each key. */
final class Keyed implements Workload {
    private static final TypeInformation<Tuple2<Integer, Integer>> RECORD = Types.TUPLE(Types.INT, Types.INT);

    @Override
    public void describe(StreamExecutionEnvironment env, Args args) {
        long keys = args.keys();
        Records.Make<Tuple2<Integer, Integer>> make = i ->
                Tuple2.of((int) Long.remainderUnsigned(Records.splitmix64(i), keys), (int) (i & 0xff));
        Records.source(env, args, make, RECORD)
                .keyBy(record -> record.f0, Types.INT)
                .process(new Running())
                .sinkTo(new SumSink<>(Keyed::checksum));
    }

    private static long checksum(Tuple4<Integer, Integer, Long, Long> running) {
        return (2 * Integer.toUnsignedLong(running.f0) + 1) * (running.f3 + running.f2 * running.f1);
    }

    /** Emits key, value, sum and count for each record. */
    private static final class Running
            extends KeyedProcessFunction<Integer, Tuple2<Integer, Integer>, Tuple4<Integer, Integer, Long, Long>> {
        private transient ValueState<Tuple2<Long, Long>> state;

        @Override
        public void open(OpenContext context) {
            state = getRuntimeContext()
                    .getState(new ValueStateDescriptor<>("running", Types.TUPLE(Types.LONG, Types.LONG)));
        }

        @Override
        public void processElement(
                Tuple2<Integer, Integer> record, Context context, Collector<Tuple4<Integer, Integer, Long, Long>> out)
                throws Exception {
            Tuple2<Long, Long> running = state.value();
            if (running == null) {
                running = Tuple2.of(0L, 0L);
            }
            running.f0 += record.f1;
            running.f1 += 1;
            state.update(running);
            out.collect(Tuple4.of(record.f0, record.f1, running.f0, running.f1));
        }
    }
}
