//! The hostcalls, as the mock answers them.

use super::*;

pub(crate) fn now() -> i64 {
    state(|state| state.unix_ns as i64)
}

pub(crate) fn ticks() -> i64 {
    state(|state| state.ticks_ns as i64)
}

pub(crate) fn random(bytes: &mut [u8]) -> i32 {
    state(|state| {
        for byte in bytes {
            state.random = state.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state.random >> 56) as u8;
        }
    });
    0
}

pub(crate) fn config(from: i32, bytes: &mut [u8]) -> i32 {
    state(|state| {
        let rest = state.config.get(from as usize..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        len as i32
    })
}

pub(crate) fn geo(address: &[u8], _family: i32, out: &mut [u8; 8]) -> i32 {
    let place = state(|state| {
        let known = state.places.iter().find(|(known, _)| known.octets() == address);
        known.map(|(_, place)| *place)
    });
    match place {
        None => NOT_FOUND,
        Some(place) => {
            out[..2].copy_from_slice(&place.country.unwrap_or_default());
            out[4..].copy_from_slice(&place.asn.unwrap_or_default().to_le_bytes());
            0
        }
    }
}

pub(crate) fn hook(phases: i32, condition: &[u8]) -> i32 {
    let condition = String::from_utf8_lossy(condition).into_owned();
    let wrong = state(|state| state.wrong_hook.clone()).filter(|(wrong, ..)| *wrong == condition);
    if let Some((_, column, message)) = wrong {
        sys::with(|globals| {
            let scratch = &mut globals.area.borrow_mut().0[SCRATCH_AT..];
            scratch[..4].copy_from_slice(&column.to_le_bytes());
            scratch[4..8].copy_from_slice(&(message.len() as u32).to_le_bytes());
            scratch[8..8 + message.len()].copy_from_slice(message.as_bytes());
        });
        return INVALID;
    }
    let all = [Phase::Request, Phase::PostCache, Phase::Response, Phase::Reply, Phase::Done];
    let phases = all.into_iter().filter(|phase| phases & 1 << (*phase as i32) != 0).collect();
    state(|state| state.hooks.push((phases, condition)));
    0
}

pub(crate) fn forward(to: &[u8], query: &[u8], timeout_ms: i32, _flags: i32) -> i32 {
    let name = String::from_utf8_lossy(to).into_owned();
    let mut server = match state(|state| state.servers.remove(&name)) {
        Some(server) => server,
        None => return DENIED,
    };
    // Not while the state is borrowed: a server may look at it.
    let answer = server(query);
    state(|state| {
        state.servers.insert(name, server);
        state.ask(answer, timeout_ms)
    })
}

pub(crate) fn resolve(query: &[u8], _flags: i32) -> i32 {
    let mut resolver = match state(|state| state.resolver.take()) {
        Some(resolver) => resolver,
        None => return DENIED,
    };
    let answer = resolver(query);
    state(|state| {
        state.resolver = Some(resolver);
        state.ask(answer, 0)
    })
}

pub(crate) fn timer(ms: i32) -> i32 {
    if !(0..=3_600_000).contains(&ms) {
        return INVALID;
    }
    state(|state| state.tell(ms as u64, Told::Timer))
}

pub(crate) fn cancel(token: i32) -> i32 {
    state(|state| {
        let before = state.due.len();
        state.due.retain(|(_, known, _)| *known != token);
        if state.due.len() < before {
            0
        } else {
            NOT_FOUND
        }
    })
}

pub(crate) fn purge(name: &[u8], subtree: i32) -> i32 {
    state(|state| {
        state.purged.push((name.to_vec(), subtree != 0));
        state.tell(0, Told::Bytes(Ok(1_u64.to_le_bytes().to_vec())))
    })
}

pub(crate) fn open(path: &[u8]) -> i32 {
    let path = String::from_utf8_lossy(path).into_owned();
    state(|state| {
        let is_closed = match state.sockets.get(&path) {
            Some(peer) => peer.is_closed,
            None => return DENIED,
        };
        let told = if is_closed { Err(CLOSED) } else { Ok(Vec::new()) };
        let token = state.tell(0, Told::Bytes(told));
        state.open.insert(token, path);
        token
    })
}

pub(crate) fn send(socket: i32, bytes: &[u8]) -> i32 {
    state(|state| {
        let path = match state.open.get(&socket) {
            Some(path) => path.clone(),
            None => return NOT_FOUND,
        };
        if let Some(peer) = state.sockets.get_mut(&path) {
            peer.received.extend_from_slice(bytes);
        }
        state.tell(0, Told::Bytes(Ok(Vec::new())))
    })
}

pub(crate) fn receive(socket: i32) -> i32 {
    state(|state| {
        let path = match state.open.get(&socket) {
            Some(path) => path.clone(),
            None => return NOT_FOUND,
        };
        let token = state.token();
        let now = state.ticks_ns;
        if let Some(peer) = state.sockets.get_mut(&path) {
            match peer.unread.pop_front() {
                Some(bytes) => state.due.push((now, token, Told::Bytes(Ok(bytes)))),
                None => peer.readers.push(token),
            }
        }
        token
    })
}

pub(crate) fn close(socket: i32) -> i32 {
    state(|state| if state.open.remove(&socket).is_some() { 0 } else { NOT_FOUND })
}

pub(crate) fn finish(token: i32, said: i64) -> i32 {
    let number = token as u32;
    let outcome = sys::with(|globals| outcome(said, &globals.area.borrow().0, number));
    state(|state| state.finished.insert(number, outcome));
    0
}

pub(crate) fn log(level: i32, line: &[u8]) -> i32 {
    let level = [Level::Error, Level::Warning, Level::Info, Level::Debug][(level as usize).min(3)];
    state(|state| state.log.push((level, String::from_utf8_lossy(line).into_owned())));
    0
}

pub(crate) fn metric(index: i32, by: i64) -> i32 {
    state(|state| *state.metrics.entry(index as u16).or_default() += by as u64);
    0
}

pub(crate) fn span(_token: i32, kind: i32, text: &[u8]) -> i32 {
    let mark = ["+", "-", "!"][(kind as usize).min(2)];
    state(|state| state.spans.push([mark, &String::from_utf8_lossy(text)].concat()));
    0
}
