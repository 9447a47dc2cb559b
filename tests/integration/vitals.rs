//! A part of the server that a fault ends: it is not ready any more, and the program ends with an error.

use tidings::app::App;
use tidings::cli;
use tidings::config::{Config, DatabaseUrl};

use crate::support::{Server, soon};

#[tokio::test]
async fn a_server_of_which_a_part_has_ended_is_not_ready() {
    let server = Server::start().await;
    let status = async |path: &str| {
        let answer = soon("an answer", server.http().get(server.url(path)).send()).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(status("/readyz").await.0, 200);
    server.vitals().spawn("a part", async { panic!("on purpose") }).await.expect("caught");
    let (code, said) = status("/readyz").await;
    assert!(code == 503 && said.contains("a part"), "{code} {said}");
    assert_eq!(status("/healthz").await.0, 200, "the process answers until it ends");
}

#[tokio::test]
async fn the_program_ends_with_a_line_that_names_the_part() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = DatabaseUrl::Sqlite(directory.path().join("tidings.db"));
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), database: database.into(), ..Config::default() };
    let app = App::start(config).await.expect("a server");
    app.vitals().spawn("the part", async { panic!("on purpose") }).await.expect("caught");
    let ended = soon("the end", cli::serve(app, std::future::pending())).await;
    assert_eq!(ended, Err("a fault ended the part: on purpose".into()));
}
