package peers;

import java.io.Serializable;
import java.util.HashMap;
import java.util.Map;

/** The command line that all contestants have, and the line that they print. */
record Args(String workload, long records, int parallelism, long keys, String variant) implements Serializable {
    static Args parse(String[] words) {
        Map<String, String> given = new HashMap<>();
        for (int i = 0; i + 1 < words.length; i += 2) {
            given.put(words[i], words[i + 1].replace("_", ""));
        }
        int parallelism = Integer.parseInt(given.getOrDefault("--parallelism", "1"));
        long records = Long.parseLong(given.getOrDefault("--records", "10000000"));
        if (records % parallelism != 0) {
            throw new IllegalArgumentException("--records must be a multiple of --parallelism here");
        }
        long keys = Long.parseLong(given.getOrDefault("--keys", "100000"));
        return new Args(given.get("--workload"), records, parallelism, keys, given.getOrDefault("--variant", ""));
    }

    /** Each subtask gets a stretch of numbers; this makes them the records that it would have elsewhere. */
    long record(long number) {
        long share = records / parallelism;
        return number % share * parallelism + number / share;
    }

    String line(double seconds, long checksum) {
        return String.format(
                "{\"peer\":\"flink\",\"variant\":\"%s\",\"batch\":0,\"workload\":\"%s\",\"parallelism\":%d,"
                        + "\"records\":%d,\"seconds\":%.6f,\"records_per_s\":%.0f,\"checksum\":\"%016x\"}",
                variant, workload, parallelism, records, seconds, records / seconds, checksum);
    }
}
