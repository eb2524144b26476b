//! An add-on for Node.js with one function, `reseed`: OpenSSL takes fresh randomness from the kernel. Nothing that a
//! script can call does that, and without it all forks of a parent would draw the same numbers.
#![no_std]

use core::ffi::{c_char, c_int, c_void};

/// Node-API's handles; opaque.
type Handle = *mut c_void;
type Callback = extern "C" fn(Handle, Handle) -> Handle;

// SAFETY: these are exported by the node program, which loads this library, with these signatures: OpenSSL 3 and
// Node-API version 1.
unsafe extern "C" {
    fn RAND_poll() -> c_int;
    fn napi_create_function(
        env: Handle,
        name: *const c_char,
        length: usize,
        callback: Callback,
        data: *mut c_void,
        result: *mut Handle,
    ) -> c_int;
    fn napi_set_named_property(env: Handle, object: Handle, name: *const c_char, value: Handle) -> c_int;
    fn napi_throw_error(env: Handle, code: *const c_char, message: *const c_char) -> c_int;
}

const NAME: &core::ffi::CStr = c"reseed";

extern "C" fn reseed(env: Handle, _info: Handle) -> Handle {
    // SAFETY: `env` is what Node-API gave; the texts end in NUL and live for ever.
    unsafe {
        if RAND_poll() != 1 {
            napi_throw_error(env, core::ptr::null(), c"OpenSSL got no fresh randomness".as_ptr());
        }
    }
    core::ptr::null_mut()
}

/// Called by Node.js when it loads the add-on.
#[unsafe(no_mangle)]
pub extern "C" fn napi_register_module_v1(env: Handle, exports: Handle) -> Handle {
    let mut function = core::ptr::null_mut();
    // SAFETY: `env` and `exports` are what Node-API gave; `function` is written before it is read.
    unsafe {
        let name = NAME.as_ptr();
        let made = napi_create_function(
            env,
            name,
            NAME.count_bytes(),
            reseed,
            core::ptr::null_mut(),
            &raw mut function,
        );
        if made == 0 {
            napi_set_named_property(env, exports, name, function);
        }
    }
    exports
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic.
    loop {
        core::hint::spin_loop();
    }
}
