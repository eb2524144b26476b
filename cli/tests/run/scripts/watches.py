"""Watches a directory by inotify while a thread and a child process change it."""
import ctypes
import os
import select
import struct
import subprocess
import sys
import tempfile
import threading

libc = ctypes.CDLL(None, use_errno=True)
IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
NAMES = {0x2: "modify", 0x8: "close_write", 0x40: "moved_from", 0x80: "moved_to", 0x100: "create", 0x200: "delete"}


def events(fd, count):
    """The next events, as many as asked for: mask, name."""
    found = []
    while len(found) < count:
        ready, _, _ = select.select([fd], [], [], 60)
        if not ready:
            sys.exit(f"nothing more came: {found}")
        data = os.read(fd, 4096)
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            name = data[16:16 + length].rstrip(b"\0").decode()
            found.append((NAMES.get(mask, hex(mask)), name))
            data = data[16 + length:]
    return found


directory = tempfile.mkdtemp()
fd = libc.inotify_init1(os.O_CLOEXEC)
mask = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
wd = libc.inotify_add_watch(fd, directory.encode(), mask)
print(wd)


def change():
    with open(directory + "/one", "w") as file:
        file.write("text")
    os.rename(directory + "/one", directory + "/two")
    os.unlink(directory + "/two")


thread = threading.Thread(target=change)
thread.start()
print(events(fd, 6))
thread.join()
subprocess.run(["sh", "-c", f"echo x >> {directory}/three"], check=True)
print(events(fd, 3))
print(libc.inotify_rm_watch(fd, wd), libc.inotify_rm_watch(fd, wd), ctypes.get_errno())
print(struct.unpack("iIII", os.read(fd, 16)))
print(libc.inotify_add_watch(fd, b"/nowhere", mask), os.strerror(ctypes.get_errno()))
