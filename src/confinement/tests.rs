use std::io::Write;

use super::*;

/// Calls `work` on a thread with the filter of workers.
fn confined<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let filter = ThreadFilter::for_workers().expect("Linux has seccomp");
    let thread = std::thread::spawn(move || {
        assert_eq!(filter.apply(), Enforcement::Full);
        work()
    });
    thread.join().expect("no panic")
}

/// Whether `result` of a system call is a refusal.
fn refused(result: i64) -> bool {
    result == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Scenario: the system calls of an attacker who can run code on a worker thread.
/// Guarantees: each is refused; without the filter the same calls are not.
#[test]
#[allow(unsafe_code, reason = "an attacker makes bare system calls")]
fn an_attackers_calls_are_refused() {
    let neighbour = std::process::Command::new("sleep").arg("60").spawn().expect("a process to attack");
    let pid = libc::pid_t::try_from(neighbour.id()).expect("a process id");
    struct Ended(std::process::Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let mut neighbour = Ended(neighbour);
    let calls = move || {
        // SAFETY: every pointer is null or to a static string; the filter refuses the calls.
        unsafe {
            let path = c"/etc/passwd".as_ptr();
            let none = std::ptr::null::<libc::c_char>();
            let anywhere = std::ptr::null_mut::<libc::c_void>();
            vec![
                ("open", libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, libc::O_RDONLY)),
                ("write to stderr", libc::syscall(libc::SYS_write, 2, path, 0)),
                ("socket", libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)),
                ("execve", libc::syscall(libc::SYS_execve, c"/bin/true".as_ptr(), none, none)),
                ("clone", libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0)),
                ("clone3", libc::syscall(libc::SYS_clone3, anywhere, 0)),
                ("ptrace", libc::syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, pid, 0, 0)),
                ("process_vm_readv", libc::syscall(libc::SYS_process_vm_readv, pid, none, 0, none, 0, 0)),
                ("kill", libc::syscall(libc::SYS_kill, pid, libc::SIGKILL)),
                ("tgkill", libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGKILL)),
                ("unlink", libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, c"/nonexistent".as_ptr(), 0)),
                ("memfd_create", libc::syscall(libc::SYS_memfd_create, c"x".as_ptr(), 0)),
                ("io_uring_setup", libc::syscall(libc::SYS_io_uring_setup, 1, anywhere)),
                ("bpf", libc::syscall(libc::SYS_bpf, 0, anywhere, 0)),
                ("prctl", libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)),
                ("ioctl", libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSTI, c"x".as_ptr())),
                (
                    "memory as code",
                    libc::syscall(
                        libc::SYS_mmap,
                        anywhere,
                        4096,
                        libc::PROT_EXEC | libc::PROT_WRITE,
                        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                        -1,
                        0,
                    ),
                ),
            ]
            .into_iter()
            .map(|(name, result)| (name, refused(result)))
            .collect::<Vec<_>>()
        }
    };
    for (name, refused) in confined(calls) {
        assert!(refused, "{name} was not refused");
    }
    assert_eq!(neighbour.0.try_wait().expect("ours"), None, "the neighbour lives");
    // SAFETY: as above.
    let open = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), libc::O_RDONLY) };
    assert!(open >= 0, "without the filter the same call succeeds");
}

/// Scenario: on threads with the filters of the clock and of files: a socket, a process, another process's memory, memory
/// as code; and what the threads do.
/// Guarantees: all but the last are refused; the clock opens no file; a file is written, renamed and synced.
#[test]
#[allow(unsafe_code, reason = "an attacker makes bare system calls")]
fn threads_for_clocks_and_files_reach_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    for filter in [ThreadFilter::for_clock(), ThreadFilter::for_files()] {
        let (old, to) = (old.clone(), new.clone());
        let attack = move || {
            assert_eq!(filter.apply(), Enforcement::Full);
            std::thread::sleep(std::time::Duration::from_millis(1));
            let none = std::ptr::null::<libc::c_char>();
            let anywhere = std::ptr::null_mut::<libc::c_void>();
            // SAFETY: every pointer is null or to a static string; the filter refuses the calls.
            unsafe {
                assert!(refused(libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)));
                assert!(refused(libc::syscall(libc::SYS_execve, c"/bin/true".as_ptr(), none, none)));
                assert!(refused(libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0)));
                assert!(refused(libc::syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, 1, 0, 0)));
                assert!(refused(libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)));
                let code = libc::PROT_EXEC | libc::PROT_WRITE;
                let own = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                assert!(refused(libc::syscall(libc::SYS_mmap, anywhere, 4096, code, own, -1, 0)));
            }
            let written = std::fs::File::create(&old).and_then(|mut file| {
                file.write_all(b"x")?;
                file.sync_all()?;
                std::fs::rename(&old, &to)?;
                std::fs::read_dir(old.parent().expect("a folder")).map(Iterator::count)
            });
            written.is_ok()
        };
        let writes = std::thread::spawn(attack).join().expect("no panic");
        assert_eq!(writes, new.exists());
    }
    assert!(new.exists(), "the thread for files has written");
}

