//! A container's seccomp filter forbids io_uring: the refusal is recognized and explained.

use std::thread;

use runtime::{Denial, Options, Ring, SetupError};

/// Makes io_uring_setup fail with `errno` in the calling thread, for good (seccomp(2)).
fn forbid_io_uring(errno: i32) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).expect("codes are 16 bits"),
        jt,
        jf,
        k,
    };
    let setup = u32::try_from(libc::SYS_io_uring_setup).expect("call numbers are small");
    let errno = u32::try_from(errno).expect("errors are positive");
    // The number of the call is the first field of seccomp_data.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, setup),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).expect("it is short"),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: this option takes plain numbers.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0, "no privileges are needed to give them up");
    // SAFETY: the program and its filter live until the call has copied them.
    let result =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0, "a thread may restrict itself");
}

#[test]
fn a_filter_is_named_as_the_cause_with_the_fix() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let error = thread::spawn(move || {
            forbid_io_uring(errno);
            let directory = env!("CARGO_TARGET_TMPDIR").into();
            Ring::open(Options::new(directory)).expect_err("it is forbidden")
        })
        .join()
        .expect("the thread ends normally");
        let message = error.to_string();
        assert!(
            matches!(error, SetupError::Denied { denial: Denial::Seccomp, errno: found, .. }
                if found == errno),
            "{message}"
        );
        assert!(message.contains("--security-opt seccomp="), "{message}");
        assert!(message.contains("seccomp mode 2"), "{message}");
    }
}
