//! Queues and dead letters on the control socket, for `logphase queue`.
//!
//! `GET /queues`, `GET /queues/{name}?offset=&limit=`, `POST /queues/{name}/replay`, `POST /queues/{name}/salvage`,
//! `POST /queues/{name}/drop`.

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::router::{Call, Reply, Routes, json_reply};
use crate::delivery::Delivery;
use crate::delivery::inventory::{InventoryError, Page, QueueName, Selection};

/// The body of a replay request.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplayRequest {
    /// The messages.
    #[serde(flatten)]
    pub selection: Selection,
    /// The plugin to whose queue they go; their own without it.
    pub to: Option<String>,
}

/// The routes of the queues of `delivery`.
pub fn queue_routes(delivery: &Delivery) -> Routes {
    let (all, shown, replayed, dropped) = (delivery.clone(), delivery.clone(), delivery.clone(), delivery.clone());
    let salvaged = delivery.clone();
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
                match serde_json::from_slice::<ReplayRequest>(&call.body) {
                    Ok(ReplayRequest { selection, to }) => {
                        reply(delivery.replay_queue(name(&call), selection, to).await)
                    }
                    Err(error) => bad_request(&error),
                }
            }
        })
        .on(Method::POST, "/queues/{}/salvage", move |call| {
            let delivery = salvaged.clone();
            async move { reply(delivery.salvage_queue(name(&call)).await) }
        })
        .on(Method::POST, "/queues/{}/drop", move |call| {
            let delivery = dropped.clone();
            async move {
                match serde_json::from_slice::<Selection>(&call.body) {
                    Ok(selection) => reply(delivery.drop_from_queue(name(&call), selection).await),
                    Err(error) => bad_request(&error),
                }
            }
        })
}

fn name(call: &Call) -> QueueName {
    QueueName::parse(call.arguments.first().map_or("", String::as_str))
}

fn bad_request(error: &serde_json::Error) -> Reply {
    json_reply(StatusCode::BAD_REQUEST, &json!({"message": format!("the body is not valid: {error}")}))
}

fn reply<T: Serialize>(result: Result<T, InventoryError>) -> Reply {
    let error = match result {
        // Not through `Value`, which would change how numbers are written: messages are shown byte by byte.
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
