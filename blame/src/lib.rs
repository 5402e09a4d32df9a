//! Who wrote what in shared memory.
//!
//! A session's recordings tell of each store to a shared object, and of each
//! load that saw something new. This crate merges them into one history per
//! object ([`timeline`]), keeps that in a file of the session ([`index`]), and
//! answers who accessed which bytes ([`index::Query`]). [`graph`] tells what
//! happened before what.
//!
//! The way of an access: [`scan`] reads it from a recording, `sort` puts it
//! in order, [`timeline`] finds what was there before, [`index`] stores it.

pub mod access;
pub mod catalog;
pub mod error;
pub mod graph;
pub mod index;
pub mod objects;
pub mod place;
pub mod scan;
mod sort;
pub mod symbols;
pub mod time;
pub mod timeline;

pub use access::{Access, Kind, Site};
pub use error::BlameError;