/// Scenario: a thread, and one that it starts, with the refusals of the process: programs, processes, tracing, mounts,
/// kernel interfaces, memory as code; then what a service does: files, sockets, threads, name lookup.
/// Guarantees: the first are refused, the second work.
#[test]
#[allow(unsafe_code, reason = "an attacker makes bare system calls")]
fn the_process_runs_nothing_else() {
    let attack = || {
        let none = std::ptr::null::<libc::c_char>();
        let anywhere = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: every pointer is null or to a static string; the filter refuses the calls.
        unsafe {
            let calls = [
                ("execve", libc::syscall(libc::SYS_execve, c"/bin/true".as_ptr(), none, none)),
                ("execveat", libc::syscall(libc::SYS_execveat, libc::AT_FDCWD, c"/bin/true".as_ptr(), none, none, 0)),
                ("clone", libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0)),
                ("ptrace", libc::syscall(libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0)),
                ("process_vm_readv", libc::syscall(libc::SYS_process_vm_readv, 1, none, 0, none, 0, 0)),
                ("mount", libc::syscall(libc::SYS_mount, none, c"/".as_ptr(), none, 0, anywhere)),
                ("unshare", libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER)),
                ("bpf", libc::syscall(libc::SYS_bpf, 0, anywhere, 0)),
                ("io_uring_setup", libc::syscall(libc::SYS_io_uring_setup, 1, anywhere)),
                ("keyctl", libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0)),
                ("mprotect", libc::syscall(libc::SYS_mprotect, anywhere, 4096, libc::PROT_EXEC)),
            ];
            calls.into_iter().filter(|(_, result)| !refused(*result)).map(|(name, _)| name).collect::<Vec<_>>()
        }
    };
    let process = std::thread::spawn(move || {
        assert_eq!(refuse_system_calls(), Enforcement::Full);
        assert_eq!(attack(), [""; 0], "on the thread itself");
        let inherited = std::thread::spawn(attack).join().expect("threads can be started");
        assert_eq!(inherited, [""; 0], "on a thread that it starts");
        let listener = std::net::TcpListener::bind("localhost:0").expect("a socket, and a name");
        std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "x").expect("written");
        assert!(std::process::Command::new("/bin/true").status().is_err());
    });
    process.join().expect("no panic");
}

/// Scenario: the operations of workers: allocate, wait, wake a task of a runtime, read clocks, get random numbers, panic.
/// Guarantees: all of them work with the filter.
#[test]
fn a_workers_calls_are_allowed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let (answer, answered) = tokio::sync::oneshot::channel();
    let (mut requests, mut received) = tokio::sync::mpsc::channel::<u32>(1);
    let done = runtime.spawn(answered);
    let worker = std::thread::spawn({
        let filter = {
            let _inside = runtime.enter();
            ThreadFilter::for_workers().expect("Linux has seccomp")
        };
        move || {
            assert_eq!(filter.apply(), Enforcement::Full);
            assert!(thread_is_confined());
            let large: Vec<Vec<u8>> = (1..200).map(|size| vec![1; size * 4096]).collect();
            drop(large);
            let _ = (std::time::Instant::now(), uuid::Uuid::new_v4());
            let panicked = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(7)));
            assert!(panicked.is_err());
            let request = received.blocking_recv().expect("a request");
            assert!(std::io::stderr().write(b"refused\n").is_err());
            answer.send(request + 1).expect("somebody waits");
        }
    });
    runtime.block_on(async {
        // Until the thread of the runtime waits for events, so that the worker has to wake it.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        requests.send(41).await.expect("the worker listens");
        requests = tokio::sync::mpsc::channel(1).0;
        let answer = tokio::time::timeout(std::time::Duration::from_secs(20), done).await;
        assert_eq!(answer.expect("in time").expect("no panic").expect("an answer"), 42);
    });
    worker.join().expect("no panic");
    drop(requests);
}

