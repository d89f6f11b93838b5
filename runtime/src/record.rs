//! What a record may be: a value of its own, or something lent for one step.

use std::marker::PhantomData;

/// A family of record types, one for each step lifetime `'s`.
///
/// Operators name the records they take and give by family, so that a chain can carry borrowed
/// records (a Kafka payload, a slice built in the step's arena) as well as owned ones without any
/// difference in the operators between. Use [`Owned<T>`] for a plain `T` and [`Borrowed<T>`] for
/// `&T`; a borrowed struct of your own takes an empty type:
///
/// ```
/// use slotflow_runtime::Family;
///
/// struct Line<'s> { text: &'s str, number: u64 }
/// struct Lines;
/// impl Family for Lines {
///     type Of<'s> = Line<'s>;
/// }
/// ```
pub trait Family: 'static {
    /// The record's type when it lives for the step `'s`.
    type Of<'s>;
}

/// Records that own what they hold; only these can cross an edge.
pub struct Owned<T>(PhantomData<fn() -> T>);

impl<T: 'static> Family for Owned<T> {
    type Of<'s> = T;
}

/// Records that are a reference to something that lives until the end of the step.
pub struct Borrowed<T: ?Sized>(PhantomData<fn() -> Box<T>>);

impl<T: ?Sized + 'static> Family for Borrowed<T> {
    type Of<'s> = &'s T;
}
