//! A backend that publishes an event with an idempotency key, so that it can try again after an error.
//!
//! ```sh
//! URL=http://localhost:8000 TOKEN=tdk_… cargo run --example publish
//! ```

use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (url, token) = (std::env::var("URL")?, std::env::var("TOKEN")?);
    let event = json!({"channel": "orders", "type": "order.shipped", "data": {"id": 7}, "key": "order-7-shipped"});
    let request = reqwest::Client::new().post(format!("{url}/api/v1/events")).bearer_auth(token).json(&event);
    let answer: Value = request.send().await?.json().await?;
    if let Some(error) = answer["errors"].get(0) {
        return Err(error["message"].to_string().into());
    }
    println!("{}", answer["events"][0]["cursor"]);
    Ok(())
}
