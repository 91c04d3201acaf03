//! Seccomp: the filter of a class of threads, and the count of what filters refused.
//!
//! A filter lets pass what its class calls. For all else the kernel raises SIGSYS on the thread instead of
//! making the call, with the class in the signal's `si_errno`; the handler counts, and leaves EPERM where the
//! call would have left its result. So whoever called sees an ordinary error, and an operator the number.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};
use syscalls::Sysno;

use super::classes::{Argument, Call, Class, Granted, Only};
use super::{ConfineError, Want};
use crate::limits::SYSCALLS_MAX;

// From linux/seccomp.h, for what the libc crate and seccompiler lack.
const SECCOMP_SET_MODE_FILTER: libc::c_ulong = 1;
const SECCOMP_GET_ACTION_AVAIL: libc::c_ulong = 2;
/// The thread runs no code of others, so it needs no protection from its own speculation, which some kernels
/// turn on with a filter and which costs much.
const SECCOMP_FILTER_FLAG_SPEC_ALLOW: libc::c_ulong = 4;
const SECCOMP_RET_TRAP: u32 = 0x0003_0000;
const SECCOMP_RET_ERRNO: u32 = 0x0005_0000;
/// `si_code` of a SIGSYS that a filter raised.
const SYS_SECCOMP: libc::c_int = 1;
/// The instruction that ends a filter with a constant.
const BPF_RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// How often each class was refused each call, by number; what has a higher number shares the last place.
static REFUSED: [[AtomicU32; SYSCALLS_MAX]; Class::ALL.len()] =
    [const { [const { AtomicU32::new(0) }; SYSCALLS_MAX] }; Class::ALL.len()];

/// A system call that a class was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Whose thread.
    pub class: Class,
    /// The call's name, or "unknown".
    pub call: &'static str,
    /// How often.
    pub count: u32,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ({} times)", self.call, self.class, self.count)
    }
}

/// Every system call that was refused so far.
#[must_use]
pub fn refused() -> Vec<Refused> {
    let of_class = |class: Class| {
        REFUSED[class as usize].iter().enumerate().map(move |(number, count)| Refused {
            class,
            call: Sysno::new(number).map_or("unknown", |call| call.name()),
            count: count.load(Ordering::Relaxed),
        })
    };
    Class::ALL.into_iter().flat_map(of_class).filter(|refused| refused.count > 0).collect()
}

/// Whether there will be filters, and what people are told of that.
pub(super) fn available(want: Want) -> Result<(bool, String), ConfineError> {
    if want == Want::Off {
        return Ok((false, "off (as configured)".to_owned()));
    }
    match try_available() {
        Ok(()) => Ok((true, "on".to_owned())),
        Err(error) => {
            let reason = format!("{error}; the kernel or a sandbox does not allow filters");
            if want == Want::Required {
                return Err(ConfineError::Unavailable { key: "seccomp", reason });
            }
            Ok((false, format!("off ({reason})")))
        }
    }
}

fn try_available() -> io::Result<()> {
    // SAFETY: `SECCOMP_RET_TRAP` is read during the call.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &raw const SECCOMP_RET_TRAP_WORD)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    handle_refusals()
}

static SECCOMP_RET_TRAP_WORD: u32 = SECCOMP_RET_TRAP;

/// Puts the filter of `class` on the calling thread, which may do besides what is granted.
pub(super) fn apply(class: Class, granted: &Granted) -> io::Result<()> {
    let mut program = compile(class, granted);
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("seccompiler keeps to the kernel's 4096 instructions"),
        filter: program.as_mut_ptr().cast(),
    };
    // SAFETY: `program` names the instructions above, which live through the call, and whose type has the
    // layout of the kernel's in both crates. The kernel checks them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What goes before the filter of a class, for calls that start threads and processes. Around these the C
