//! Queues and dead letters, over the control socket: what `logphase queue` asks for.
//!
//! `GET /queues`, `GET /queues/{name}?offset=&limit=`, `POST /queues/{name}/replay`, `POST /queues/{name}/drop`.

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::router::{Call, Reply, Routes, json_reply};
use crate::delivery::Delivery;
use crate::delivery::inventory::{InventoryError, Page, QueueName, Selection};

/// What a replay is asked with.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Replay {
    /// Which messages.
    #[serde(flatten)]
    pub chosen: Selection,
    /// Into the queue of which plugin, if not their own.
    pub to: Option<String>,
}

/// What can be asked of `delivery`.
pub fn queue_routes(delivery: &Delivery) -> Routes {
    let (all, shown, replayed, dropped) = (delivery.clone(), delivery.clone(), delivery.clone(), delivery.clone());
    Routes::new()
        .get("/queues", move |_| {
            let delivery = all.clone();
            async move {
                let listed = tokio::task::spawn_blocking(move || delivery.inventory()).await;
                reply(listed.map_err(|error| InventoryError::Disk(std::io::Error::other(error))))
            }
        })
        .get("/queues/{}", move |call| {
            let delivery = shown.clone();
            async move {
                let number = |name, otherwise| call.query(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
                let page = Page { offset: number("offset", 0), limit: number("limit", 100) };
                reply(delivery.show_queue(name(&call), page).await)
            }
        })
        .on(Method::POST, "/queues/{}/replay", move |call| {
            let delivery = replayed.clone();
            async move {
                match serde_json::from_slice::<Replay>(&call.body) {
                    Ok(Replay { chosen, to }) => reply(delivery.replay_queue(name(&call), chosen, to).await),
                    Err(error) => wrong(&error),
                }
            }
        })
        .on(Method::POST, "/queues/{}/drop", move |call| {
            let delivery = dropped.clone();
            async move {
                match serde_json::from_slice::<Selection>(&call.body) {
                    Ok(chosen) => reply(delivery.drop_from_queue(name(&call), chosen).await),
                    Err(error) => wrong(&error),
                }
            }
        })
}

fn name(call: &Call) -> QueueName {
    QueueName::parse(call.arguments.first().map_or("", String::as_str))
}

fn wrong(error: &serde_json::Error) -> Reply {
    json_reply(StatusCode::BAD_REQUEST, &json!({"message": format!("the body is not what is asked for: {error}")}))
}

fn reply<T: Serialize>(result: Result<T, InventoryError>) -> Reply {
    let error = match result {
        // Not by way of a tree: messages are shown as they are, digit by digit.
        Ok(value) => match serde_json::to_string(&value) {
            Ok(text) => return super::router::text_reply(StatusCode::OK, "application/json; charset=utf-8", text),
            Err(error) => InventoryError::Disk(error.into()),
        },
        Err(error) => error,
    };
    let status = match error {
        InventoryError::NotFound(_) => StatusCode::NOT_FOUND,
        InventoryError::Refused(_) => StatusCode::CONFLICT,
        InventoryError::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    json_reply(status, &json!({"message": error.to_string()}))
}
