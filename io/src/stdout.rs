//! Records as lines of the standard output.

use std::fmt::Display;
use std::io::{self, Write};

use slotflow_runtime::{Context, Error, Family, Result, Sink, SinkWriter, SubtaskContext};

/// Writes each record as a line of the standard output; a step's lines are written at once, so those
/// of different subtasks do not mix within a step.
///
/// For trying things out: the standard output may block, and this is the one connector that lets it,
/// on the slot's thread. A reader that stops reading stops the slot.
///
/// ```
/// # use slotflow::{io::stdout, prelude::*};
/// let env = Environment::with(Config::default());
/// env.source(from_iterator(["to be", "or not"])).sink(stdout());
/// env.run("print")?;
/// # Ok::<(), Error>(())
/// ```
pub fn stdout() -> Stdout {
    Stdout
}

/// See [`stdout`].
#[derive(Clone, Copy, Debug)]
pub struct Stdout;

impl<In> Sink<In> for Stdout
where
    In: Family,
    for<'s> In::Of<'s>: Display,
{
    type Writer = LineWriter<io::Stdout>;

    fn describe(&self) -> String {
        "stdout".into()
    }

    fn open(&mut self, _: &SubtaskContext) -> Result<LineWriter<io::Stdout>> {
        Ok(LineWriter { lines: Vec::new(), to: io::stdout() })
    }
}

/// Writes one subtask's lines.
pub struct LineWriter<W> {
    /// Those of the present step.
    lines: Vec<u8>,
    to: W,
}

impl<In, W> SinkWriter<In> for LineWriter<W>
where
    In: Family,
    for<'s> In::Of<'s>: Display,
    W: Write + Send + 'static,
{
    fn write<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>) {
        // Only the record's own Display can fail: the buffer is memory.
        if let Err(error) = writeln!(self.lines, "{record}") {
            ctx.fail(Error::user(error));
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let written = self.to.write_all(&self.lines).and_then(|()| self.to.flush());
        self.lines.clear();
        written.map_err(|error| {
            let remedy = "keep its reader open until the job has ended, or use another sink";
            Error::world(format!("the standard output cannot be written: {error}"), remedy)
        })
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame, Owned};

    use super::*;

    /// Writes into memory, or fails.
    #[derive(Default)]
    struct Memory {
        written: Vec<Vec<u8>>,
        broken: bool,
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.written.push(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn write(writer: &mut LineWriter<Memory>, records: &[u32]) -> Result<()> {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        for record in records {
            SinkWriter::<Owned<u32>>::write(writer, *record, &mut ctx);
        }
        SinkWriter::<Owned<u32>>::flush(writer)
    }

    #[test]
    fn a_step_is_written_at_once() {
        let mut writer = LineWriter { lines: Vec::new(), to: Memory::default() };
        write(&mut writer, &[1, 2]).unwrap();
        write(&mut writer, &[]).unwrap();
        write(&mut writer, &[3]).unwrap();
        assert_eq!(writer.to.written, [b"1\n2\n".to_vec(), b"3\n".to_vec()]);
    }

    #[test]
    fn a_closed_output_is_an_error_with_a_remedy() {
        let mut writer = LineWriter { lines: Vec::new(), to: Memory { broken: true, ..Memory::default() } };
        let error = write(&mut writer, &[1]).unwrap_err().to_string();
        assert!(error.contains("standard output") && error.contains("keep its reader open"), "{error}");
    }
}
