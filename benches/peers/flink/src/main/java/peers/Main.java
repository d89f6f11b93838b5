package peers;

import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * The workloads as DataStream jobs in a mini cluster of this JVM: objects are reused, state is on the heap, there are
 * no checkpoints. A first job of the same kind warms the JIT up and is not told.
 */
public final class Main {
    private static final int NO_SUCH_WORKLOAD = 3;

    private Main() {}

    public static void main(String[] words) throws Exception {
        Args args = Args.parse(words);
        Map<String, Workload> workloads =
                Map.of("chain", new Chain(), "keyed", new Keyed(), "window", new Windows(100, 100),
                        "sliding", new Windows(1000, 10));
        Workload workload = workloads.get(args.workload());
        if (workload == null || !args.variant().isEmpty()) {
            System.err.println("no such workload here");
            System.exit(NO_SUCH_WORKLOAD);
        }
        run(workload, args);
        run(workload, args);
        System.out.println(args.line(Totals.seconds(), Totals.sum()));
        System.exit(0);
    }

    private static void run(Workload workload, Args args) throws Exception {
        Totals.reset();
        Configuration configuration = new Configuration();
        // A port of its own choice, so that several may run at once.
        configuration.set(RestOptions.BIND_PORT, "0");
        StreamExecutionEnvironment env =
                StreamExecutionEnvironment.createLocalEnvironment(args.parallelism(), configuration);
        env.getConfig().enableObjectReuse();
        workload.describe(env, args);
        env.execute(args.workload());
    }
}
