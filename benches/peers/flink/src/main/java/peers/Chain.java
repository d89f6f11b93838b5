package peers;

import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** {@code chain}: an operator for each step, all in one chain. */
final class Chain implements Workload {
    @Override
    public void describe(StreamExecutionEnvironment env, Args args) {
        FlatMapFunction<Long, Long> expand = (x, out) -> {
            out.collect(x);
            if ((x & 7) == 0) {
                out.collect(x >>> 3);
            }
        };
        Records.source(env, args, Records::splitmix64, Types.LONG)
                .map(x -> x * 0x9E3779B97F4A7C15L ^ (x >>> 32))
                .filter(x -> (x & 3) != 0)
                .map(x -> x + 1)
                .flatMap(expand)
                .returns(Types.LONG)
                .sinkTo(new SumSink<Long>(x -> x));
    }
}
