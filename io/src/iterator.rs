//! Records of an iterator.

use slotflow_runtime::{
    Context, Error, Output, Owned, Polled, Result, Source, SourceReader, SplitId, Splits, SubtaskContext,
    Untimed,
};

/// The records of an iterator or a collection, in its order, read by one subtask.
pub fn from_iterator<I>(records: I) -> FromIterator<I::IntoIter>
where
    I: IntoIterator<Item: 'static>,
    I::IntoIter: Send + 'static,
{
    FromIterator { records: Some(records.into_iter()) }
}

/// See [`from_iterator`].
pub struct FromIterator<I> {
    records: Option<I>,
}

impl<I: Iterator<Item: 'static> + Send + 'static> Source for FromIterator<I> {
    type Reader = IteratorReader<I>;

    fn describe(&self) -> String {
        "from_iterator".into()
    }

    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Single)
    }

    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<IteratorReader<I>> {
        let records =
            self.records.take().ok_or_else(|| Error::bug("an iterator was opened by two subtasks"))?;
        Ok(IteratorReader { records })
    }
}

/// Reads an iterator.
pub struct IteratorReader<I> {
    records: I,
}

impl<I: Iterator<Item: 'static> + Send + 'static> SourceReader for IteratorReader<I> {
    type Item = Owned<I::Item>;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Self::Item>,
    ) -> Result<Polled> {
        let mut count = 0;
        for record in self.records.by_ref().take(budget) {
            out.push(record, ctx);
            count += 1;
        }
        Ok(if count == 0 { Polled::End } else { Polled::Records(count) })
    }
}
