//! Corners that a client may look into, as Java has them: found by random requests to both.

use crate::client::{
    ADD_WATCH, Client, DELETE, GET_DATA, MARSHALLING_ERROR, NO_NODE, PING, SET_DATA, SET_WATCHES,
    SYNC, create_request, request, settings, with_server,
};
use zookeeper_server::jute::{Reader, Writer};

const REMOVE_WATCHES: i32 = 18;
const MULTI_READ: i32 = 22;
const NO_WATCHER: i32 = -121;

#[test]
fn sync_gives_its_path_back_as_the_text_it_was_taken_for() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        let sent = request(1, SYNC, |out| out.buffer(b"/\xf0\x9f\x98\xed\xa0\x80"));
        let reply = client.ask_ok(&sent);
        let mut input = Reader::new(&reply.body);
        assert_eq!(input.string().unwrap(), "/\u{fffd}\u{fffd}");
        let null = request(2, SYNC, |out| out.string_or_null(None));
        assert_eq!(client.ask_ok(&null).body, (-1_i32).to_be_bytes());
    });
}

#[test]
fn a_ping_is_answered_under_the_number_of_pings_whatever_its_own() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        assert_eq!(client.ask_ok(&request(7, PING, |_| {})).xid, -2);
    });
}

#[test]
fn a_change_whose_bytes_are_no_record_has_no_position_and_is_answered_in_its_turn() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        let mut sent = create_request(1, "/a", b"", 0);
        sent.extend(request(2, SET_DATA, |out| out.string("/a")));
        sent.extend(create_request(3, "/b", b"", 0));
        client.send(&sent);
        let (first, second, third) = (client.reply(), client.reply(), client.reply());
        assert_eq!((second.xid, second.err), (2, MARSHALLING_ERROR));
        assert_eq!(second.zxid, first.zxid);
        assert_eq!(third.zxid, first.zxid + 1);
    });
}

#[test]
fn a_null_list_among_watches_brought_along_ends_what_is_restored() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        let sent = request(-8, SET_WATCHES, |out| {
            out.long(0);
            out.strings(&["/gone"]);
            out.int(-1);
            out.strings(&["/never-told"]);
        });
        client.send(&sent);
        assert_eq!(client.event(), (2, "/gone".to_owned(), -1));
        assert_eq!(client.reply().err, MARSHALLING_ERROR);
    });
}

#[test]
fn a_persistent_watch_may_have_no_path_and_is_found_and_removed_without_one() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        let without_path = |xid, op, kind| {
            request(xid, op, |out| {
                out.string_or_null(None);
                out.int(kind);
            })
        };
        client.ask_ok(&without_path(1, ADD_WATCH, 1));
        client.ask_ok(&without_path(2, REMOVE_WATCHES, 5));
        let again = client.ask(&without_path(3, REMOVE_WATCHES, 5));
        assert_eq!(again.err, NO_WATCHER);
    });
}

#[test]
fn a_multi_read_that_stumbles_tells_what_it_had_with_its_error() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        let part = |out: &mut Writer, op: i32, done: bool| {
            out.int(op);
            out.boolean(done);
            out.int(-1);
        };
        let reply = client.ask(&request(1, MULTI_READ, |out| {
            part(out, GET_DATA, false);
            out.string("/none");
            out.boolean(false);
            part(out, GET_DATA, false);
            out.string_or_null(None);
            out.boolean(false);
            part(out, -1, true);
        }));
        assert_eq!(reply.err, MARSHALLING_ERROR);
        let mut expected = Writer::new();
        expected.int(-1);
        expected.boolean(false);
        expected.int(NO_NODE);
        expected.int(NO_NODE);
        part(&mut expected, -1, true);
        assert_eq!(reply.body, expected.as_slice());
        // All of it changes: whole, and nothing to be read.
        let reply = client.ask(&request(2, MULTI_READ, |out| {
            part(out, DELETE, false);
            out.string("/none");
            out.int(-1);
            part(out, -1, true);
        }));
        assert_eq!(reply.err, MARSHALLING_ERROR);
        let mut end = Writer::new();
        part(&mut end, -1, true);
        assert_eq!(reply.body, end.as_slice());
    });
}
