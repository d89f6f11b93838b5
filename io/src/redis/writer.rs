//! Encodes what one subtask of a sink is given, on the slot.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use ::redis::Cmd;
use slotflow_runtime::{
    Acknowledged, Barrier, Context, Error, Family, Measures, Result, SinkWriter, SubtaskContext,
};

use super::record::IntoRedis;
use crate::frames::{BLOCK_BYTES, Order, Outbox, Progress};
use crate::net::EndWith;
use crate::overflow::Overflow;

/// How many records are let in at once while there is room (a guess: a block of records of 64 bytes).
const RECORDS: usize = 1024;

/// Where records go.
#[derive(Clone, Debug)]
pub(super) struct Entering {
    pub stream: Arc<str>,
    /// About how many entries there may be.
    pub max_len: Option<u64>,
}

/// Commands as they are sent, and how many.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pub bytes: Vec<u8>,
    pub count: usize,
}

/// Writes one subtask's records through a thread of its own.
pub struct RedisWriter {
    entering: Entering,
    /// Made anew for each record, in the same memory.
    command: Cmd,
    /// Commands that no order holds yet.
    staged: Commands,
    outbox: Outbox<Commands>,
    overflow: Overflow,
    /// Ends the thread when the writer goes.
    _ends: EndWith,
}

impl RedisWriter {
    /// A writer, and both of the thread's ends.
    pub(super) fn new(
        entering: Entering,
        ends: EndWith,
        subtask: &SubtaskContext,
    ) -> (RedisWriter, Receiver<Order<Commands>>, Arc<Progress>) {
        let (outbox, orders, progress) = Outbox::new(subtask);
        let (command, staged, overflow) =
            (Cmd::new(), Commands::default(), Overflow::new(subtask.overflow_bytes));
        (RedisWriter { entering, command, staged, outbox, overflow, _ends: ends }, orders, progress)
    }

    fn stage(&mut self, record: &impl IntoRedis) -> Result<()> {
        self.overflow.count();
        let Entering { stream, max_len } = &self.entering;
        let command = &mut self.command;
        command.clear();
        command.arg("XADD").arg(record.stream().unwrap_or(stream));
        if let Some(entries) = max_len {
            command.arg("MAXLEN").arg("~").arg(*entries);
        }
        command.arg("*");
        let before = command.args_iter().len();
        for (name, value) in record.fields() {
            command.arg(name).arg(value);
        }
        if command.args_iter().len() == before {
            return Err(Error::user("a record without a field is no entry of a stream; give it one"));
        }
        let bytes = self.staged.bytes.len();
        command.write_packed_command(&mut self.staged.bytes);
        self.staged.count += 1;
        let now = self.staged.bytes.len();
        if now > BLOCK_BYTES { self.overflow.wait(now - bytes) } else { Ok(()) }
    }
}

/// What is staged, if anything is, and of how many records.
fn taken(staged: &mut Commands) -> Option<(Commands, usize)> {
    let records = staged.count;
    (records > 0).then(|| (std::mem::take(staged), records))
}

impl<F: Family> SinkWriter<F> for RedisWriter
where
    for<'s> F::Of<'s>: IntoRedis,
{
    fn write<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        if let Err(error) = self.stage(&record) {
            ctx.fail(error);
        }
    }

    fn room(&mut self) -> usize {
        let has_room = self.outbox.is_settled() && self.staged.bytes.len() < BLOCK_BYTES;
        self.overflow.promise(if has_room { RECORDS } else { 0 })
    }

    fn flush(&mut self) -> Result<()> {
        self.outbox.flush(|| taken(&mut self.staged))
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.outbox.barrier(barrier, taken(&mut self.staged));
    }

    fn close(&mut self) {
        self.outbox.close(taken(&mut self.staged));
    }

    fn acknowledged(&mut self) -> Acknowledged {
        self.outbox.acknowledged(self.staged.count)
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.outbox.measure(self.staged.count, measures);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;

    use super::*;
    use crate::net::Open;
    use crate::redis::RedisRecord;

    fn writer(overflow_bytes: usize) -> (RedisWriter, Receiver<Order<Commands>>) {
        let place = SubtaskContext { overflow_bytes, ..subtask() };
        let entering = Entering { stream: "out".into(), max_len: None };
        let (writer, orders, _) = RedisWriter::new(entering, EndWith(Open::default()), &place);
        (writer, orders)
    }

    fn room(writer: &mut RedisWriter) -> usize {
        SinkWriter::<slotflow_runtime::Owned<RedisRecord>>::room(writer)
    }

    #[test]
    fn records_are_commands_texts_have_one_field_and_a_stream_of_its_own_wins() {
        let (mut writer, _orders) = writer(0);
        room(&mut writer);
        writer.stage(&"x").unwrap();
        writer.stage(&RedisRecord::new().field("n", "1").field("n", "2").stream("b")).unwrap();
        let text = String::from_utf8(writer.staged.bytes.clone()).unwrap();
        let words: Vec<&str> = text.split("\r\n").filter(|word| !word.starts_with('$')).collect();
        let expected = "*5 XADD out * payload x *7 XADD b * n 1 n 2 ";
        assert_eq!((words.join(" ").as_str(), writer.staged.count), (expected, 2));
    }

    #[test]
    fn a_server_that_does_not_keep_up_holds_records_back_and_what_expands_is_bounded() {
        let (mut writer, _orders) = writer(10_000);
        let (record, mut records) = ("x".repeat(1_000), 0);
        loop {
            let room = room(&mut writer);
            if room == 0 {
                break;
            }
            (0..room).for_each(|_| writer.stage(&record).unwrap());
            writer.outbox.flush(|| taken(&mut writer.staged)).unwrap();
            records += room;
        }
        assert!(records < 6 * RECORDS, "{records} are more than the queue, and what is staged");
        let error = (0..99).find_map(|_| writer.stage(&record).err()).expect("it is not bounded").to_string();
        assert!(error.contains("more than edges.overflow_bytes = 10000"), "{error}");
    }
}
