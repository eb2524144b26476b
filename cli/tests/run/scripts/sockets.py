"""Sockets inside one VM: UDP, Unix sockets, descriptors in messages, FIFOs between threads."""
import array
import asyncio
import errno
import os
import selectors
import socket
import struct
import tempfile
import threading

where = tempfile.mkdtemp()
os.chdir(where)


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data.upper(), address)


class Client(asyncio.DatagramProtocol):
    def __init__(self, answers):
        self.answers = answers

    def datagram_received(self, data, address):
        self.answers.put_nowait(data)

    def error_received(self, error):
        self.answers.put_nowait(errno.errorcode[error.errno])


async def udp(host):
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=(host, 0))
    answers = asyncio.Queue()
    address = server.get_extra_info("sockname")[:2]
    client, _ = await loop.create_datagram_endpoint(lambda: Client(answers), remote_addr=address)
    for text in [b"one", b"two", b"x" * 9000]:
        client.sendto(text)
        print("udp", host, len(await asyncio.wait_for(answers.get(), 60)))
    server.close()
    await asyncio.sleep(0)
    client.sendto(b"nobody")
    print("udp", host, await asyncio.wait_for(answers.get(), 60))
    client.close()


async def unix():
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line[::-1])
        writer.close()

    server = await asyncio.start_unix_server(serve, "server")
    for number in range(3):
        reader, writer = await asyncio.open_unix_connection("server")
        writer.write(b"line %d\n" % number * 100)
        writer.write_eof()
        print("unix", number, len(await reader.read()))
        writer.close()
    server.close()
    await server.wait_closed()


for host in ["127.0.0.1", "::1"]:
    asyncio.run(udp(host))
asyncio.run(unix())

# Descriptors, as multiprocessing hands them over.
one, other = socket.socketpair()
with open("file", "w+") as file:
    file.write("carried")
    file.flush()
    socket.send_fds(one, [b"here"], [file.fileno(), one.fileno()])
data, fds, flags, _ = socket.recv_fds(other, 100, 10)
os.lseek(fds[0], 0, os.SEEK_SET)
print("fds", data, len(fds), flags, os.read(fds[0], 100))
os.write(fds[1], b"through the copy")
print("fds", other.recv(100))
for fd in fds:
    os.close(fd)
other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
one.send(b"who")
data, control, flags, _ = other.recvmsg(100, 100)
pid, uid, gid = struct.unpack("3i", control[0][2])
print("credentials", data, control[0][:2], pid == os.getpid(), (uid, gid) == (os.getuid(), os.getgid()), flags)
one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [one.fileno()] * 3))])
data, control, flags, _ = other.recvmsg(100, socket.CMSG_SPACE(12))
print("cut", data, len(control), bool(flags & socket.MSG_CTRUNC))

# A server of a thread, a full backlog, and threads that wait for each other.
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind("\0sockets of pico %d" % os.getpid())
listener.listen(0)


def serve():
    for _ in range(5):
        connection, _ = listener.accept()
        while message := connection.recv(100):
            connection.send(b"<" + message + b">")
        connection.close()


def ask(number):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(listener.getsockname())
    client.send(b"%d" % number)
    answers[number] = client.recv(100)
    client.close()


answers = [None] * 5
threads = [threading.Thread(target=serve)] + [threading.Thread(target=ask, args=(n,)) for n in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("packets", answers)

# A sender waits for room, and learns that nobody will make any.
box = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
box.bind("box")
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect("box")


def fill():
    try:
        while True:
            sender.send(b"x" * 1000)
    except OSError as error:
        print("full", errno.errorcode[error.errno])


thread = threading.Thread(target=fill)
thread.start()
for _ in range(500):
    box.recv(2000)
box.close()
thread.join()

# A FIFO: both ends wait for each other.
os.mkfifo("fifo")


def write():
    with open("fifo", "w") as fifo:
        fifo.write("through the fifo")


thread = threading.Thread(target=write)
thread.start()
with open("fifo") as fifo:
    print("fifo", fifo.read())
thread.join()

# Readiness of all of them.
selector = selectors.DefaultSelector()
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
for name, fd in [("udp", receiver), ("fifo", reader), ("pair", other)]:
    selector.register(fd, selectors.EVENT_READ, name)
print("ready", [key.data for key, _ in selector.select(0)])
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", receiver.getsockname())
writer = os.open("fifo", os.O_WRONLY)
os.write(writer, b"x")
one.send(b"x")
print("ready", sorted(key.data for key, _ in selector.select(60)))
for call in [lambda: listener.bind("again"), lambda: socket.socket(socket.AF_UNIX).connect("nothing")]:
    try:
        call()
    except OSError as error:
        print("error", errno.errorcode[error.errno])
