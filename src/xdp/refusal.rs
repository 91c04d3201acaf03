//! Why the kernel does not take the program, or an interface does not, for people.

use std::error::Error;
use std::io;

use aya::programs::ProgramError;

/// The kernels that the program was tried on.
pub const TRIED: &str = "Linux 6.1, 6.12 and 6.18";
/// Lines at the end of the verifier's log that say what it objects to.
const REASONS_MAX: usize = 2;

/// Why the program cannot be loaded, in one line, and what to do.
pub(super) fn told(error: &(impl Error + 'static)) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let causes = std::iter::from_fn(|| {
        let this = cause?;
        cause = this.source();
        Some(this)
    });
    let is_denied = |error: &(dyn Error + 'static)| {
        // A program that the verifier refuses is EACCES.
        let error = error.downcast_ref::<io::Error>();
        error.and_then(io::Error::raw_os_error) == Some(libc::EPERM)
    };
    if { causes }.any(is_denied) {
        let ways_out = "start as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
        return format!("this process may not load BPF programs; {ways_out}");
    }
    let error: &(dyn Error + 'static) = error;
    match error.downcast_ref() {
        Some(ProgramError::LoadError { io_error, verifier_log }) => {
            rejected(io_error, &verifier_log.to_string())
        }
        _ => said(error.to_string().lines().next().unwrap_or_default()),
    }
}

fn rejected(error: &io::Error, log: &str) -> String {
    said(&objection(log).unwrap_or_else(|| error.to_string()))
}

fn said(why: &str) -> String {
    format!("the kernel rejected the program: {why}; it was tried on {TRIED}, not on others")
}

/// What the verifier objects to: it says so last, after all instructions that it has looked at, and before
/// its statistics.
fn objection(log: &str) -> Option<String> {
    let is_said = |line: &&str| {
        let is_statistic = ["processed ", "verification time", "stack depth", "max_states"];
        !line.is_empty() && !is_statistic.iter().any(|start| line.starts_with(start))
    };
    // `25: (79) r1 = *(u64 *)(r2 +0)`, `; source`, `from 7 to 9: R0=...`, `last_idx 25 first_idx 0`.
    let is_trace = |line: &str| {
        let number = line.split(':').next().unwrap_or_default();
        number.chars().all(|c| c.is_ascii_digit())
            || [";", "from ", "last_idx ", "regs=", "parent ", "mark_precise"]
                .iter()
                .any(|s| line.starts_with(s))
    };
    let lines = log.lines().map(str::trim).rev().filter(is_said).take_while(|line| !is_trace(line));
    let mut said: Vec<&str> = lines.take(REASONS_MAX).collect();
    said.reverse();
    Some(said.join(": ")).filter(|said| !said.is_empty())
}

/// Why an interface does not take the program, and what to do.
pub(super) fn refused(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ResourceBusy => {
            "another XDP program is attached, and ours cannot share the interface; detach that one \
             (`ip link set dev IFACE xdp off`), or remove the interface"
                .to_owned()
        }
        io::ErrorKind::Unsupported => {
            "its driver does not support XDP; set `mode = \"generic\"`, or remove the interface".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this process may not attach XDP programs; start as root, or with CAP_BPF and CAP_NET_ADMIN"
                .to_owned()
        }
        _ => format!(
            "its driver refused the program ({error}); a smaller MTU (below 3,500 bytes), no LRO, or more \
             queues may help, or set mode = \"generic\""
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of what Linux 6.1 said to a program that bounded a place by a branch.
    const LOG: &str = "0: R1=ctx(off=0,imm=0) R10=fp0\n; u32 none = 0, id = get_smp_processor_id();\n\
        0: (b4) w6 = 0                        ; R6_w=0\n\
        from 1201 to 1203: R0=map_value(off=0,ks=4,vs=7440,imm=0) R10=fp0\n\
        1203: (79) r3 = *(u64 *)(r10 -40)     ; R3_w=scalar(umax=31,var_off=(0x0; 0x1f)) R10=fp0\n\
        1207: (79) r1 = *(u64 *)(r3 +7304)\n\
        invalid access to map value, value_size=7440 off=7440 size=8\n\
        R3 max value is outside of the allowed memory range\n\
        processed 9041 insns (limit 1000000) max_states_per_insn 4 total_states 99 peak_states 98\n\n";

    #[test]
    fn a_refusal_is_told_by_the_line_that_says_why_and_names_what_was_tried() {
        let told = rejected(&io::Error::from_raw_os_error(libc::EACCES), LOG);
        assert_eq!(
            told,
            "the kernel rejected the program: invalid access to map value, value_size=7440 off=7440 size=8: \
             R3 max value is outside of the allowed memory range; it was tried on Linux 6.1, 6.12 and 6.18, \
             not on others"
        );
    }

    #[test]
    fn without_a_log_the_error_says_why() {
        for log in ["", "0: R1=ctx(off=0,imm=0) R10=fp0\n"] {
            let told = rejected(&io::Error::from_raw_os_error(libc::E2BIG), log);
            assert!(told.starts_with("the kernel rejected the program: Argument list too long"), "{told}");
        }
    }
}