/// library blocks all signals, and a SIGSYS that is blocked ends the process: so what is refused of them is
/// an error at once, and not counted.
fn children(class: Class) -> Vec<sock_filter> {
    let statement = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let load = |at| statement((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, at);
    let unless = |k, skipped| sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: skipped,
        k,
    };
    let fail = |errno: libc::c_int| statement(BPF_RETURN, SECCOMP_RET_ERRNO | errno.cast_unsigned());
    let number = |call| u32::try_from(call).expect("a number of the kernel's");
    let (clone, clone3) = (number(libc::SYS_clone), number(libc::SYS_clone3));
    if !class.starts_threads() {
        let refused = [unless(clone, 1), fail(libc::EPERM), unless(clone3, 1), fail(libc::EPERM)];
        return [load(NUMBER_AT)].into_iter().chain(refused).collect();
    }
    vec![
        load(NUMBER_AT),
        // A filter cannot see its arguments: the C library then takes the older call.
        unless(clone3, 1),
        fail(libc::ENOSYS),
        unless(clone, 4),
        load(FIRST_ARGUMENT_AT),
        statement((libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, CLONE_MASK.cast_unsigned()),
        sock_filter { jt: 1, jf: 0, ..unless(OF_A_THREAD.cast_unsigned(), 0) },
        fail(libc::EPERM),
    ]
}

/// Where `struct seccomp_data` has the number of the call, and the low half of its first argument.
const NUMBER_AT: u32 = 0;
const FIRST_ARGUMENT_AT: u32 = 16;
/// What clone(2) must be told: a thread of this process.
const OF_A_THREAD: libc::c_int = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
/// That, and what it must not: namespaces of its own.
const CLONE_MASK: libc::c_int = OF_A_THREAD
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// The filter of a class: its calls pass, all others raise SIGSYS with the class as its data.
fn compile(class: Class, granted: &Granted) -> BpfProgram {
    let mut rules = BTreeMap::<i64, Vec<SeccompRule>>::new();
    for Call(number, only) in class.calls(granted) {
        let allowed = rules.entry(number).or_default();
        let arguments = match &only {
            // No rule is no condition.
            Only::Any => {
                allowed.clear();
                continue;
            }
            Only::One(argument) => std::slice::from_ref(argument),
            Only::Both(arguments) => arguments,
        };
        let conditions = arguments.iter().map(|&Argument { index, mask, value }| {
            let operator = SeccompCmpOp::MaskedEq(mask);
            let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value);
            condition.expect("a call has six arguments")
        });
        allowed.push(SeccompRule::new(conditions.collect()).expect("one condition at least"));
    }
    let arch = std::env::consts::ARCH.try_into().expect("one of those that `give` knows");
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, arch);
    let program: Result<BpfProgram, _> = filter.expect("two different actions").try_into();
    let mut program = program.expect("some hundred instructions");
    for instruction in &mut program {
        if instruction.code == BPF_RETURN && instruction.k == SECCOMP_RET_TRAP {
            instruction.k |= class as u32;
        }
    }
    children(class).into_iter().chain(program).collect()
}

/// Signals that a thread brings upon itself; blocked, they end the process or are lost.
const OWN_SIGNALS: [libc::c_int; 7] =
    [libc::SIGSYS, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT];

/// Unblocks the signals that other processes send, or blocks them, in the calling thread. Signals that it
/// raises itself stay unblocked. The parent may have left the process any mask.
pub(super) fn set_signals(takes: bool) -> io::Result<()> {
    // SAFETY: zero is a value of `sigset_t`, the empty set.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    if !takes {
        // SAFETY: `blocked` is ours to be written to.
        unsafe { libc::sigfillset(&raw mut blocked) };
        for signal in OWN_SIGNALS {
            // SAFETY: `blocked` is ours to be written to.
            unsafe { libc::sigdelset(&raw mut blocked, signal) };
        }
    }
    // SAFETY: `blocked` is read during the call; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const blocked, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// From now on SIGSYS is counted and made an error.
fn handle_refusals() -> io::Result<()> {
    // SAFETY: zero is a value of every field of `sigaction`: no mask, no flags, no restorer.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_sigsys as *const () as usize;
    // A thread blocks it nowhere: blocked, it would end the process.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_NODEFER | libc::SA_ONSTACK;
    // SAFETY: `action` names a function of the type that SA_SIGINFO asks for, which lives for ever and does
    // nothing that a handler may not: atomic additions, and stores to what it is lent.
    if unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// `siginfo_t` of a SIGSYS, of which the libc crate shows the first three fields alone.
#[repr(C)]
struct SigSys {
    signo: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    call_address: *const c_void,
    number: libc::c_int,
    arch: libc::c_uint,
}

extern "C" fn on_sigsys(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel lends a whole `siginfo_t`, 128 bytes and aligned for pointers, of which these are
    // the first where the signal is SIGSYS.
    let info = unsafe { &*info.cast::<SigSys>() };
    if info.code != SYS_SECCOMP {
        // Somebody has sent it by hand: there is no call to answer.
        return;
    }
    let class = usize::try_from(info.errno).unwrap_or(usize::MAX).min(Class::ALL.len() - 1);
    let number = usize::try_from(info.number).unwrap_or(usize::MAX).min(SYSCALLS_MAX - 1);
    REFUSED[class][number].fetch_add(1, Ordering::Relaxed);
    // SAFETY: with SA_SIGINFO the third argument is the interrupted thread's `ucontext_t`, lent to the
    // handler, which alone uses it until it returns.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    give(context, libc::EPERM);
}

/// Makes the interrupted call return `-errno`.
#[cfg(target_arch = "x86_64")]
fn give(context: &mut libc::ucontext_t, errno: libc::c_int) {
    context.uc_mcontext.gregs[libc::REG_RAX as usize] = -i64::from(errno);
}

/// Makes the interrupted call return `-errno`.
#[cfg(target_arch = "aarch64")]
fn give(context: &mut libc::ucontext_t, errno: libc::c_int) {
    context.uc_mcontext.regs[0] = (-i64::from(errno)).cast_unsigned();
}
