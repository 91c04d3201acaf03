//! Which socket of a group gets a datagram: a small program that the kernel runs for each (classic BPF, by
//! SO_ATTACH_REUSEPORT_CBPF, Linux 4.5). It returns the socket's place in the group; past the group's end the
//! kernel decides by itself, by its hash of addresses and ports, as it does without a program.

/// How datagrams are spread over the sockets of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steering {
    /// By the CPU that received the datagram: for each CPU its socket. The kernel decides for other CPUs.
    Cpu(Vec<(usize, usize)>),
    /// By the flow hash that the NIC has computed. The kernel decides where there is none.
    Hash,
}

/// A program, ready to be attached.
pub(super) type Program = Vec<libc::sock_filter>;

/// Longest program that the kernel takes (BPF_MAXINSNS).
const PROGRAM_LEN_MAX: usize = 4096;

/// An index past the end of every group: the kernel falls back to its own hash.
const NO_SOCKET: u32 = u32::MAX;

// From linux/bpf_common.h and linux/filter.h: ancillary loads, of what the kernel knows besides the packet.
const LOAD: u16 = 0x20;
const AND_CPU: u32 = 0xFFFF_F000 + 36;
const AND_RXHASH: u32 = 0xFFFF_F000 + 32;
const MODULO: u16 = 0x94;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const RETURN_RESULT: u16 = 0x16;

impl Steering {
    /// The program for a group of `sockets` sockets; `None` if it would be longer than the kernel allows.
    pub(super) fn program(&self, sockets: usize) -> Option<Program> {
        let program = match self {
            Self::Cpu(map) => by_cpu(map),
            Self::Hash => by_hash(u32::try_from(sockets.max(1)).ok()?),
        };
        (program.len() <= PROGRAM_LEN_MAX).then_some(program)
    }
}

fn step(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

fn by_hash(sockets: u32) -> Program {
    let has_none = libc::sock_filter { code: JUMP_IF_EQUAL, jt: 2, jf: 0, k: 0 };
    let no_hash = step(RETURN, NO_SOCKET);
    vec![step(LOAD, AND_RXHASH), has_none, step(MODULO, sockets), step(RETURN_RESULT, 0), no_hash]
}

/// A binary search over runs of CPUs that have the same socket.
fn by_cpu(map: &[(usize, usize)]) -> Program {
    let mut map: Vec<(u32, u32)> = map
        .iter()
        .filter_map(|&(cpu, socket)| Some((cpu.try_into().ok()?, socket.try_into().ok()?)))
        .collect();
    map.sort_unstable();
    // Where each run begins, and its socket.
    let mut runs = vec![(0, NO_SOCKET)];
    let mut begin = |cpu, socket| match runs.last_mut() {
        Some((first, last)) if *first == cpu => *last = socket,
        Some((_, last)) if *last == socket => {}
        _ => runs.push((cpu, socket)),
    };
    for (at, &(cpu, socket)) in map.iter().enumerate() {
        begin(cpu, socket);
        if map.get(at + 1).is_none_or(|&(next, _)| next > cpu + 1) {
            begin(cpu + 1, NO_SOCKET);
        }
    }
    let mut program = vec![step(LOAD, AND_CPU)];
    program.extend(search(&runs));
    program
}

fn search(runs: &[(u32, u32)]) -> Program {
    if let [(_, socket)] = runs {
        return vec![step(RETURN, *socket)];
    }
    let (low, high) = runs.split_at(runs.len() / 2);
    let (below, above) = (search(low), search(high));
    // A conditional jump reaches 255 steps; a farther one goes by a plain jump.
    let mut program = match u8::try_from(below.len()) {
        Ok(far) => vec![libc::sock_filter { code: JUMP_IF_AT_LEAST, jt: far, jf: 0, k: high[0].0 }],
        Err(_) => vec![
            libc::sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: high[0].0 },
            step(JUMP, below.len() as u32),
        ],
    };
    program.extend(below);
    program.extend(above);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would return, and after how many steps.
    fn run(program: &[libc::sock_filter], cpu: u32, hash: u32) -> (u32, usize) {
        let (mut at, mut value, mut steps) = (0, 0, 0);
        loop {
            let libc::sock_filter { code, jt, jf, k } = program[at];
            (at, steps) = (at + 1, steps + 1);
            let jump = |yes: bool| usize::from(if yes { jt } else { jf });
            match code {
                LOAD if k == AND_CPU => value = cpu,
                LOAD if k == AND_RXHASH => value = hash,
                MODULO => value %= k,
                JUMP => at += k as usize,
                JUMP_IF_EQUAL => at += jump(value == k),
                JUMP_IF_AT_LEAST => at += jump(value >= k),
                RETURN => return (k, steps),
                RETURN_RESULT => return (value, steps),
                _ => panic!("step {code:#x} is none of ours"),
            }
        }
    }

    #[test]
    fn every_cpu_finds_its_socket() {
        for map in [
            vec![],
            vec![(0, 0)],
            vec![(1, 0), (0, 1)],
            vec![(0, 0), (1, 0), (2, 1), (3, 1)],
            (0..256).map(|cpu| (cpu, cpu)).collect(),
            (0..64).map(|socket| (4 * socket + 3, 63 - socket)).collect(),
            (0..1024).map(|socket| (7 * socket, socket)).collect::<Vec<_>>(),
        ] {
            let program = by_cpu(&map);
            for cpu in 0..8192 {
                let expected = map.iter().find(|&&(of, _)| of == cpu).map_or(NO_SOCKET, |&(_, to)| to as u32);
                let (socket, steps) = run(&program, cpu as u32, 0);
                assert_eq!(socket, expected, "CPU {cpu} of {map:?}");
                assert!(steps <= 26, "{steps} steps");
            }
        }
    }

    #[test]
    fn a_program_that_the_kernel_would_refuse_is_none() {
        let program =
            |cpus: usize| Steering::Cpu((0..cpus).map(|cpu| (2 * cpu, cpu)).collect()).program(cpus);
        assert!(program(512).unwrap().len() < PROGRAM_LEN_MAX);
        assert!(program(4000).is_none());
    }

    #[test]
    fn a_hash_has_a_socket_and_no_hash_has_none() {
        let program = Steering::Hash.program(3).unwrap();
        for hash in [1, 2, 3, 0x8000_0000, u32::MAX] {
            assert_eq!(run(&program, 0, hash).0, hash % 3);
        }
        assert_eq!(run(&program, 0, 0).0, NO_SOCKET);
    }
}
