//! A Kafka broker inside the process, for demos and tests: librdkafka's mock cluster.

use std::sync::mpsc::{Receiver, Sender, channel};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use slotflow_runtime::{Error, IoCores, Result};

use super::failure::no_mock;
use super::topics::{fill_topic, read_topic};
use super::{KafkaSink, KafkaSource, OwnedMessage};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Order = Box<dyn FnOnce(&Cluster) + Send>;

/// A broker inside the process that listens on a port of its own and forgets everything when dropped.
///
/// It speaks Kafka's protocol well enough for sources, sinks and committed offsets, and no better: a
/// partition keeps the last 5 MiB, transactions are not real, and the end of `fetch.wait.max.ms` is
/// always waited for, so [`source`](MockKafka::source) sets it to 1 ms. Its latency says nothing about
/// Kafka's.
///
/// ```
/// use slotflow_io::kafka::MockKafka;
/// use slotflow_runtime::IoCores;
///
/// let kafka = MockKafka::start(&IoCores::default())?;
/// kafka.create_topic("words", 2)?;
/// kafka.fill("words", [(0, "a"), (1, "b"), (1, "c")])?;
/// let partitions = kafka.read("words")?;
/// assert_eq!(partitions[1][1].payload, "c");
/// # Ok::<(), slotflow_runtime::Error>(())
/// ```
pub struct MockKafka {
    bootstrap: String,
    io: IoCores,
    /// The cluster cannot change threads, so its thread takes orders.
    orders: Sender<Order>,
}

impl MockKafka {
    /// Starts a broker whose threads run on the I/O cores.
    ///
    /// # Errors
    /// No thread or port can be had.
    pub fn start(io: &IoCores) -> Result<MockKafka> {
        let (orders, inbox) = channel();
        let (tell, told) = channel();
        io.spawn("slotflow-mock", move || serve(&tell, &inbox))?;
        let bootstrap = told.recv().map_err(|_| Error::bug("the mock broker's thread ended"))?;
        Ok(MockKafka { bootstrap: bootstrap.map_err(no_mock)?, io: io.clone(), orders })
    }

    /// Where it listens: what `bootstrap.servers` takes.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A source on this broker, with the settings that suit it.
    pub fn source(&self) -> KafkaSource {
        KafkaSource::new(&self.bootstrap).setting("fetch.wait.max.ms", 1)
    }

    /// A sink on this broker.
    pub fn sink(&self) -> KafkaSink {
        KafkaSink::new(&self.bootstrap)
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// It exists already.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        let name = topic.to_owned();
        let made = self.with(move |cluster| cluster.create_topic(&name, partitions as i32, 1))?;
        made.map_err(|error| Error::world(format!("topic \"{topic}\" cannot be made: {error}"), "rename it"))
    }

    /// See [`fill_topic`].
    pub fn fill<L: AsRef<[u8]>>(
        &self,
        topic: &str,
        lines: impl IntoIterator<Item = (u32, L)> + Send,
    ) -> Result<()> {
        fill_topic(&self.io, &self.bootstrap, topic, lines)
    }

    /// See [`read_topic`].
    pub fn read(&self, topic: &str) -> Result<Vec<Vec<OwnedMessage>>> {
        read_topic(&self.io, &self.bootstrap, topic)
    }

    /// Runs `order` on the broker's thread, with librdkafka's own switches: errors for requests, brokers
    /// that go away.
    pub fn with<X: Send + 'static>(
        &self,
        order: impl FnOnce(&MockCluster<'static, DefaultProducerContext>) -> X + Send + 'static,
    ) -> Result<X> {
        let gone = || Error::bug("the mock broker's thread ended");
        let (answer, answered) = channel();
        let order: Order = Box::new(move |cluster| drop(answer.send(order(cluster))));
        self.orders.send(order).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())
    }
}

/// The broker's thread: makes the cluster, then does what it is told until nobody is left to tell.
fn serve(tell: &Sender<std::result::Result<String, String>>, inbox: &Receiver<Order>) {
    let cluster = MockCluster::new(1).map_err(|error| error.to_string());
    let told = tell.send(cluster.as_ref().map(MockCluster::bootstrap_servers).map_err(Clone::clone));
    if let (Ok(cluster), Ok(())) = (cluster, told) {
        inbox.iter().for_each(|order| order(&cluster));
    }
}
