//! The settings that connectors begin with: for latency or for throughput.

/// What a Kafka connector is set up for. Each value may be set otherwise with `.setting(..)`, and `explain` prints
/// what is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// A record waits for others for at most a millisecond in a sink, and not at all in a source.
    #[default]
    LowLatency,
    /// Larger requests: a record may wait 20 ms in a sink, which compresses (lz4), and 100 ms at the broker of a
    /// source that has little to read. For jobs that are bound by network or brokers.
    Throughput,
}

impl Preset {
    pub(super) fn name(self) -> &'static str {
        match self {
            Preset::LowLatency => "low latency",
            Preset::Throughput => "throughput",
        }
    }

    pub(super) fn of_source(self) -> Vec<Setting> {
        let own: [Setting; 2] = match self {
            // How long a broker holds back an empty answer, by default 500 ms; 100 questions a second cost nothing.
            Preset::LowLatency => [("fetch.wait.max.ms", "10"), ("fetch.min.bytes", "1")],
            // A guess: half of what a broker sends in a millisecond.
            Preset::Throughput => [("fetch.wait.max.ms", "100"), ("fetch.min.bytes", "65536")],
        };
        own.into_iter().chain(SOURCE).chain(BOTH).collect()
    }

    pub(super) fn of_sink(self) -> Vec<Setting> {
        let own: [Setting; 3] = match self {
            // How long a record waits for others to go with it. 0 sends each alone; 5, the default of
            // librdkafka, makes larger requests. What a subtask may have under way is bounded by
            // 64 MiB, by default 1 GiB (a guess: 0.1 s at 640 MB/s).
            Preset::LowLatency => {
                [("linger.ms", "1"), ("compression.type", "none"), ("queue.buffering.max.kbytes", "65536")]
            }
            Preset::Throughput => {
                [("linger.ms", "20"), ("compression.type", "lz4"), ("queue.buffering.max.kbytes", "262144")]
            }
        };
        own.into_iter().chain(SINK).chain(BOTH).collect()
    }
}

/// A setting of librdkafka and its value.
pub(super) type Setting = (&'static str, &'static str);

const BOTH: [Setting; 5] = [
    // The first pause after a lost connection, by default 100 ms; each further one is longer. Half of it is also how
    // long a client rests between two choices of whom to connect to: first the address that was given, then one of the
    // brokers that were named there. So with the default each client had its cluster only after 50 ms.
    ("reconnect.backoff.ms", "20"),
    // After an outage, by default up to 10 s go by before the next try.
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
    ("statistics.interval.ms", "0"),
];

const SOURCE: [Setting; 3] = [
    // A record that is damaged on its way is an error, not data.
    ("check.crcs", "true"),
    // What a transaction has not committed does not exist.
    ("isolation.level", "read_committed"),
    // A partition whose buffer was full is by default not asked again for a second.
    ("fetch.queue.backoff.ms", "5"),
];

const SINK: [Setting; 4] = [
    // For how long a record is tried: for ever, where the default fails the job after an outage of five minutes. What
    // cannot be written meanwhile is backpressure, and idempotence keeps the order however often it is sent.
    ("message.timeout.ms", "0"),
    // Equal keys go where Java's client sends them.
    ("partitioner", "murmur2_random"),
    // What one subtask may have under way: backpressure begins here.
    ("queue.buffering.max.messages", "100000"),
    ("message.max.bytes", "1000000"),
];
