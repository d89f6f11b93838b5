package peers;

import java.time.Duration;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.WindowAssigner;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/** {@code window} and {@code sliding}: count and maximum in event time. */
final class Windows implements Workload {
    private static final long BEGIN_MS = 1_000_000;
    private static final long RECORDS_PER_MS = 1000;
    private static final long BEHIND_MS = 5;
    private static final long KEYS = 1000;

    /** Time, key and value. */
    private static final TypeInformation<Tuple3<Long, Integer, Integer>> READING =
            Types.TUPLE(Types.LONG, Types.INT, Types.INT);

    private final Duration size;
    private final Duration slide;

    Windows(long sizeMs, long slideMs) {
        size = Duration.ofMillis(sizeMs);
        slide = Duration.ofMillis(slideMs);
    }

    @Override
    public void describe(StreamExecutionEnvironment env, Args args) {
        WatermarkStrategy<Long> strategy =
                WatermarkStrategy.<Long>forGenerator(context -> new EachMillisecond())
                        .withTimestampAssigner((number, before) -> timeMs(args.record(number)));
        WindowAssigner<Object, TimeWindow> windows =
                size.equals(slide) ? TumblingEventTimeWindows.of(size) : SlidingEventTimeWindows.of(size, slide);
        Records.source(env, args, Windows::reading, READING, strategy)
                .keyBy(reading -> reading.f1, Types.INT)
                .window(windows)
                .aggregate(new CountAndMax(), new Result())
                .sinkTo(new SumSink<>(Windows::checksum));
    }

    private static Tuple3<Long, Integer, Integer> reading(long i) {
        long hash = Records.splitmix64(i);
        int key = (int) Long.remainderUnsigned(hash, KEYS);
        return Tuple3.of(timeMs(i), key, (int) (hash >>> 40));
    }

    private static long timeMs(long i) {
        long shuffled = (Records.splitmix64(i ^ 0x5bd1e99500000000L) >>> 33) % 5;
        return BEGIN_MS + i / RECORDS_PER_MS + shuffled - 2;
    }

    /** Of start, key, count and maximum. */
    private static long checksum(Tuple4<Long, Integer, Integer, Integer> window) {
        long start = window.f0 * 0x9E3779B97F4A7C15L;
        long key = window.f1 * 0xC2B2AE3D27D4EB4FL;
        return ((start ^ key) | 1) * ((long) window.f2 << 32 | window.f3);
    }

    /** Says a watermark whenever time has come further. */
    private static final class EachMillisecond implements WatermarkGenerator<Long> {
        private long greatestMs = Long.MIN_VALUE;

        @Override
        public void onEvent(Long number, long timeMs, WatermarkOutput output) {
            if (timeMs > greatestMs) {
                greatestMs = timeMs;
                output.emitWatermark(new Watermark(timeMs - BEHIND_MS));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput output) {}
    }

    private static final class CountAndMax
            implements AggregateFunction<
                    Tuple3<Long, Integer, Integer>, Tuple2<Integer, Integer>, Tuple2<Integer, Integer>> {
        @Override
        public Tuple2<Integer, Integer> createAccumulator() {
            return Tuple2.of(0, 0);
        }

        @Override
        public Tuple2<Integer, Integer> add(Tuple3<Long, Integer, Integer> reading, Tuple2<Integer, Integer> acc) {
            acc.f0 += 1;
            acc.f1 = Math.max(acc.f1, reading.f2);
            return acc;
        }

        @Override
        public Tuple2<Integer, Integer> getResult(Tuple2<Integer, Integer> acc) {
            return acc;
        }

        @Override
        public Tuple2<Integer, Integer> merge(Tuple2<Integer, Integer> a, Tuple2<Integer, Integer> b) {
            return Tuple2.of(a.f0 + b.f0, Math.max(a.f1, b.f1));
        }
    }

    private static final class Result
            extends ProcessWindowFunction<
                    Tuple2<Integer, Integer>, Tuple4<Long, Integer, Integer, Integer>, Integer, TimeWindow> {
        @Override
        public void process(
                Integer key,
                Context context,
                Iterable<Tuple2<Integer, Integer>> results,
                Collector<Tuple4<Long, Integer, Integer, Integer>> out) {
            for (Tuple2<Integer, Integer> result : results) {
                out.collect(Tuple4.of(context.window().getStart(), key, result.f0, result.f1));
            }
        }
    }
}
