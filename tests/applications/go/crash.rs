//! The application is killed under load, again and again.

use std::time::Duration;

use mio_fcgi::{Config, Delivery, Multiplex, RequestError, Retry, Tag};

use crate::harness::client::{Loop, get, is_pattern};
use crate::harness::{App, Program, Transport};

#[test]
#[ignore = "needs Go; run tests/run"]
fn each_of_a_thousand_requests_ends_once_when_the_application_is_killed_over_tcp() {
    killed_under_load(Transport::Tcp);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn each_of_a_thousand_requests_ends_once_when_the_application_is_killed_over_unix() {
    killed_under_load(Transport::Unix);
}

const ROUNDS: u32 = 10;
const COUNT: u64 = 1000;

/// Every second request may be sent again if it was not answered; the others must not run twice.
fn killed_under_load(transport: Transport) {
    let mut app = App::start(Program::Go, transport);
    let mut config = Config::new(app.listen().address());
    config.multiplex = Multiplex::On { max: 300 };
    // A long window: a busy machine may notice late that the application is gone.
    config.stale_window = Duration::MAX;
    config.limits.max_connections_per_server = 4;
    config.connect_retry_timeout = Duration::from_secs(20);
    config.backoff.max = Duration::from_millis(100);
    let mut client = Loop::new(config);
    let (mut lost, mut responded, mut again) = (0, 0, 0);
    for round in 0..ROUNDS {
        for number in 0..COUNT {
            let retry = match number % 2 {
                0 => Retry::IfUnanswered,
                _ => Retry::Never,
            };
            let uri = format!("/tag?tag={number}&size=500&delay=200");
            client.submit(get(&uri).with_retry(retry));
        }
        client.run_until("every request on the wire", |it| {
            let requests = it.client.stats().requests;
            requests.queued == 0 && requests.active > 0
        });
        // Some are answered, some not yet.
        let moment = u64::from(round) * COUNT / u64::from(ROUNDS + 5);
        client.run_until("some answers", |it| it.unended() as u64 <= COUNT - moment);
        app.kill();
        client.run_for(Duration::from_millis(u64::from(round) * 10));
        app.restart();
        let answers = client.finish_all();
        assert_eq!(answers.len() as u64, COUNT);
        for (Tag(tag), exchange) in answers {
            let number = tag % COUNT;
            match &exchange.outcome {
                Some(Ok(completion)) => {
                    again += u64::from(completion.report.retries > 0);
                    let response = exchange.response();
                    assert_eq!(response.get("X-Tag"), Some(number.to_string().as_bytes()));
                    assert_eq!(response.body.len(), 500);
                    assert!(is_pattern(number as usize, &response.body));
                }
                Some(Err(failure)) => {
                    assert!(
                        matches!(failure.error, RequestError::ConnectionLost(_)),
                        "{failure}"
                    );
                    match failure.delivery {
                        // Killed between the records of its response.
                        Delivery::Responded => responded += 1,
                        Delivery::MaybeProcessed | Delivery::NotProcessed => {
                            assert!(number % 2 == 1, "not sent again: {failure:?}");
                            assert_eq!(failure.report.retries, 0);
                            lost += 1;
                        }
                    }
                }
                None => panic!("no end"),
            }
        }
    }
    let all = u64::from(ROUNDS) * COUNT;
    assert!(client.peak().active > 900, "not at once");
    println!("{again} sent again, {lost} lost unanswered, {responded} cut short of {all}");
    assert!(again > all / 50 && lost > all / 50, "killed too late");
    client.shut_down();
}
