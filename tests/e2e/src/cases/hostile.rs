//! What has no business at a member's ports.

use crate::Outcome;
use crate::network::{connect, inside};
use crate::suite::Suite;
use crate::wait::ensure;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

/// How many connections are held open at once at each port.
const CROWD: usize = 40;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    let mut writer = suite.writer(&before, "hostile", 100)?;
    let mut sent = 0;
    for member in &before.members {
        for port in [2181, 2888, 3888] {
            let address = format!("{}:{port}", member.address);
            sent += inside(&suite.environment, move || molest(&address))?;
        }
    }
    note!("  {sent} pieces of garbage");
    writer.await_progress(100)?;
    let after = suite.ensemble()?;
    ensure(after.members == before.members, || {
        format!(
            "a member was restarted: before {:?}, after {:?}",
            before.members, after.members
        )
    })?;
    ensure(after.leader == before.leader, || {
        format!("{} led, now {} does", before.leader, after.leader)
    })?;
    suite.finish(writer, &after).map(drop)
}

/// Sends each piece over a connection of its own; how many there were. Where the server does not
/// listen (a follower's quorum port) nothing can be sent, and that is fine.
fn molest(address: &str) -> Outcome<usize> {
    let mut sent = 0;
    let Ok(first) = connect(address) else {
        return Ok(0);
    };
    drop(first);
    for piece in garbage() {
        let mut stream = connect(address)?;
        // The server may close at any byte of it.
        let _ = stream.write_all(&piece);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
        let _ = stream.read(&mut [0_u8; 256]);
        sent += 1;
    }
    // Those who connect and say nothing, and those who stop in the middle.
    let mut silent = Vec::new();
    for _ in 0..CROWD {
        let mut stream = connect(address)?;
        let _ = stream.write_all(&[0, 0]);
        silent.push(stream);
        sent += 1;
    }
    Ok(sent)
}

fn garbage() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_be_bytes()[3]
            })
            .collect()
    };
    let framed = |length: i32, body: &[u8]| {
        let mut piece = length.to_be_bytes().to_vec();
        piece.extend_from_slice(body);
        piece
    };
    let mut pieces = vec![
        framed(-1, &[]),
        framed(i32::MAX, &[0; 16]),
        framed(i32::MIN, &[]),
        framed(0, &[]),
        framed(45, &[0xff; 45]),
        framed(8, &[0x7f; 3]),
        b"GET / HTTP/1.1\r\nHost: zookeeper\r\n\r\n".to_vec(),
        // The first bytes of a TLS handshake.
        vec![
            0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
        ],
        // An election's protocol version, and an address of 2 GB.
        [
            (-65_536_i64).to_be_bytes().as_slice(),
            &7_i64.to_be_bytes(),
            &i32::MAX.to_be_bytes(),
        ]
        .concat(),
        // A server id that no member has.
        [99_i64.to_be_bytes().as_slice(), &framed(40, &[0x55; 40])].concat(),
    ];
    pieces.extend([1, 7, 64, 4096, 65_536].map(&mut noise));
    pieces
}
