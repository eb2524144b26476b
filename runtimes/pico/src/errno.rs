//! Error numbers as Linux defines them (errno(3)).

/// A Linux error number, 1 to 4095.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

/// Result of everything a system call does.
pub type Result<T> = core::result::Result<T, Errno>;

#[expect(clippy::cast_possible_truncation, reason = "checked, at compile time")]
const fn number(value: u32) -> u16 {
    assert!(value < 4096);
    value as u16
}

macro_rules! numbers {
    ($($name:ident)*) => { impl Errno { $(
        #[doc = concat!("`", stringify!($name), "`")]
        pub const $name: Errno = Errno(number(linux_raw_sys::errno::$name));
    )* } };
}

numbers! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
    ENAMETOOLONG ENOSYS ENOTEMPTY ELOOP ENODATA EOVERFLOW EILSEQ ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE
    ENOPROTOOPT EPROTONOSUPPORT EOPNOTSUPP EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETUNREACH ECONNABORTED
    ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EHOSTUNREACH EALREADY EINPROGRESS EUCLEAN ELIBBAD
    ETOOMANYREFS ESOCKTNOSUPPORT EDEADLK ENOLCK
}

impl Errno {
    /// What the system call returns in `rax`.
    pub fn as_return_value(self) -> u64 {
        (-i64::from(self.0)).cast_unsigned()
    }
}
