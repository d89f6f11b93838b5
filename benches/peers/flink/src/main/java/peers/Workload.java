package peers;

import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** Describes a job that ends in a {@link SumSink}. */
interface Workload {
    void describe(StreamExecutionEnvironment env, Args args);
}