/// Scenario: a thread that may read one directory and write another tries both, others, and to run a program.
/// Guarantees: the allowed files are accessible, host names can be resolved, everything else is refused.
#[test]
fn files_are_out_of_reach() {
    let read = tempfile::tempdir().expect("a directory");
    let write = tempfile::tempdir().expect("a directory");
    std::fs::write(read.path().join("kong.yml"), "x").expect("room");
    let files = Files { read: vec![read.path().to_owned()], write: vec![write.path().to_owned()] };
    let (read, write) = (read.path().to_owned(), write.path().to_owned());
    // Landlock restricts one thread and those that it starts.
    let attacker = std::thread::spawn(move || {
        let (enforcement, writable) = super::files::confine(files);
        assert!(matches!(enforcement, Enforcement::Full | Enforcement::Partial), "{enforcement}");
        assert_eq!(writable, [write.canonicalize().expect("there")]);
        let refused = |result: std::io::Result<()>| {
            result.expect_err("out of reach").kind() == std::io::ErrorKind::PermissionDenied
        };
        assert_eq!(std::fs::read_to_string(read.join("kong.yml")).expect("named"), "x");
        std::fs::write(write.join("new.log"), "y").expect("named");
        std::fs::rename(write.join("new.log"), write.join("old.log")).expect("named");
        assert!(std::fs::read("/etc/hosts").is_ok());
        assert!(refused(std::fs::write(read.join("kong.yml"), "z")));
        assert!(refused(std::fs::read("/etc/passwd").map(drop)));
        assert!(refused(std::fs::read("/proc/1/environ").map(drop)));
        assert!(refused(std::fs::read_dir("/").map(drop)));
        assert!(refused(std::fs::write("/tmp/logphase-out-of-reach", "z")));
        assert!(refused(std::process::Command::new("/bin/true").status().map(drop)));
    });
    attacker.join().expect("no panic");
    assert!(std::fs::read("/etc/passwd").is_ok(), "this thread is free");
}

/// Scenario: threads of the playground, which compute and which write an answer, with calls of an attacker.
/// Guarantees: neither opens a file or a socket, or starts anything; only the second writes.
#[test]
#[allow(unsafe_code, reason = "an attacker makes bare system calls")]
fn the_playground_reaches_nothing() {
    let computing = ThreadFilter::for_computing().expect("Linux has seccomp");
    for (filter, writes) in [(computing, false), (ThreadFilter::for_output(), true)] {
        let attack = move || {
            assert_eq!(filter.apply(), Enforcement::Full);
            let none = std::ptr::null::<libc::c_char>();
            // SAFETY: every pointer is null or to a static string; the filter refuses the calls.
            unsafe {
                let path = c"/etc/passwd".as_ptr();
                assert!(refused(libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, libc::O_RDONLY)));
                assert!(refused(libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path, none, 0)));
                assert!(refused(libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, path, none, 0)));
                assert!(refused(libc::syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0)));
                assert!(refused(libc::syscall(libc::SYS_execve, c"/bin/true".as_ptr(), none, none)));
                assert!(refused(libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0)));
                assert!(refused(libc::syscall(libc::SYS_kill, 1, libc::SIGKILL)));
                assert_eq!(refused(libc::syscall(libc::SYS_write, 2, path, 0)), !writes);
            }
        };
        std::thread::spawn(attack).join().expect("no panic");
    }
}

/// Scenario: a thread that may run its own program alone.
/// Guarantees: it runs that, and nothing else; files that not every process reads are out of reach, and nothing can be written.
#[test]
fn only_its_own_program_is_run() {
    let attacker = std::thread::spawn(|| {
        let enforcement = confine_to_own_program();
        assert!(matches!(enforcement, Enforcement::Full | Enforcement::Partial), "{enforcement}");
        assert!(std::process::Command::new("/bin/true").status().is_err());
        let own = std::process::Command::new("/proc/self/exe").args(["--list", "--exact", "none"]).output();
        assert!(own.expect("it is run").status.success());
        assert!(std::fs::read("/etc/passwd").is_err() && std::fs::write("/tmp/logphase-out-of-reach", "z").is_err());
    });
    attacker.join().expect("no panic");
}
