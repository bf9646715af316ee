//! Projections: read models made of keyed rows, folded with every commit.
//!
//! Owns the two faces of a projection, typed ([`Projection`]) and erased ([`AnyProjection`]).
//! Refuses to know where rows are kept; it sees one record at a time and its own rows only.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::marker::PhantomData;

use crate::read::{Reader, Rows, Stop};
use crate::record::Record;

/// What is said of a projection once.
#[derive(Clone, Copy, Debug)]
pub struct ProjectionSpec {
    /// Name in paths and in the store: `AccountBalances`. Starts with a capital letter.
    pub name: &'static str,
    /// Raised when the bytes of its rows can change.
    pub revision: u32,
    /// JSON Schema of its `data`, for the contract.
    pub schema: &'static str,
}

/// A path on which a projection's rows are listed, beside `/projections/<name>`: a plain array.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// `/subscriptions`.
    pub path: &'static str,
    /// One line for the contract.
    pub summary: &'static str,
    /// What `status=` can be; there is no such parameter when this is empty.
    pub statuses: &'static [&'static str],
    /// JSON Schema of one item, for the contract.
    pub item_schema: &'static str,
}

/// A page of a list: what comes after `after`, at most `limit` items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Excluded bound: a key or a position, as the list says.
    pub after: Option<String>,
    /// At most this many items.
    pub limit: u32,
    /// Only items of this status, in a [`List`] that has them.
    pub status: Option<String>,
}

/// A rendered page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The JSON text.
    pub json: String,
    /// What to pass as `after` for the next page, when there is one.
    pub next: Option<String>,
}

/// A read model.
pub trait Projection: 'static {
    /// Its names and numbers.
    const SPEC: ProjectionSpec;
    /// A path of its own.
    const LIST: Option<List> = None;

    /// Takes one record in. Pass on every [`Stop`]. `Stop::Fault` takes the projection out of
    /// service at this record; everything else goes on.
    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop>;

    /// The JSON of its `data`, a page at a time.
    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop>;

    /// The JSON array that [`Self::LIST`] shows, a page at a time.
    fn list(_reader: &mut Reader<'_, '_>, _page: &Page) -> Result<Rendered, Stop> {
        Err(Stop::Fault(format!("{} has no list", Self::SPEC.name)))
    }
}

/// A [`Projection`] with its type erased.
pub trait AnyProjection {
    /// Its names and numbers.
    fn spec(&self) -> &'static ProjectionSpec;
    /// See [`Projection::LIST`].
    fn path(&self) -> Option<&'static List>;
    /// See [`Projection::apply`].
    fn apply(&self, record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop>;
    /// See [`Projection::page`].
    fn page(&self, reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop>;
    /// See [`Projection::list`].
    fn list(&self, reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop>;
}

/// Erases a projection's type.
pub fn erase<P: Projection>() -> Box<dyn AnyProjection> {
    Box::new(Erased::<P>(PhantomData))
}

struct Erased<P>(PhantomData<P>);

impl<P: Projection> AnyProjection for Erased<P> {
    fn spec(&self) -> &'static ProjectionSpec {
        const { &P::SPEC }
    }

    fn path(&self) -> Option<&'static List> {
        const { P::LIST.as_ref() }
    }

    fn apply(&self, record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        P::apply(record, rows)
    }

    fn page(&self, reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        P::page(reader, page)
    }

    fn list(&self, reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        P::list(reader, page)
    }
}
