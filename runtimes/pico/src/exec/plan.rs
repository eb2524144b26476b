//! A program that was looked at and is yet to be put into memory.

use super::elf::Image;
use super::{LoadError, Opener, load, script_interpreter, stack, terminated};
use crate::file::File;
use crate::kernel::Kernel;
use crate::process::Registers;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// Most interpreters of scripts that are scripts themselves.
const SCRIPTS_MAX: usize = 4;

/// A file of a program.
struct Part {
    path: String,
    file: Rc<dyn File>,
    image: Image,
}

impl Part {
    fn new(path: &str, file: Rc<dyn File>) -> Result<Self, LoadError> {
        let image = load::read_image(&*file)?;
        Ok(Self { path: path.into(), file, image })
    }
}

/// An ELF program, its interpreter, and the arguments it gets.
pub(super) struct Plan {
    program: Part,
    interpreter: Option<Part>,
    args: Vec<Vec<u8>>,
}

impl Plan {
    /// Looks at the program `path`, which is `file`, or, if that is a script, at its interpreter.
    pub(super) fn new(
        kernel: &mut Kernel,
        path: &str,
        file: Rc<dyn File>,
        args: &[&[u8]],
        open: &mut Opener<'_>,
    ) -> Result<Self, LoadError> {
        let args = args.iter().map(|arg| arg.to_vec()).collect();
        Self::of_script(kernel, path, file, args, open, 0)
    }

    fn of_script(
        kernel: &mut Kernel,
        path: &str,
        file: Rc<dyn File>,
        args: Vec<Vec<u8>>,
        open: &mut Opener<'_>,
        depth: usize,
    ) -> Result<Self, LoadError> {
        let mut first = [0; load::HEAD];
        let head = load::read_head(&*file, &mut first)?;
        if !head.starts_with(b"#!") {
            return Self::of_elf(kernel, Part::new(path, file)?, args, open);
        }
        if depth > SCRIPTS_MAX {
            return Err(LoadError::Io(crate::errno::Errno::ELOOP));
        }
        let (interpreter, argument) = script_interpreter(head)?;
        let mut new_args = Vec::with_capacity(args.len() + 2);
        new_args.push(interpreter.as_bytes().to_vec());
        new_args.extend(argument.map(<[u8]>::to_vec));
        new_args.push(path.as_bytes().to_vec());
        new_args.extend(args.into_iter().skip(1));
        let wrap = |error| LoadError::Interpreter(interpreter.into(), Rc::new(error));
        let file = open(kernel, interpreter).map_err(|errno| wrap(errno.into()))?;
        Self::of_script(kernel, interpreter, file, new_args, open, depth + 1).map_err(wrap)
    }

    fn of_elf(
        kernel: &mut Kernel,
        program: Part,
        args: Vec<Vec<u8>>,
        open: &mut Opener<'_>,
    ) -> Result<Self, LoadError> {
        let Some(name) = load::interpreter_path(&*program.file, &program.image)? else {
            return Ok(Self { program, interpreter: None, args });
        };
        let wrap = |error| LoadError::Interpreter(name.clone(), Rc::new(error));
        let file = open(kernel, &name).map_err(|errno| wrap(errno.into()))?;
        let interpreter = Part::new(&name, file).map_err(wrap)?;
        Ok(Self { program, interpreter: Some(interpreter), args })
    }

    /// Puts the program into memory, where nothing else is, and builds its stack. Returns the registers it starts with.
    pub(super) fn load(&self, kernel: &mut Kernel, env: &[&[u8]]) -> Result<Registers, LoadError> {
        let Part { path, file, image } = &self.program;
        let top = kernel.mm.map_stack(image.relocatable)?;
        let low = image.relocatable.then_some(top);
        let program = load::place(kernel, path, &**file, image, low)?;
        kernel.mm.start_heap(program.end)?;
        let (mut entry, mut base) = (program.entry, 0);
        if let Some(Part { path, file, image }) = &self.interpreter {
            let wrap = |error| LoadError::Interpreter(path.clone(), Rc::new(error));
            let interpreter = load::place(kernel, path, &**file, image, None).map_err(wrap)?;
            (entry, base) = (interpreter.entry, interpreter.base);
        }
        let args: Vec<&[u8]> = self.args.iter().map(Vec::as_slice).collect();
        let rsp = stack::build(kernel, top, &program, base, path, &args, env)?;
        kernel.threads.current().name = stack::process_name(path);
        let program = &mut kernel.vfs.place.program;
        program.exe = path.as_bytes().to_vec();
        program.arguments = terminated(&args);
        program.environment = terminated(env);
        Ok(Registers { rip: entry, rsp, rflags: 0x202, mxcsr: 0x1f80, ..Registers::default() })
    }
}
