//! What orders an access, for people and in JSON.

use super::super::graph::cause_name;
use super::row::Rows;
use orch_blame::access::Access;
use orch_blame::graph::Cause;
use orch_blame::graph::order::{Order, Orders};
use orch_recorder::trace::Position;
use serde::Serialize;

/// The same in JSON.
#[derive(Default, Serialize)]
pub struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    race: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unseen: bool,
}

/// What orders an access of a list.
pub fn find<'o>(orders: &'o Orders, rows: &Rows<'_>, access: &Access) -> Option<&'o Order> {
    let at = Position {
        recording: rows.site(access).recording,
        tick: access.tick,
    };
    orders.get(&(at, access.offset))
}

/// In a few words: `race p3@18402, unseen`, `after p3@18402 pipe`.
pub fn words(order: &Order) -> String {
    let unseen = if order.unseen { ", unseen" } else { "" };
    match &order.by {
        None => format!("race {}{unseen}", order.before),
        Some(edge) => format!("after {} {}{unseen}", order.before, cause_name(edge.cause)),
    }
}

impl Fields {
    /// Those of an access.
    pub fn new(order: &Order, rows: &Rows<'_>) -> Self {
        let before = Some(order.before.to_string());
        let about = order.by.map(|edge| edge.about.text(rows.catalog));
        Self {
            race: before.clone().filter(|_| order.by.is_none()),
            after: before.filter(|_| order.by.is_some()),
            via: order.by.map(|edge| edge.cause),
            about: about.filter(|text| !text.is_empty()),
            unseen: order.unseen,
        }
    }
}
