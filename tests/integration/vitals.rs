//! If a background part of the server ends by a panic, the server is not ready any more, and the program ends with an
//! error.

use tidings::app::App;
use tidings::cli;
use tidings::config::{Config, DatabaseUrl};

use crate::support::{Server, with_timeout};

#[tokio::test]
async fn a_server_is_not_ready_after_a_background_part_panicked() {
    let server = Server::start().await;
    let status = async |path: &str| {
        let answer = with_timeout("a response", server.http().get(server.url(path)).send()).await.expect("a response");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(status("/readyz").await.0, 200);
    server.vitals().spawn("a part", async { panic!("on purpose") }).await.expect("the panic is caught");
    let (code, body) = status("/readyz").await;
    assert!(code == 503 && body.contains("a part"), "{code} {body}");
    assert_eq!(status("/healthz").await.0, 200, "the process answers until it ends");
}

#[tokio::test]
async fn serve_returns_an_error_that_names_the_panicked_part() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = DatabaseUrl::Sqlite(directory.path().join("tidings.db"));
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), database: database.into(), ..Config::default() };
    let app = App::start(config).await.expect("a server");
    app.vitals().spawn("the part", async { panic!("on purpose") }).await.expect("the panic is caught");
    let ended = with_timeout("the end of the process", cli::serve(app, std::future::pending())).await;
    assert_eq!(ended, Err("the part panicked: on purpose".into()));
}
