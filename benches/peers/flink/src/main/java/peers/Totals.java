package peers;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;

/** What the subtasks of a job agree on: they are in this JVM, and of one class loader. */
final class Totals {
    private static final AtomicLong BEGAN = new AtomicLong();
    private static final AtomicLong ENDED = new AtomicLong();
    private static final LongAdder SUM = new LongAdder();

    private Totals() {}

    static void reset() {
        BEGAN.set(Long.MAX_VALUE);
        ENDED.set(Long.MIN_VALUE);
        SUM.reset();
    }

    /** For each source subtask, before its first record. */
    static void begin() {
        BEGAN.accumulateAndGet(System.nanoTime(), Math::min);
    }

    /** For each sink subtask, with its sum, when its last result is in. */
    static void end(long sum) {
        SUM.add(sum);
        ENDED.accumulateAndGet(System.nanoTime(), Math::max);
    }

    static double seconds() {
        return (ENDED.get() - BEGAN.get()) / 1e9;
    }

    static long sum() {
        return SUM.sum();
    }
}
