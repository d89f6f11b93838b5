//! A guard over watermarks.

use crate::{Context, Error, Family, Flow, MAX_TIMESTAMP, MIN_TIMESTAMP, Operator, Output, Timestamp};

/// Passes every record, and fails the job at one whose event time a watermark has already passed. What an operator
/// emits at the true end has no event time and is not late; anything else without one is, behind a watermark.
///
/// For tests: put it behind an operator or a source that promises to keep its watermarks.
///
/// ```
/// use slotflow_runtime::testing::{WatermarkChecker, check};
/// use slotflow_runtime::{Cloned, Owned};
///
/// check::<u64, u64>(Cloned(WatermarkChecker::default()), "1@1 2@6 |5 3@6", "1@1 2@6 |5 3@6");
/// check::<u64, u64>(Cloned(WatermarkChecker::default()), "1@1 |5 2@5 3@6", "1@1 |5 !");
/// ```
#[derive(Clone, Debug)]
pub struct WatermarkChecker {
    reached: Timestamp,
}

impl Default for WatermarkChecker {
    fn default() -> Self {
        WatermarkChecker { reached: MIN_TIMESTAMP }
    }
}

impl<In: Family> Operator<In> for WatermarkChecker {
    type Out = In;

    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<In>) {
        let (timestamp, reached) = (ctx.timestamp(), self.reached);
        let at_the_end = reached == MAX_TIMESTAMP && timestamp == MIN_TIMESTAMP;
        if timestamp <= reached && reached != MIN_TIMESTAMP && !at_the_end {
            let late = format!("a record of event time {timestamp} came behind the watermark {reached}");
            ctx.fail(Error::user(late));
        }
        if !ctx.failed() {
            out.push(record, ctx);
        }
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        _: &mut impl Output<In>,
    ) -> Flow {
        if watermark < self.reached {
            let reached = self.reached;
            ctx.fail(Error::user(format!("the watermark went back from {reached} to {watermark}")));
        }
        self.reached = watermark;
        Flow::Done
    }
}
